//! Keys that messages are signed with, by the Standard Webhooks specification.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::field::Field;
use super::super::plan::SigningKey;

/// Key length the specification asks for.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// An ed25519 key: its seed, or the seed and the public key behind it.
const PRIVATE_BYTES: [usize; 2] = [32, 64];
/// Two are enough for a rotation; each adds a signature to every request.
const SECRETS_MAX: usize = 4;
const NEW_SECRET: &str = "Make one: echo \"whsec_$(head -c 32 /dev/urandom | base64)\".";
const NEW_PRIVATE: &str = "Make one: echo \"whsk_$(head -c 32 /dev/urandom | base64)\".";

/// One key or several, while one is being replaced.
pub fn keys(field: &Field<'_>) -> Option<Vec<SigningKey>> {
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

fn key(field: &Field<'_>, number: usize, secret: &str) -> Option<SigningKey> {
    match secret.strip_prefix("whsk_") {
        Some(rest) => private(field, number, rest),
        None => symmetric(field, number, secret).map(SigningKey::Symmetric),
    }
}

fn symmetric(field: &Field<'_>, number: usize, secret: &str) -> Option<Vec<u8>> {
    let decoded = secret.strip_prefix("whsec_").map(|rest| STANDARD.decode(rest));
    let fault = match decoded {
        None => format!("secret {number} does not begin with whsec_ or whsk_"),
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

fn private(field: &Field<'_>, number: usize, rest: &str) -> Option<SigningKey> {
    let fault = match STANDARD.decode(rest) {
        Err(_) => format!("secret {number} is not base64 after whsk_"),
        Ok(key) => match key.first_chunk::<32>() {
            Some(seed) if PRIVATE_BYTES.contains(&key.len()) => return Some(SigningKey::Private(*seed)),
            _ => format!("secret {number} is {} bytes long where an ed25519 key has 32 or 64", key.len()),
        },
    };
    field.problem(fault, NEW_PRIVATE);
    None
}
