//! `type = "file"`: one line of JSON an alert.

use super::super::kind::Kind;
use super::super::plan::SinkKind;
use super::Parse;

pub const KIND: Kind<Parse> = Kind {
    name: "file",
    summary: "append each alert to a file as one line of JSON",
    example: "type = \"file\"\npath = \"alerts.ndjson\"\n",
    parse: |section, _| {
        let path = section.required("path", "\"alerts.ndjson\"")?.file_path()?;
        Some(SinkKind::File { path })
    },
};
