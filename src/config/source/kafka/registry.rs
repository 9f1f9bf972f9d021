//! `registry`: where the schemas of a cluster's messages are.

use url::Url;

use super::super::super::field::Field;
use super::super::super::kafka;
use super::super::super::plan::{RegistryAccess, RegistryPlan};
use super::super::super::web::{self, Wording};

const URL: Wording = Wording {
    other_scheme: "is no registry",
    example: "Write it like \"https://registry.plant.local:8081\".",
    user: "Write them as `username` and `password`.",
};

pub fn registry(field: &Field<'_>) -> Option<RegistryPlan> {
    let mut section = field.section()?;
    let url = section.required("url", "\"https://registry.plant.local:8081\"").and_then(|field| url(&field));
    let username = section.maybe("username", |field| field.text().map(str::to_owned));
    let password = section.maybe("password", |field| field.secret().map(str::to_owned));
    let token = section.maybe("token", |field| field.secret().map(str::to_owned));
    let tls = section.maybe("tls", |field| kafka::tls(&field));
    let here = section.here().clone();
    section.finish();
    let access = match (username?, password?, token?) {
        (None, None, None) => RegistryAccess::Open,
        (Some(username), Some(password), None) => RegistryAccess::Basic { username, password },
        (None, None, Some(token)) => RegistryAccess::Bearer { token },
        (username, _, None) => {
            let (given, other) =
                if username.is_some() { ("username", "password") } else { ("password", "username") };
            let remedy = format!("Add `{other} = …`, or remove `{given}`.");
            here.locate(given).problem("a user and a password go together", remedy);
            return None;
        }
        (_, _, Some(_)) => {
            here.locate("token").problem(
                "stands beside a user or a password",
                "Keep the one that the registry asks for, and remove the other.",
            );
            return None;
        }
    };
    let (url, tls) = (url?, tls?);
    if tls.is_some() && url.scheme() == "http" {
        here.locate("tls")
            .problem("the registry is asked in clear", "Write the url with https://, or remove `tls`.");
        return None;
    }
    if !matches!(access, RegistryAccess::Open) && !web::is_private(&url) {
        here.locate("url").problem(
            "a password or token would go to another machine in clear",
            "Write the url with https://, or remove who Eddy is.",
        );
        return None;
    }
    Some(RegistryPlan { url: url.as_str().trim_end_matches('/').to_owned(), access, tls })
}

fn url(field: &Field<'_>) -> Option<Url> {
    let url = web::url(field, &URL)?;
    if url.query().is_some() || url.fragment().is_some() {
        field.problem("has something behind ? or #, where a path is appended", "Remove that.");
        return None;
    }
    Some(url)
}
