//! A schema registry, asked by Confluent's API (`GET /schemas/ids/ID`, `GET /subjects/NAME/versions/N`).

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;

use crate::config::plan::{RegistryAccess, RegistryPlan};
use crate::schemas::Reference;
use crate::types::root_cause;

const ANSWER_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// What one schema may import, over all levels.
const REFERENCES_MAX: usize = 256;
/// The API's word for a schema that is not there, which another server's 404 lacks.
const NO_SCHEMA: i64 = 40403;

/// Has no `Debug`: it holds a password.
pub struct Registry {
    client: Client,
    url: Url,
    access: RegistryAccess,
}

/// What lies under an id.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: String,
    pub text: String,
    /// Each behind what it imports itself.
    pub references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Answer {
    schema: String,
    /// Left out for Avro.
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Import>,
}

#[derive(Deserialize)]
struct Import {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct Fault {
    error_code: i64,
}

impl Registry {
    /// # Errors
    /// If the files of `tls` cannot be used; the text names the remedy.
    pub fn new(plan: &RegistryPlan) -> Result<Self, String> {
        let url = Url::parse(&plan.url).map_err(|error| format!("`url` is none: {error}"))?;
        let mut builder = Client::builder()
            .user_agent(concat!("eddy/", env!("CARGO_PKG_VERSION")))
            .timeout(ANSWER_MAX)
            // Elsewhere nobody said that credentials may go.
            .redirect(redirect::Policy::none());
        if let Some(tls) = &plan.tls {
            let config =
                tls.client_config().map_err(|problem| format!("{}; {}", problem.fault, problem.remedy))?;
            builder = builder.tls_backend_preconfigured(config);
        }
        let client = builder.build().map_err(|error| root_cause(&error))?;
        Ok(Registry { client, url, access: plan.access.clone() })
    }

    /// What lies under an id; `None` if the registry has no such id.
    ///
    /// # Errors
    /// If it cannot say: it is away, or refuses. The text names the remedy.
    pub async fn schema(&self, id: i32) -> Result<Option<Found>, String> {
        let Some(answer) = self.ask(&["schemas", "ids", &id.to_string()]).await? else { return Ok(None) };
        let mut references = Vec::new();
        // Depth first; an import is taken once what it imports itself is.
        let mut open: Vec<(Import, Option<String>)> = Vec::new();
        open.extend(answer.references.into_iter().rev().map(|import| (import, None)));
        let mut asked = 0;
        while let Some((import, text)) = open.pop() {
            if references.iter().any(|known: &Reference| known.name == import.name) {
                continue;
            }
            if let Some(text) = text {
                references.push(Reference { name: import.name, text });
                continue;
            }
            asked += 1;
            if asked > REFERENCES_MAX {
                return Err(format!("schema {id} imports more than {REFERENCES_MAX} others, or itself"));
            }
            let Import { name, subject, version } = import;
            let found = self.ask(&["subjects", &subject, "versions", &version.to_string()]).await?;
            let found = found.ok_or_else(|| {
                format!("version {version} of {subject:?}, which schema {id} imports, is not there; register it again")
            })?;
            open.push((Import { name, subject, version }, Some(found.schema)));
            open.extend(found.references.into_iter().rev().map(|import| (import, None)));
        }
        Ok(Some(Found {
            kind: answer.kind.unwrap_or_else(|| "AVRO".to_owned()),
            text: answer.schema,
            references,
        }))
    }

    async fn ask(&self, path: &[&str]) -> Result<Option<Answer>, String> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => return Err("its `url` cannot have a path".to_owned()),
        }
        let request =
            self.client.get(url).header(ACCEPT, "application/vnd.schemaregistry.v1+json, application/json");
        let request = match &self.access {
            RegistryAccess::Open => request,
            RegistryAccess::Basic { username, password } => request.basic_auth(username, Some(password)),
            RegistryAccess::Bearer { token } => request.bearer_auth(token),
        };
        let mut response = request.send().await.map_err(|error| self.away(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.away(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(format!("it answers with more than {ANSWER_BYTES_MAX} bytes; check `url`"));
            }
        }
        self.judge(status, &body)
    }

