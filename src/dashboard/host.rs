//! By which name, and what a browser may do with the answer.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::AppState;
use super::api::ApiError;

/// No inline script or style, nothing from elsewhere, no string turned into script.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
require-trusted-types-for 'script'; trusted-types eddy";

/// On every answer.
pub async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, CSP);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Not `no-referrer`: a browser would then not say in `Origin` that a form is this page's own.
    set(header::REFERRER_POLICY, "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A page of somebody else's can point its own name at 127.0.0.1 and read what answers (DNS rebinding).
/// It cannot choose the `Host` header, so only names of this box are answered. Once a token is asked for, such a page
/// has nothing to show, and any name will do.
pub fn of_this_box(state: &AppState, request: &Request) -> Result<(), ApiError> {
    let listen = state.parts.plan.dashboard.listen;
    if is_own_name(host(request.headers(), request.uri().authority().map(|a| a.as_str())), listen) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::MISDIRECTED_REQUEST,
        "this name is not one of this box",
        "open http://localhost with the dashboard's port, or add a token: then any name will do",
    ))
}

fn host<'a>(headers: &'a HeaderMap, authority: Option<&'a str>) -> Option<&'a str> {
    headers.get(header::HOST).map_or(authority, |host| host.to_str().ok())
}

fn is_own_name(host: Option<&str>, listen: SocketAddr) -> bool {
    let Some(host) = host else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || (address == listen.ip() && !address.is_unspecified()),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_box_are_answered() {
        let listen: SocketAddr = "192.0.2.7:8080".parse().unwrap();
        for own in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.0.0.2", "[::1]:8080", "192.0.2.7:8080"]
        {
            assert!(is_own_name(Some(own), listen), "{own}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "192.0.2.8",
            "",
            "[::1",
            "0.0.0.0",
        ] {
            assert!(!is_own_name(Some(foreign), listen), "{foreign}");
        }
        assert!(!is_own_name(None, listen));
    }
}
