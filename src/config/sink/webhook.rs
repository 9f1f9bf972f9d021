//! `type = "webhook"`: signed by the Standard Webhooks specification.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::field::Field;
use super::super::kind::Kind;
use super::super::plan::{SinkKind, WebhookPlan};
use super::super::section::Section;
use super::super::web::{self, Wording};
use super::Parse;

const URL: Wording = Wording {
    other_scheme: "is not a webhook",
    example: "Write it like \"https://alerts.example.com/hooks/eddy\".",
    user: "Remove them; the receiver knows Eddy by the signature.",
};

pub const KIND: Kind<Parse> = Kind {
    name: "webhook",
    summary: "POST each alert, signed by the Standard Webhooks specification",
    example: r#"
type = "webhook"
url = "https://alerts.example.com/hooks/eddy"
secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
timeout = "15s"
"#,
    parse,
};

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
/// Key length the specification asks for.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Two are enough for a rotation; each adds a signature to every request.
const SECRETS_MAX: usize = 4;
const NEW_SECRET: &str = "Make one: echo \"whsec_$(head -c 32 /dev/urandom | base64)\".";

fn parse(section: &mut Section<'_>) -> Option<SinkKind> {
    let url = section
        .required("url", "\"https://alerts.example.com/hooks/eddy\"")
        .and_then(|field| web::url(&field, &URL));
    let secret = section.required("secret", "\"env:NAME\"").and_then(|field| keys(&field));
    let timeout = section.or("timeout", TIMEOUT_DEFAULT, |field| {
        field.duration(Duration::from_secs(1)..=Duration::from_secs(60))
    });
    Some(SinkKind::Webhook(WebhookPlan { url: url?.to_string(), secret: secret?, timeout: timeout? }))
}

/// Signing keys; several while one is being replaced.
fn keys(field: &Field<'_>) -> Option<Vec<Vec<u8>>> {
    let secrets: Vec<&str> = field.secret()?.split_ascii_whitespace().collect();
    if secrets.is_empty() || secrets.len() > SECRETS_MAX {
        let remedy = format!("Give 1 to {SECRETS_MAX}, with spaces between them. {NEW_SECRET}");
        field.problem(format!("holds {} secrets", secrets.len()), remedy);
        return None;
    }
    // Each is looked at, so that all wrong ones are told at once.
    let keys: Vec<_> =
        secrets.iter().enumerate().map(|(index, secret)| key(field, index + 1, secret)).collect();
    keys.into_iter().collect()
}

fn key(field: &Field<'_>, number: usize, secret: &str) -> Option<Vec<u8>> {
    let decoded = secret.strip_prefix("whsec_").map(|rest| STANDARD.decode(rest));
    let fault = match decoded {
        None => format!("secret {number} does not begin with whsec_"),
        Some(Err(_)) => format!("secret {number} is not base64 after whsec_"),
        Some(Ok(key)) if !KEY_BYTES.contains(&key.len()) => format!(
            "secret {number} is {} bytes long where {} to {} are needed",
            key.len(),
            KEY_BYTES.start(),
            KEY_BYTES.end()
        ),
        Some(Ok(key)) => return Some(key),
    };
    field.problem(fault, NEW_SECRET);
    None
}
