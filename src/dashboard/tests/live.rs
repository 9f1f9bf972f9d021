//! Live updates over a socket.

use super::*;

/// Reads events of a live connection until one is named `name`; returns its data.
async fn event(response: &mut Response, buffer: &mut String, name: &str) -> Value {
    let reading = async {
        loop {
            while let Some((event, rest)) = buffer.split_once("\n\n") {
                let data =
                    event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or("null").to_owned();
                let found = event.lines().any(|line| line == format!("event: {name}"));
                *buffer = rest.to_owned();
                if found {
                    return serde_json::from_str(&data).unwrap();
                }
            }
            let chunk = response.chunk().await.unwrap().unwrap_or_else(|| panic!("ended before {name}"));
            buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    timeout(STEP_MAX, reading).await.unwrap_or_else(|_| panic!("no {name}"))
}

#[tokio::test]
async fn live_events_bring_the_apis_own_numbers_and_skip_what_was_missed() {
    let served = Served::new(Scene::Trouble).await;
    let mut live = served.get("/api/v1/live?topics=health,alerts,key:pumps/pump-17").await;
    let mut buffer = String::new();
    let health = event(&mut live, &mut buffer, "health").await;
    assert_eq!(health, served.json("/api/v1/status?seq=1").await);
    assert_eq!(event(&mut live, &mut buffer, "alerts").await["open"], 2);
    let value = event(&mut live, &mut buffer, "value").await;
    assert!(value["latest"]["columns"][3]["value"].is_number());
    let now_ns = served.state.parts.clock.now_ns() + S;
    served.state.parts.history.add(vec![testing::point("pump-17", now_ns, 901, true)]);
    assert_eq!(event(&mut live, &mut buffer, "tick").await["to_ns"], now_ns);
    // Twenty snapshots while nobody reads: only the newest matters.
    for _ in 0..20 {
        served.state.parts.status.rows_total.fetch_add(1, Relaxed);
        served.sample().await;
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&21) {
        seen.push(event(&mut live, &mut buffer, "health").await["seq"].as_u64().unwrap());
    }
    assert!(seen.is_sorted());
    served.state.parts.shutdown.cancel();
    assert!(event(&mut live, &mut buffer, "bye").await["retry_ms"].is_u64());
}

#[tokio::test]
async fn viewers_are_counted_and_one_too_many_is_told_to_poll() {
    let served = Served::new(Scene::Calm).await;
    let mut viewers = Vec::new();
    for _ in 0..LIVE_MAX {
        let viewer = served.get("/api/v1/live?topics=health").await;
        assert_eq!(viewer.status(), 200);
        viewers.push(viewer);
    }
    assert_eq!(served.get("/api/v1/live?topics=health").await.status(), 503);
    drop(viewers);
    let again = async {
        while served.get("/api/v1/live?topics=health").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(STEP_MAX, again).await.expect("those who left make room");
}
