//! The deployment's key, and what it signs: sessions, feedback links, and the command line's own requests.
//!
//! A signature is HMAC-SHA256 (RFC 2104) over its purpose and its parts, each with its length before it, so that no
//! two sets of parts are signed alike and none serves another purpose.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{AccessError, Token, file};
use crate::types::hex;

/// A session of a browser, s.
pub const SESSION_S: u64 = 12 * 3_600;
/// What the command line sends is good for this long, s.
const LOCAL_S: u64 = 60;
/// A feedback link, s: thirty days.
pub const LINK_S: u64 = 30 * 86_400;

const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;

/// Prints nothing of itself: there is no `Debug`.
pub struct Key([u8; KEY_BYTES]);

/// A bearer token that only who can read the data folder can make.
pub struct Local(pub String);

impl Key {
    /// # Errors
    /// If it can be neither read nor made.
    pub fn read_or_make(folder: &Path) -> Result<Key, AccessError> {
        let path = folder.join(KEY_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => Key::read(&bytes).ok_or_else(|| {
                let detail = "it is not 32 bytes as 64 hexadecimal digits".to_owned();
                AccessError::Damaged { path, detail }
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                file::make_folder(folder)?;
                let key = Key(rand::random());
                file::replace(&path, format!("{}\n", hex(&key.0)).as_bytes())?;
                Ok(key)
            }
            Err(error) => Err(AccessError::io("read", &path)(error)),
        }
    }

    fn read(text: &[u8]) -> Option<Key> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let mut bytes = [0; KEY_BYTES];
        if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
            return None;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Key(bytes))
    }

    /// For tests and for a page without a data folder.
    pub fn fixed(byte: u8) -> Key {
        Key([byte; KEY_BYTES])
    }

    /// The cookie of a token, good until `until_s`. It ends with its token: the token's hash is signed with it.
    pub fn session(&self, token: &Token, until_s: u64) -> String {
        let signature = self.sign("session", &[&token.name, &token.sha256, &until_s.to_string()]);
        format!("{}.{until_s}.{signature}", token.name)
    }

    pub fn knows_session(&self, cookie: &str, token: &Token, now_s: u64) -> bool {
        let mut parts = cookie.splitn(3, '.');
        let (Some(name), Some(until), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        name == token.name
            && is_ahead(until, now_s)
            && self.verify("session", &[name, &token.sha256, until], signature)
    }

    /// What the command line sends to the Eddy that runs on this folder.
    pub fn local(&self, now_s: u64) -> Local {
        let until = (now_s + LOCAL_S).to_string();
        Local(format!("local.{until}.{}", self.sign("local", &[&until])))
    }

    pub fn knows_local(&self, bearer: &str, now_s: u64) -> bool {
        let Some((until, signature)) = bearer.strip_prefix("local.").and_then(|rest| rest.split_once('.'))
        else {
            return false;
        };
        is_ahead(until, now_s) && self.verify("local", &[until], signature)
    }

    /// Whether a feedback link to `alert` is good; see [`link_query`].
    pub fn knows_link(&self, alert: &str, until: &str, signature: &str, now_s: u64) -> bool {
        is_ahead(until, now_s) && self.verify("feedback", &[alert, until], signature)
    }

    fn sign(&self, purpose: &str, parts: &[&str]) -> String {
        BASE64.encode(self.mac(purpose, parts).finalize().into_bytes())
    }

    /// In a time that does not depend on where the signatures differ.
    fn verify(&self, purpose: &str, parts: &[&str], signature: &str) -> bool {
        let Ok(signature) = BASE64.decode(signature) else { return false };
        self.mac(purpose, parts).verify_slice(&signature).is_ok()
    }

    fn mac(&self, purpose: &str, parts: &[&str]) -> Hmac<Sha256> {
        // HMAC takes keys of any length (RFC 2104, section 2).
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// What stands behind `/feedback/ALERT` in a link that is good until `until_s`.
pub fn link_query(key: &Key, alert: &str, until_s: u64) -> String {
    format!("until={until_s}&sig={}", key.sign("feedback", &[alert, &until_s.to_string()]))
}

/// Makes the links that alerts carry.
pub struct Links {
    /// How browsers reach the page, without a slash at the end.
    base: String,
    key: Key,
}

impl Links {
    pub fn new(url: &url::Url, key: Key) -> Links {
        Links { base: url.as_str().trim_end_matches('/').to_owned(), key }
    }

    /// To where people say what an alert was; good for [`LINK_S`] from `now_ns`, wall time.
    pub fn feedback(&self, alert: &str, now_ns: i64) -> String {
        let until_s = (now_ns / 1_000_000_000).max(0) as u64 + LINK_S;
        format!("{}/feedback/{alert}?{}", self.base, link_query(&self.key, alert, until_s))
    }
}

fn is_ahead(until: &str, now_s: u64) -> bool {
    until.parse::<u64>().is_ok_and(|until_s| now_s < until_s)
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    fn token(name: &str) -> Token {
        Token { name: name.to_owned(), scope: Scope::Read, sha256: hex(&[7; 32]), created_ns: 0 }
    }

    #[test]
    fn a_session_ends_with_its_time_and_with_its_token() {
        let key = Key::fixed(1);
        let ana = token("ana");
        let cookie = key.session(&ana, 1_000);
        assert!(key.knows_session(&cookie, &ana, 999));
        assert!(!key.knows_session(&cookie, &ana, 1_000), "too late");
        assert!(!key.knows_session(&cookie, &token("bob"), 999));
        let renewed = Token { sha256: hex(&[8; 32]), ..ana.clone() };
        assert!(!key.knows_session(&cookie, &renewed, 999), "the same name with another token");
        assert!(!Key::fixed(2).knows_session(&cookie, &ana, 999), "another deployment");
        assert!(!key.knows_session(&cookie.replace("1000", "9000"), &ana, 999), "a time of one's own");
        for bad in ["", "ana", "ana.1000", "ana.1000.", "ana.x.y", "...", "ana.1000.AAAA"] {
            assert!(!key.knows_session(bad, &ana, 999), "{bad}");
        }
    }

    #[test]
    fn a_link_is_for_one_alert_until_one_time_and_for_nothing_else() {
        let key = Key::fixed(1);
        let query = link_query(&key, "a1b2", 1_000);
        let signature = query.strip_prefix("until=1000&sig=").unwrap();
        assert!(key.knows_link("a1b2", "1000", signature, 999));
        assert!(!key.knows_link("a1b3", "1000", signature, 999));
        assert!(!key.knows_link("a1b2", "1001", signature, 999));
        assert!(!key.knows_link("a1b2", "1000", signature, 1_000));
        let local = key.local(940).0;
        assert!(key.knows_local(&local, 999) && !key.knows_local(&local, 1_000));
        assert!(!key.knows_local(&format!("local.1000.{signature}"), 999), "signed for another purpose");
    }

    #[test]
    fn a_signature_serves_one_purpose_and_one_set_of_parts() {
        let key = Key::fixed(1);
        let signature = key.sign("local", &["ab", "c"]);
        assert!(key.verify("local", &["ab", "c"], &signature));
        assert!(!key.verify("feedback", &["ab", "c"], &signature));
        assert!(!key.verify("local", &["a", "bc"], &signature));
        assert!(!key.verify("local", &["abc"], &signature));
    }

    #[test]
    fn a_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("access");
        let first = Key::read_or_make(&folder).ok().unwrap();
        let again = Key::read_or_make(&folder).ok().unwrap();
        assert_eq!(first.0, again.0);
        assert_ne!(first.0, [0; 32]);
        std::fs::write(folder.join("key"), "zz").unwrap();
        assert!(matches!(Key::read_or_make(&folder), Err(AccessError::Damaged { .. })));
    }
}
