//! Addresses that requests are sent to.

use url::Url;

use super::field::Field;

/// What is wrong with one, as a problem says it.
pub struct Wording {
    /// Behind another scheme: "is not a webhook".
    pub other_scheme: &'static str,
    pub example: &'static str,
    /// Where a user and a password belong.
    pub user: &'static str,
}

/// Of `http://` or `https://`. Never repeated in a problem: it may hold a password.
pub fn url(field: &Field<'_>, wording: &Wording) -> Option<Url> {
    let found = check(field.text()?, wording);
    if let Err((fault, remedy)) = &found {
        field.problem(fault, *remedy);
    }
    found.ok()
}

/// The same of a text; else what is wrong with it, and the remedy.
pub fn check(text: &str, wording: &Wording) -> Result<Url, (String, &'static str)> {
    match Url::parse(text) {
        Err(error) => Err((format!("is not a URL ({error})"), wording.example)),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Err((format!("{}:// {}", url.scheme(), wording.other_scheme), wording.example))
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err(("must not hold a user or password, because URLs are shown in logs".to_owned(), wording.user))
        }
        Ok(url) => Ok(url),
    }
}

/// Whether what is sent there is read by nobody on the way: it is ciphered, or stays on this machine.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}
