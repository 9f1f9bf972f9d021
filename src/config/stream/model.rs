//! `model`: fitted on the first stretch of the stream itself, or loaded from a file.

use std::time::Duration;

use super::super::field::Field;
use super::super::kind::{Kind, choose};
use super::super::plan::ModelPlan;
use super::super::section::Section;
use super::super::suggest;

pub type Parse = fn(&mut Section<'_>) -> Option<ModelPlan>;

pub const KINDS: &[Kind<Parse>] = &[
    Kind {
        name: "fit",
        summary: "learn what is normal from the stream itself; verdicts are early until `warmup` is over",
        example: r#"model = { type = "fit", warmup = "10m" }"#,
        parse: fit,
    },
    Kind {
        name: "load",
        summary: "a file made by `eddy train`",
        example: r#"model = { type = "load", path = "models/pumps.safetensors" }"#,
        parse: |section| {
            let path =
                section.required("path", "\"models/pumps.safetensors\"").and_then(|path| path.file_path());
            let refit = section.or("refit", None, |field| refit(&field));
            let memory = section.or("memory", MEMORY_DEFAULT, |field| field.size(0..=MEMORY_MAX));
            Some(ModelPlan::Load { path: path?, refit: refit?, memory_bytes: memory? })
        },
    },
    Kind {
        name: "transactions",
        summary: "payments one by one: by amount, and by what became of earlier ones",
        example: r#"model = { type = "transactions", amount = "amount" }"#,
        parse: |section| {
            let amount = section.required("amount", "\"amount\"").and_then(|field| field.name());
            Some(ModelPlan::Transactions { amount: amount?.to_string() })
        },
    },
];

/// A refit looks back on four of these: below, it would take a quiet quarter of an hour for all there is.
const REFIT_MIN: Duration = Duration::from_secs(60);
const REFIT_MAX: Duration = Duration::from_secs(30 * 86_400);

/// A density of its own for some fifty keys of a few columns, or thirty of many.
pub const MEMORY_DEFAULT: u64 = 128_000_000;
const MEMORY_MAX: u64 = 1 << 40;

const WARMUP_DEFAULT: Duration = Duration::from_secs(600);
const WARMUP_MIN: Duration = Duration::from_secs(10);
const WARMUP_MAX: Duration = Duration::from_secs(30 * 86_400);

pub const DEFAULT: ModelPlan = ModelPlan::Fit { warmup: WARMUP_DEFAULT };

/// `"fit"` is short for `{ type = "fit" }`.
pub fn parse(field: &Field<'_>) -> Option<ModelPlan> {
    if field.is_text() {
        return short(field, field.text()?);
    }
    let mut section = field.section()?;
    let kind = choose(&mut section, KINDS)?;
    let model = (kind.parse)(&mut section);
    section.finish();
    model
}

fn short(field: &Field<'_>, text: &str) -> Option<ModelPlan> {
    if text == "fit" {
        return Some(DEFAULT);
    }
    let remedy = match suggest::nearest(text, KINDS.iter().map(|kind| kind.name)) {
        Some("load") => "Write { type = \"load\", path = \"models/…\" }.".to_string(),
        Some("transactions") => "Write { type = \"transactions\", amount = \"COLUMN\" }.".to_string(),
        Some(near) => format!("Did you mean {near:?}?"),
        None => "Write \"fit\", or { type = \"load\", path = \"models/…\" }.".to_string(),
    };
    field.problem(format!("{text:?} is not a model by itself"), remedy);
    None
}

fn fit(section: &mut Section<'_>) -> Option<ModelPlan> {
    let warmup = section.or("warmup", WARMUP_DEFAULT, |field| field.duration(WARMUP_MIN..=WARMUP_MAX))?;
    Some(ModelPlan::Fit { warmup })
}

/// `"off"`: the model stays as it is.
fn refit(field: &Field<'_>) -> Option<Option<Duration>> {
    if field.is_text() && field.text() == Some("off") {
        return Some(None);
    }
    field.duration(REFIT_MIN..=REFIT_MAX).map(Some)
}
