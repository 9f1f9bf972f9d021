//! The stylesheet and the script, part of the binary.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/app.js");

/// Changes with the assets' content.
pub fn version() -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(STYLE.as_bytes());
    hasher.update(SCRIPT.as_bytes());
    format!("{:08x}", hasher.finalize())
}

/// `GET /assets/{file}`
pub async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let (kind, content) = match file.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return super::api::not_found().await.into_response(),
    };
    let tag = format!("\"{}\"", version());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let caching = "public, max-age=31536000, immutable".to_owned();
    let headers =
        [(header::CONTENT_TYPE, kind.to_owned()), (header::CACHE_CONTROL, caching), (header::ETAG, tag)];
    (headers, content).into_response()
}
