//! Tokens: 256 random bits, shown once, kept as their SHA-256.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AccessError, file, lock};
use crate::types::hex;

const TOKENS_FILE: &str = "tokens.json";
const LOCK_FILE: &str = "lock";
/// Tells a token from other text, for whoever finds one where it should not be.
const PREFIX: &str = "eddy_";
const NAME_BYTES_MAX: usize = 64;

/// What a token lets its holder do. Each scope holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See everything but the audit log.
    Read,
    /// Say what an alert was.
    Feedback,
    /// Change what Eddy does, and read who did.
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Feedback, Scope::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Feedback => "feedback",
            Scope::Admin => "admin",
        }
    }
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub name: String,
    pub scope: Scope,
    /// Of the token's text, hexadecimal. What is random in full needs neither salt nor a slow hash.
    pub sha256: String,
    /// Wall time.
    pub created_ns: i64,
}

/// Of the file as it was read last: another one has another inode, since it is replaced whole.
type Stamp = (u64, u64, i64, i64);

/// The file of tokens, read again when it has changed: what the command line adds or revokes holds from the next
/// request on.
pub struct Tokens {
    folder: PathBuf,
    read: Mutex<(Option<Stamp>, Arc<[Token]>)>,
}

impl Tokens {
    /// Reads nothing yet.
    pub fn of(folder: &Path) -> Tokens {
        Tokens { folder: folder.to_owned(), read: Mutex::new((None, Arc::new([]))) }
    }

    /// # Errors
    /// If there is a file that cannot be read: nobody may take that for none.
    pub fn read(&self) -> Result<Arc<[Token]>, AccessError> {
        let path = self.folder.join(TOKENS_FILE);
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(AccessError::io("read", &path)(error)),
        };
        let stamp = metadata.as_ref().map(stamp);
        let mut read = lock(&self.read);
        if read.0 != stamp {
            *read = (None, Arc::new([]));
            if stamp.is_some() {
                *read = (stamp, read_file(&path)?.into());
            }
        }
        Ok(read.1.clone())
    }

    /// Makes a token; its text is nowhere else from then on.
    ///
    /// # Errors
    /// If the name is no name or is taken, or the file cannot be written.
    pub fn add(&self, name: &str, scope: Scope, now_ns: i64) -> Result<String, AccessError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
            return Err(AccessError::Name { name: name.to_owned() });
        }
        let text = format!("{PREFIX}{}", BASE64.encode(rand::random::<[u8; 32]>()));
        self.change(|tokens| {
            if tokens.iter().any(|token| token.name == name) {
                return Err(AccessError::Taken { name: name.to_owned() });
            }
            let sha256 = hex(&Sha256::digest(&text));
            tokens.push(Token { name: name.to_owned(), scope, sha256, created_ns: now_ns });
            Ok(())
        })?;
        Ok(text)
    }

    /// # Errors
    /// If there is none of this name, or the file cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), AccessError> {
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.name != name);
            if tokens.len() < before { Ok(()) } else { Err(AccessError::Unknown { name: name.to_owned() }) }
        })
    }

    /// One change at a time, by whichever process.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Token>) -> Result<(), AccessError>,
    ) -> Result<(), AccessError> {
        file::make_folder(&self.folder)?;
        let lock_path = self.folder.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        let open = options.write(true).create(true).truncate(false).open(&lock_path);
        let held: File = open.map_err(AccessError::io("open", &lock_path))?;
        held.lock().map_err(AccessError::io("lock", &lock_path))?;
        let mut tokens = self.read()?.to_vec();
        change(&mut tokens)?;
        let json = serde_json::to_vec_pretty(&tokens).expect("texts and numbers");
        file::replace(&self.folder.join(TOKENS_FILE), &json)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn read_file(path: &Path) -> Result<Vec<Token>, AccessError> {
    let bytes = std::fs::read(path).map_err(AccessError::io("read", path))?;
    // The error says where, and nothing of what stands there.
    serde_json::from_slice(&bytes)
        .map_err(|error| AccessError::Damaged { path: path.to_owned(), detail: error.to_string() })
}

/// Whose text it is. All are looked at, each in full, so that the time it takes says nothing.
pub fn find<'a>(tokens: &'a [Token], text: &str) -> Option<&'a Token> {
    let sha256 = hex(&Sha256::digest(text));
    let mut found = None;
    for token in tokens {
        if same(token.sha256.as_bytes(), sha256.as_bytes()) {
            found = Some(token);
        }
    }
    found
}

/// Equal, in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences =
        a.iter().zip(b).fold(0, |differences, (a, b)| std::hint::black_box(differences | (a ^ b)));
    a.len() == b.len() && differences == 0
}
