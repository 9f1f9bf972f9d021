//! Signatures of the Standard Webhooks specification, version `v1`:
//! base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Signs with every secret it holds. Prints nothing of them.
pub struct Signer {
    keyed: Vec<Hmac<Sha256>>,
}

impl Signer {
    pub fn new(secrets: &[Vec<u8>]) -> Self {
        // HMAC takes keys of any length (RFC 2104, section 2), so none is ever left out here.
        Signer { keyed: secrets.iter().filter_map(|secret| Hmac::new_from_slice(secret).ok()).collect() }
    }

    /// The `webhook-signature` header: one `v1,<base64>` a secret, in the order given, separated by
    /// spaces. A receiver that knows any of them accepts, so secrets rotate without a gap.
    pub fn sign(&self, message_id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let prefix = format!("{message_id}.{timestamp_s}.");
        let sign = |keyed: &Hmac<Sha256>| {
            let mut mac = keyed.clone();
            mac.update(prefix.as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.keyed.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signature_of_the_published_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = Signer::new(&[secret]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
