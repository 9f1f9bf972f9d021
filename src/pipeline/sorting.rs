//! Files whose rows are in no order of time: which they are, and how they are sorted.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::config::plan::{FieldPath, Plan, ReplayPlan, SourceKind, StreamPlan, TimePlan, TimeUnit};
use crate::status::{LateRows, Status, late_remedy};
use crate::types::StreamId;

/// Next to nothing of a stream's files was judged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "nearly nothing was judged: {} of {} rows of stream {stream} came too late for their windows. {remedy}. Replay what is \
     sorted with an empty `[durable] path`: this one holds the rows as they came",
    rows.late, rows.rows
)]
pub struct Unsorted {
    stream: String,
    rows: LateRows,
    remedy: String,
}

/// Whether the files of a deployment, which have been read through, could be used. Whatever else sends to a stream may
/// have sent late rows of its own.
///
/// # Errors
/// The first stream of files alone of which nearly all rows were late.
pub fn were_sorted(plan: &Plan, status: &Status) -> Result<(), Unsorted> {
    for (id, stream) in (0..).map(StreamId).zip(&plan.streams) {
        let rows = LateRows::of(status.stream(id));
        if rows.are_nearly_all() && files(plan, stream).count() == stream.from.len() {
            return Err(Unsorted { stream: stream.name.clone(), rows, remedy: remedy(plan, stream, rows) });
        }
    }
    Ok(())
}

/// What to do about late rows, with the command that sorts a file that holds them.
pub(super) fn remedy(plan: &Plan, stream: &StreamPlan, rows: LateRows) -> String {
    let remedy = late_remedy(plan, stream, rows);
    let command = files(plan, stream).next().and_then(|file| command(file, &stream.time));
    match command.filter(|_| rows.are_most()) {
        Some(command) => format!("{remedy}. To sort: {command}"),
        None => remedy,
    }
}

fn files<'a>(plan: &'a Plan, stream: &'a StreamPlan) -> impl Iterator<Item = &'a ReplayPlan> {
    plan.sources.iter().filter(|source| stream.from.contains(&source.name)).filter_map(|source| match &source
        .kind
    {
        SourceKind::Replay(replay) => Some(replay),
        _ => None,
    })
}

/// For a shell. `None` where the time is no column of the file.
fn command(file: &ReplayPlan, time: &TimePlan) -> Option<String> {
    let TimePlan::Field { path: FieldPath::Json(path), unit } = time else { return None };
    let [column] = &path[..] else { return None };
    let is_parquet = file.path.extension().is_some_and(|kind| kind == "parquet");
    let sorted = sorted(&file.path, if is_parquet { "parquet" } else { "csv" });
    let [from, to] = [&file.path, &sorted].map(|path| path.display().to_string());
    // The rest is between quotes of two kinds.
    let is_plain = |text: &str| !text.contains(['"', '\'', '$', '`', '\\']);
    if let Some(number) = plain_column(&file.path, column) {
        let numeric = if *unit == TimeUnit::Iso8601 { "" } else { "g" };
        let [from, to] = [&from, &to].map(|path| quoted(path));
        return Some(format!(
            "(head -n 1 {from}; tail -n +2 {from} | LC_ALL=C sort -st, -k{number},{number}{numeric}) > {to}"
        ));
    }
    let command = format!("duckdb -c \"COPY (SELECT * FROM '{from}' ORDER BY \\\"{column}\\\") TO '{to}'\"");
    (is_plain(&from) && is_plain(column)).then_some(command)
}

/// Which column of a file of plain text it is, counted from 1; `None` where commas and lines may be parts of values.
fn plain_column(path: &Path, column: &str) -> Option<usize> {
    if path.extension().is_none_or(|kind| kind != "csv") {
        return None;
    }
    let mut lines = BufReader::new(std::fs::File::open(path).ok()?).lines();
    let (header, first) = (lines.next()?.ok()?, lines.next()?.ok()?);
    let is_plain = !header.contains('"') && !first.contains('"');
    let at = header.trim_start_matches('\u{feff}').split(',').position(|name| name.trim() == column)?;
    is_plain.then_some(at + 1)
}

