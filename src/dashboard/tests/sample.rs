//! A sample of what a model calls normal.

use super::*;

#[tokio::test]
async fn a_sample_of_normal_is_served_and_shown() {
    let served = Served::new(Scene::Calm).await;
    let url = "/api/v1/models/sample?stream=pumps";
    let missing = served.client.get(format!("{}{url}", served.base)).send().await.unwrap();
    assert_eq!(missing.status(), 404);
    let columns = vec![Some(vec![1.5, 2.5, 2.0]), None, Some(vec![7.0; 3]), Some(vec![0.5; 3])];
    let sample = crate::status::Sample { checksum: "0123456789abcdef".into(), columns };
    served.state.parts.status.models(StreamId(0)).set_sample(Some(sample));
    let body = served.json(url).await;
    assert_eq!((&body["model"], &body["columns"][0]["values"][1]), (&"0123456789abcdef".into(), &2.5.into()));
    assert!(body["columns"][1]["values"].is_null() && body["columns"][0]["name"].is_string());
    let page = served.get("/").await.text().await.unwrap();
    let pictures: Vec<&str> =
        page.match_indices("/api/v1/models/sample.svg?").map(|(at, _)| &page[at..]).collect();
    assert_eq!(pictures.len(), 3, "of columns that vary");
    let address = pictures[0].split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    let svg = served.get(&address).await;
    assert_eq!(svg.headers()["content-type"], "image/svg+xml");
    assert!(svg.text().await.unwrap().contains("<polyline"));
}
