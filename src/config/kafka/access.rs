//! How the brokers are known to be the right ones, and Eddy to them.

use super::super::field::Field;
use super::super::plan::{SaslMechanism, SaslPlan, TlsPlan, TokenPlan};
use super::super::section::Section;
use super::super::suggest;
use super::super::tls::checked;
use super::super::web::{self, Wording};

const TOKEN_EXAMPLE: &str = "Write it like \"https://login.example.com/oauth2/token\", and who Eddy is in `client_id` and `client_secret`.";
const TOKEN_URL: Wording =
    Wording { other_scheme: "gives no tokens", example: TOKEN_EXAMPLE, user: TOKEN_EXAMPLE };

/// An empty table is TLS with the system's authorities.
pub fn tls(field: &Field<'_>) -> Option<TlsPlan> {
    let mut section = field.section()?;
    let mut file = |key| section.maybe(key, |field| field.file_path());
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    let here = section.here().clone();
    section.finish();
    checked(&here, ca?, cert?, key?)
}

/// Who Eddy is: by a password, or by a token that is fetched.
pub fn sasl(field: &Field<'_>) -> Option<SaslPlan> {
    let mut section = field.section()?;
    let mechanism = section.required("mechanism", "\"SCRAM-SHA-512\"").and_then(|field| mechanism(&field));
    let plan = match mechanism {
        Some(Mechanism::Password(mechanism)) => with_password(&mut section, mechanism),
        Some(Mechanism::Token) => with_token(&mut section).map(SaslPlan::Token),
        // Which keys belong to it is not known.
        None => return None,
    };
    section.finish();
    plan
}

fn with_password(section: &mut Section<'_>, mechanism: SaslMechanism) -> Option<SaslPlan> {
    let username =
        section.required("username", "\"eddy\"").and_then(|field| field.text().map(str::to_string));
    let password = section
        .required("password", "\"env:KAFKA_PASSWORD\"")
        .and_then(|field| field.secret().map(str::to_string));
    Some(SaslPlan::Password { mechanism, username: username?, password: password? })
}

fn with_token(section: &mut Section<'_>) -> Option<TokenPlan> {
    let url = section
        .required("token_url", "\"https://login.example.com/oauth2/token\"")
        .and_then(|field| token_url(&field));
    let client_id =
        section.required("client_id", "\"eddy\"").and_then(|field| field.text().map(str::to_string));
    let client_secret = section
        .required("client_secret", "\"env:KAFKA_CLIENT_SECRET\"")
        .and_then(|field| field.secret().map(str::to_string));
    let scope = section.maybe("scope", |field| field.text().map(str::to_string));
    Some(TokenPlan { url: url?, client_id: client_id?, client_secret: client_secret?, scope: scope? })
}

fn token_url(field: &Field<'_>) -> Option<String> {
    let url = web::url(field, &TOKEN_URL)?;
    if !web::is_private(&url) {
        field.problem("would have `client_secret` go to another machine in clear", TOKEN_URL.example);
        return None;
    }
    Some(url.to_string())
}

enum Mechanism {
    Password(SaslMechanism),
    Token,
}

fn mechanism(field: &Field<'_>) -> Option<Mechanism> {
    let text = field.text()?;
    if text == "OAUTHBEARER" {
        return Some(Mechanism::Token);
    }
    let found = SaslMechanism::ALL.into_iter().find(|mechanism| mechanism.as_str() == text);
    if found.is_none() {
        let fault = match text {
            "GSSAPI" => "is not built in: it takes the system's Kerberos libraries",
            _ => "is no mechanism that is known here",
        };
        let names = SaslMechanism::ALL.iter().map(|mechanism| mechanism.as_str()).chain(["OAUTHBEARER"]);
        let names = suggest::list(names);
        field.problem(format!("{text:?} {fault}"), format!("Use {names}, or a client certificate in `tls`."));
    }
    found.map(Mechanism::Password)
}
