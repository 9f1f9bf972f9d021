//! `type = "webhook"`: signed by the Standard Webhooks specification.

use super::super::field::Field;
use super::super::kind::{Kind, Naming};
use super::super::plan::{BodyFormat, SinkKind, WebhookPlan};
use super::super::section::Section;
use super::super::web::{self, Wording};
use super::keys::keys;
use super::{Parse, timeout};

const URL: Wording = Wording {
    other_scheme: "is not a webhook",
    example: "Write it like \"https://alerts.example.com/hooks/eddy\".",
    user: "Remove them; the receiver knows Eddy by the signature.",
};

pub const KIND: Kind<Parse> = Kind {
    name: "webhook",
    summary: "POST each alert, signed by the Standard Webhooks specification",
    example: r#"
type = "webhook"
url = "https://alerts.example.com/hooks/eddy"
secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
format = "standard"
timeout = "15s"
"#,
    parse,
};

const FORMATS: [(&str, BodyFormat); 4] = [
    ("standard", BodyFormat::Standard),
    ("cloudevents", BodyFormat::CloudEvents),
    ("cloudevents-binary", BodyFormat::CloudEventsBinary),
    ("alertmanager", BodyFormat::Alertmanager),
];

fn parse(section: &mut Section<'_>, _naming: &Naming<'_>) -> Option<SinkKind> {
    let url = section
        .required("url", "\"https://alerts.example.com/hooks/eddy\"")
        .and_then(|field| web::url(&field, &URL));
    let secret = section.required("secret", "\"env:NAME\"").and_then(|field| keys(&field));
    let format = section.or("format", BodyFormat::Standard, |field| format(&field));
    let timeout = timeout(section);
    Some(SinkKind::Webhook(WebhookPlan {
        url: url?.to_string(),
        format: format?,
        secret: secret?,
        timeout: timeout?,
    }))
}

fn format(field: &Field<'_>) -> Option<BodyFormat> {
    let name = field.text()?;
    let found = FORMATS.iter().find(|(known, _)| *known == name);
    if found.is_none() {
        let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
        field.problem(format!("there is no format {name:?}"), format!("Use one of {}.", names.join(", ")));
    }
    found.map(|(_, format)| *format)
}
