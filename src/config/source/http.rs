//! `type = "http"`: devices post to `/v1/events/{stream}`.

use std::net::{Ipv4Addr, SocketAddr};

use super::super::field::Field;
use super::super::kind::{Kind, Naming};
use super::super::plan::{HttpPlan, SourceKind};
use super::super::section::Section;
use super::Parse;

pub const KIND: Kind<Parse> = Kind {
    name: "http",
    summary: "take POST /v1/events/{stream} with JSON or NDJSON",
    example: r#"
type = "http"
listen = "127.0.0.1:8088"
max_body = "8MB"
"#,
    parse,
};

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8088);
const MAX_BODY_DEFAULT: u64 = 8_000_000;
const TOKEN_BYTES_MAX: usize = 512;

const TLS: &str = "This source speaks no TLS: let a proxy on this machine speak it, and listen on 127.0.0.1.";
const ADDRESS: &str =
    "Write `listen = \"127.0.0.1:8088\"`: devices post there, to /v1/events/ and the stream's name.";
const HINTS: &[(&str, &str)] = &[
    ("cert", TLS),
    ("ca", TLS),
    ("tls", TLS),
    ("url", ADDRESS),
    ("port", ADDRESS),
    ("path", ADDRESS),
    ("topics", ADDRESS),
];

fn parse(section: &mut Section<'_>, _naming: &Naming<'_>) -> Option<SourceKind> {
    section.hint(HINTS);
    let listen = section.or("listen", LISTEN_DEFAULT, |field| field.listen());
    let token = section.maybe("token", |field| token(&field));
    let max_body = section.or("max_body", MAX_BODY_DEFAULT, |field| field.size(1_000..=256_000_000));
    if let (Some(listen), Some(None)) = (listen, &token)
        && !listen.ip().is_loopback()
    {
        section.here().locate("listen").problem(
            format!("{listen} is open to the network, and anybody there could send events"),
            "Add `token = \"env:NAME\"`, or listen on 127.0.0.1.",
        );
        return None;
    }
    let max_body_bytes = max_body? as usize;
    Some(SourceKind::Http(HttpPlan { listen: listen?, token: token?, max_body_bytes }))
}

/// A bearer token goes into a header, so it is visible ASCII (RFC 6750, section 2.1).
fn token(field: &Field<'_>) -> Option<String> {
    let token = field.secret()?;
    let fits = token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        field.problem(
            "the token cannot be sent in a header",
            format!("Use at most {TOKEN_BYTES_MAX} visible ASCII characters without spaces."),
        );
    }
    fits.then(|| token.to_string())
}
