//! `type = "stdout"`: one line of JSON an alert.

use super::super::kind::Kind;
use super::super::plan::SinkKind;
use super::Parse;

pub const KIND: Kind<Parse> = Kind {
    name: "stdout",
    summary: "print each alert as one line of JSON",
    example: "type = \"stdout\"\n",
    parse: |_, _| Some(SinkKind::Stdout),
};
