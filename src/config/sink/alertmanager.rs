//! `type = "alertmanager"`: alerts are pushed to Prometheus Alertmanager.

use std::time::Duration;

use super::super::kind::Kind;
use super::super::plan::{AlertmanagerPlan, SinkKind};
use super::super::section::Section;
use super::super::source::Naming;
use super::super::web::{self, Wording};
use super::{Parse, TIMEOUT_DEFAULT};

const URL: Wording = Wording {
    other_scheme: "is not Alertmanager's",
    example: "Write it like \"http://alertmanager.example.com:9093\".",
    user: "Remove them, and let Alertmanager listen where only Eddy reaches it.",
};

pub const KIND: Kind<Parse> = Kind {
    name: "alertmanager",
    summary: "push each alert to Alertmanager, and resolve it there",
    example: r#"
type = "alertmanager"
url = "http://alertmanager.example.com:9093"
timeout = "15s"
"#,
    parse,
};

fn parse(section: &mut Section<'_>, _naming: &Naming<'_>) -> Option<SinkKind> {
    let url = section
        .required("url", "\"http://alertmanager.example.com:9093\"")
        .and_then(|field| web::url(&field, &URL));
    let timeout = section.or("timeout", TIMEOUT_DEFAULT, |field| {
        field.duration(Duration::from_secs(1)..=Duration::from_secs(60))
    });
    Some(SinkKind::Alertmanager(AlertmanagerPlan { url: url?.to_string(), timeout: timeout? }))
}
