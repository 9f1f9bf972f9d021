//! `type = "alertmanager"`: alerts are pushed to Prometheus Alertmanager.

use super::super::kind::{Kind, Naming};
use super::super::plan::{AlertmanagerPlan, SinkKind};
use super::super::section::Section;
use super::super::web::{self, Wording};
use super::{Parse, timeout};

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
    let timeout = timeout(section);
    Some(SinkKind::Alertmanager(AlertmanagerPlan { url: url?.to_string(), timeout: timeout? }))
}