/// Beside the file.
fn sorted(path: &Path, kind: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    path.with_file_name(format!("{stem}-sorted.{kind}"))
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
    if text.bytes().all(is_word) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn replay(path: PathBuf) -> ReplayPlan {
        ReplayPlan { path, speed: None, time_column: None }
    }

    fn time(column: &str, unit: TimeUnit) -> TimePlan {
        TimePlan::Field { path: FieldPath::Json(vec![column.to_owned()]), unit }
    }

    #[test]
    fn the_command_sorts_a_file_of_plain_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's a.csv");
        std::fs::write(&path, "pump,ts,x\nb,10,1\na,10,2\na,9,3\nb,-1,4\n").unwrap();
        let command = command(&replay(path), &time("ts", TimeUnit::Seconds)).unwrap();
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        let sorted = std::fs::read_to_string(folder.path().join("it's a-sorted.csv")).unwrap();
        assert_eq!(sorted, "pump,ts,x\nb,-1,4\na,9,3\nb,10,1\na,10,2\n", "those of a time as they were");
    }

    #[test]
    fn other_files_are_for_who_can_read_them() {
        let of = |name: &str| command(&replay(name.into()), &time("ts", TimeUnit::Iso8601)).unwrap();
        assert_eq!(
            of("d/a.parquet"),
            r#"duckdb -c "COPY (SELECT * FROM 'd/a.parquet' ORDER BY \"ts\") TO 'd/a-sorted.parquet'""#
        );
        assert!(of("a.csv.gz").ends_with("TO 'a-sorted.csv'\""), "{}", of("a.csv.gz"));
        assert_eq!(command(&replay("$a.csv".into()), &time("ts", TimeUnit::Iso8601)), None, "no such file");
        assert_eq!(command(&replay("a.csv".into()), &TimePlan::Arrival), None);
    }

    #[test]
    fn files_of_which_nearly_all_came_too_late_are_named_with_the_remedy() {
        use std::sync::atomic::Ordering::Relaxed;
        let text = |more: &str, from: &str| {
            format!(
                "[source.a]\ntype = \"replay\"\npath = \"a.csv.gz\"\n{more}[stream.s]\nfrom = {from}\nkey = \"id\"\n\
                 time = {{ path = \"ts\", unit = \"s\" }}\ncolumns.x = \"x\"\nwindow = {{ type = \"tumbling\", size = \"1m\" }}\n"
            )
        };
        let judged = |text: &str, late, rows| {
            let plan = crate::config::parse(text, "", &Default::default());
            let plan = plan.unwrap_or_else(|problems| panic!("{problems}"));
            let status = Status::new(&plan, 0);
            status.partition(StreamId(0), 3).live_late_total.store(late, Relaxed);
            status.partition(StreamId(0), 3).live_rows_total.store(rows, Relaxed);
            were_sorted(&plan, &status).map_err(|error| error.to_string())
        };
        let file = text("", "\"a\"");
        assert_eq!(judged(&file, 0, 0), Ok(()), "nothing was new");
        assert_eq!(judged(&file, 90, 100), Ok(()));
        let said = judged(&file, 91, 100).unwrap_err();
        let sort = said.find("a.csv.gz is not in order of time: sort it by ts, oldest first").expect(&said);
        assert!(sort < said.find("`lateness`").expect(&said), "{said}");
        assert!(
            said.contains("To sort: duckdb -c \"") && said.contains("an empty `[durable] path`"),
            "{said}"
        );
        let both = text("[source.b]\ntype = \"http\"\nlisten = \"127.0.0.1:1\"\n", "[\"a\", \"b\"]");
        assert_eq!(judged(&both, 100, 100), Ok(()), "who knows what was posted");
    }
}
