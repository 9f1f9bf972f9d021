//! Who may ask what of the page and the API, and what was done by whom.
//!
//! Everything lies in the folder `access` of the data folder: `key`, which signs sessions and feedback links;
//! `tokens.json`, the tokens as hashes; `audit.jsonl`, what was done; `feedback.jsonl`, what people said of alerts.
//! Nothing of it is read by a decision.

mod attempts;
mod audit;
mod feedback;
mod file;
mod key;
mod tokens;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

pub use audit::{Audit, AuditEntry, Deed};
pub use feedback::{Feedback, FeedbackLog, labels_csv};
pub use key::{Key, LINK_S, Links, Local, SESSION_S, link_query};
pub use tokens::{Scope, Token, Tokens};

use attempts::Attempts;

/// Of the data folder.
const FOLDER: &str = "access";

/// A file of the folder `access` that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("cannot {action} {}: {source}; check free space, permissions and the disk itself", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} cannot be read: {detail}; restore it from a backup, or delete it and add the tokens again", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("there is a token {name} already; revoke it first, or choose another name")]
    Taken { name: String },
    #[error("there is no token {name}; `eddy token list` says which there are")]
    Unknown { name: String },
    #[error("{name:?} is no name of a token; use letters, digits, - and _, at most 64")]
    Name { name: String },
}

impl AccessError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AccessError {
        move |source| AccessError::Io { action, path: path.to_owned(), source }
    }
}

/// Where a deployment's access files are.
pub fn folder(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Of the token; `-` where none is asked for, `command line` for who can read the data folder.
    pub name: String,
    pub scope: Scope,
    /// Known by a cookie, which a browser sends whoever made it ask.
    pub by_cookie: bool,
}

/// Why somebody was not let in.
#[derive(Debug)]
pub enum Denied {
    /// Showed nothing.
    Stranger,
    /// Showed something that is not, or no longer, good.
    Wrong,
    /// The same, too often; seconds until the next try is looked at.
    TooOften(u64),
    /// Nobody can be let in while the tokens cannot be read.
    Broken(AccessError),
}

/// What is asked of every request. Cheap to ask: files are read again only when they have changed.
pub struct Access {
    tokens: Tokens,
    key: Key,
    attempts: Mutex<Attempts>,
    audit: Audit,
    feedback: FeedbackLog,
}

impl Access {
    /// Makes the folder and the key if they are not there, and keeps its files from growing for ever. By whoever has the data
    /// folder alone.
    ///
    /// # Errors
    /// If the folder or the key can be neither made nor read.
    pub fn open(data: &Path) -> Result<Access, AccessError> {
        let folder = folder(data);
        let key = Key::read_or_make(&folder)?;
        let access = Access::of(&folder, key);
        if let Err(error) = access.audit.rotate().and_then(|()| access.feedback.compact()) {
            tracing::warn!(%error, "files of `access` that have become large stay as they are");
        }
        Ok(access)
    }

    /// Reads and writes nothing yet.
    pub fn of(folder: &Path, key: Key) -> Access {
        Access {
            tokens: Tokens::of(folder),
            key,
            attempts: Mutex::new(Attempts::default()),
            audit: Audit::of(folder),
            feedback: FeedbackLog::of(folder),
        }
    }

    /// Whether there is a token.
    ///
    /// # Errors
    /// If the tokens cannot be read.
    pub fn has_tokens(&self) -> Result<bool, AccessError> {
        Ok(!self.tokens.read()?.is_empty())
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    pub fn feedback(&self) -> &FeedbackLog {
        &self.feedback
    }

    /// Who shows `bearer`, else `cookie`. `now_s`: Unix time.
    ///
    /// A good token is let in however many bad ones came from the same address: with 256 random bits none is found by
    /// trying, and a proxy's address is everybody's.
    ///
    /// # Errors
    /// If neither is good.
    pub fn identify(
        &self,
        bearer: Option<&str>,
        cookie: Option<&str>,
        from: IpAddr,
        now_s: u64,
    ) -> Result<Who, Denied> {
        let tokens = self.tokens.read().map_err(Denied::Broken)?;
        if let Some(bearer) = bearer {
            if let Some(token) = tokens::find(&tokens, bearer) {
                return Ok(Who { name: token.name.clone(), scope: token.scope, by_cookie: false });
            }
            if self.key.knows_local(bearer, now_s) {
                return Ok(Who { name: "command line".to_owned(), scope: Scope::Admin, by_cookie: false });
            }
            return Err(self.failed(from, now_s));
        }
        let Some(cookie) = cookie else { return Err(Denied::Stranger) };
        let token = tokens.iter().find(|token| self.key.knows_session(cookie, token, now_s));
        // A session that ended is no attempt: every browser left open would be one.
        let token = token.ok_or(Denied::Wrong)?;
        Ok(Who { name: token.name.clone(), scope: token.scope, by_cookie: true })
    }

    /// The token typed into the form, and the cookie for it.
    ///
    /// # Errors
    /// If it is not good.
    pub fn log_in(&self, typed: &str, from: IpAddr, now_s: u64) -> Result<(Who, String), Denied> {
        let tokens = self.tokens.read().map_err(Denied::Broken)?;
        let token = tokens::find(&tokens, typed.trim()).ok_or_else(|| self.failed(from, now_s))?;
        let who = Who { name: token.name.clone(), scope: token.scope, by_cookie: true };
        Ok((who, self.key.session(token, now_s + SESSION_S)))
    }

    fn failed(&self, from: IpAddr, now_s: u64) -> Denied {
        match lock(&self.attempts).failed(from, now_s) {
            0 => Denied::Wrong,
            wait_s => Denied::TooOften(wait_s),
        }
    }

    /// Counts a signature that is not good; seconds until the next try is looked at, 0 while there were few.
    pub fn bad_link(&self, from: IpAddr, now_s: u64) -> u64 {
        lock(&self.attempts).failed(from, now_s)
    }
}

/// Nothing is left half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests;