    fn judge(&self, status: StatusCode, body: &[u8]) -> Result<Option<Answer>, String> {
        let url = &self.url;
        match status {
            StatusCode::OK => serde_json::from_slice(body)
                .map(Some)
                .map_err(|error| format!("{url} answers with what is no schema ({error}); check `url`")),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(format!(
                "{url} refuses Eddy ({status}); correct the registry's `username` and `password` or `token`, or let that \
                 user read schemas"
            )),
            StatusCode::NOT_FOUND => match serde_json::from_slice(body) {
                // 40401 and 40402 are of a subject and its version.
                Ok(Fault { error_code: NO_SCHEMA | 40401 | 40402 }) => Ok(None),
                _ => Err(format!(
                    "{url} is no registry ({status}); correct `url`, with the path of its API if it has one, such as \
                     /apis/ccompat/v7"
                )),
            },
            _ => Err(format!("{url} answers {status}; look at the registry's log")),
        }
    }

    fn away(&self, error: &reqwest::Error) -> String {
        let url = &self.url;
        let cause = root_cause(error);
        if error.is_timeout() {
            format!("{url} does not answer within {ANSWER_MAX:?}; check that the registry runs")
        } else {
            format!("{url} cannot be reached ({cause}); check that the registry runs, and `url` and `tls`")
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, Uri};

    use super::*;

    /// A registry with a few schemas, where only this token may read.
    async fn answer(uri: Uri, headers: HeaderMap) -> (StatusCode, String) {
        let body = match uri.path() {
            "/api/schemas/ids/1" => r#"{"schema":"\"int\""}"#,
            "/api/schemas/ids/2" => {
                r#"{"schema":"two","schemaType":"PROTOBUF","references":[
                    {"name":"a.proto","subject":"a/b c","version":3},{"name":"c.proto","subject":"c","version":1}]}"#
            }
            "/api/subjects/a%2Fb%20c/versions/3" => {
                r#"{"schema":"a","references":[{"name":"c.proto","subject":"c","version":1}]}"#
            }
            "/api/subjects/c/versions/1" => r#"{"schema":"c"}"#,
            "/api/schemas/ids/3" => {
                r#"{"schema":"three","references":[{"name":"x","subject":"x","version":1}]}"#
            }
            "/api/schemas/ids/5" => "<html>",
            "/api/schemas/ids/6" => return (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            "/api/schemas/ids/7" => return (StatusCode::NOT_FOUND, "<html>".to_owned()),
            _ => return (StatusCode::NOT_FOUND, r#"{"error_code":40403,"message":"none"}"#.to_owned()),
        };
        match headers.get("authorization").and_then(|value| value.to_str().ok()) {
            Some("Bearer t") => (StatusCode::OK, body.to_owned()),
            _ => (StatusCode::UNAUTHORIZED, String::new()),
        }
    }

    async fn registry(token: &str) -> Registry {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let access = RegistryAccess::Bearer { token: token.to_owned() };
        Registry::new(&RegistryPlan { url, access, tls: None }).unwrap()
    }

    #[tokio::test]
    async fn a_schema_comes_with_what_it_imports() {
        let registry = registry("t").await;
        let one = registry.schema(1).await.unwrap().unwrap();
        assert_eq!((one.kind.as_str(), one.text.as_str()), ("AVRO", "\"int\""));
        let two = registry.schema(2).await.unwrap().unwrap();
        assert_eq!((two.kind.as_str(), two.text.as_str()), ("PROTOBUF", "two"));
        let reference = |name: &str, text: &str| Reference { name: name.into(), text: text.into() };
        assert_eq!(two.references, [reference("c.proto", "c"), reference("a.proto", "a")]);
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_from_what_cannot_be_said() {
        let registry = registry("t").await;
        assert_eq!(registry.schema(4).await, Ok(None));
        for (id, word) in [(3, "register it again"), (5, "no schema"), (6, "500"), (7, "is no registry")] {
            let told = registry.schema(id).await;
            assert!(told.as_ref().is_err_and(|reason| reason.contains(word)), "{id}: {told:?}");
        }
    }

    #[tokio::test]
    async fn a_wrong_token_and_a_registry_that_is_away_are_told_apart() {
        let told = registry("wrong").await.schema(1).await.unwrap_err();
        assert!(told.contains("refuses Eddy (401"), "{told}");
        let plan = RegistryPlan { url: "http://127.0.0.1:9".into(), access: RegistryAccess::Open, tls: None };
        let told = Registry::new(&plan).unwrap().schema(1).await.unwrap_err();
        assert!(told.contains("cannot be reached"), "{told}");
    }
}
