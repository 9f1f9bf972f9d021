//! The tables of what there is to choose from: one row a `type`.

use super::section::Section;
use super::suggest;

/// One choice of `type`. `F` is the parse function its folder wants.
pub struct Kind<F> {
    /// What stands after `type = `.
    pub name: &'static str,
    /// A few words, shown to who chose a name that is not there.
    pub summary: &'static str,
    /// TOML that a user can start from; a test parses it.
    pub example: &'static str,
    pub parse: F,
}

/// What a parse function may need beside its own section.
pub struct Naming<'a> {
    pub deployment: &'a str,
    pub name: &'a str,
}

/// The row that the section's `type` names. On `None` a problem was recorded, and the other keys
/// cannot be judged.
pub fn choose<F>(section: &mut Section<'_>, kinds: &'static [Kind<F>]) -> Option<&'static Kind<F>> {
    let names = || kinds.iter().map(|kind| kind.name);
    let field = section.required("type", &format!("{:?}", kinds[0].name))?;
    let name = field.text()?;
    let kind = kinds.iter().find(|kind| kind.name == name);
    if kind.is_none() {
        let remedy = suggest::nearest(name, names()).map_or_else(
            || {
                let rows: Vec<_> = kinds.iter().map(|k| format!("{:?} ({})", k.name, k.summary)).collect();
                format!("Use {}.", suggest::list(rows.iter().map(String::as_str)))
            },
            |near| format!("Did you mean {near:?}?"),
        );
        field.problem(format!("there is no type {name:?}"), remedy);
    }
    kind
}
