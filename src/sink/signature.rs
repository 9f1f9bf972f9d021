//! Signatures of the Standard Webhooks specification over `{id}.{timestamp}.{body}`: version `v1`, base64 of
//! HMAC-SHA256, and `v1a`, base64 of ed25519 (RFC 8032).

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::plan::SigningKey;

enum Keyed {
    Symmetric(Box<Hmac<Sha256>>),
    Private(Box<Ed25519KeyPair>),
}

/// Signs with every key it holds. Prints nothing of them.
pub struct Signer {
    keyed: Vec<Keyed>,
}

impl Signer {
    pub fn new(keys: &[SigningKey]) -> Self {
        // HMAC takes keys of any length (RFC 2104, section 2) and every 32 bytes are the seed of an ed25519 key, so none is
        // ever left out here.
        let keyed = |key: &SigningKey| match key {
            SigningKey::Symmetric(key) => Some(Keyed::Symmetric(Box::new(Hmac::new_from_slice(key).ok()?))),
            SigningKey::Private(seed) => Some(Keyed::Private(Box::new(pair(seed)?))),
        };
        Signer { keyed: keys.iter().filter_map(keyed).collect() }
    }

    /// The `webhook-signature` header: one `v1,<base64>` or `v1a,<base64>` a key, in the order given, separated by
    /// spaces. A receiver that knows any of them accepts, so keys rotate without a gap.
    pub fn sign(&self, message_id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let prefix = format!("{message_id}.{timestamp_s}.");
        let sign = |keyed: &Keyed| match keyed {
            Keyed::Symmetric(keyed) => {
                let mut mac = keyed.as_ref().clone();
                mac.update(prefix.as_bytes());
                mac.update(body);
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            }
            Keyed::Private(pair) => {
                let signed = [prefix.as_bytes(), body].concat();
                format!("v1a,{}", STANDARD.encode(pair.sign(&signed)))
            }
        };
        self.keyed.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

/// What receivers verify signatures of private keys with: `whpk_` and base64 of the public key.
pub fn public_keys(keys: &[SigningKey]) -> Vec<String> {
    let public = |key: &SigningKey| match key {
        SigningKey::Symmetric(_) => None,
        SigningKey::Private(seed) => {
            Some(format!("whpk_{}", STANDARD.encode(pair(seed)?.public_key().as_ref())))
        }
    };
    keys.iter().filter_map(public).collect()
}

fn pair(seed: &[u8; 32]) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(seed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signature_of_the_published_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signer = Signer::new(&[SigningKey::Symmetric(secret)]);
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..][..2], 16).unwrap())
    }

    /// Test 1 of RFC 8032, section 7.1: the seed's public key.
    #[test]
    fn a_private_key_has_the_published_public_key() {
        let seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public: [u8; 32] = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let expected = format!("whpk_{}", STANDARD.encode(public));
        assert_eq!(public_keys(&[SigningKey::Private(seed)]), [expected]);
        assert_eq!(public_keys(&[SigningKey::Symmetric(vec![7; 32])]), [""; 0], "it is no secret");
    }

    #[test]
    fn each_key_of_a_rotation_signs_in_its_own_version() {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let keys = [SigningKey::Private(seed), SigningKey::Symmetric(vec![7; 32])];
        let header = Signer::new(&keys).sign("a_1", 5, b"{}");
        let signatures: Vec<&str> = header.split(' ').collect();
        assert_eq!(signatures.len(), 2, "{header}");
        assert!(signatures[1].starts_with("v1,"), "{header}");
        let signature = STANDARD.decode(signatures[0].strip_prefix("v1a,").unwrap()).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, pair(&seed).unwrap().public_key().as_ref().to_vec());
        assert!(public.verify(b"a_1.5.{}", &signature).is_ok());
        assert!(public.verify(b"a_1.6.{}", &signature).is_err());
    }
}
