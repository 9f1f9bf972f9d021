//! Recorded data of one stream, decoded as the stream's own messages would be: what `eddy train` and
//! `eddy backtest` read.

use std::path::Path;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::stream_named;
use crate::config::plan::{
    FieldPath, FormatPlan, Plan, ReplayPlan, SourceKind, SourcePlan, StreamPlan, TimePlan,
};
use crate::decode::{Decoder, Noted};
use crate::source::replay;
use crate::types::{Position, RecordRef, StreamId};

const SOURCE: &str = "history";

/// Whether a file to be written is none of those to be read: a slip of the hand must not cost a year's data.
///
/// # Errors
/// If it is one of them.
pub fn not_an_input<P: AsRef<Path>>(option: &str, output: &Path, inputs: &[P]) -> Result<()> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match inputs.iter().map(AsRef::as_ref).find(|input| real(input) == real(output)) {
        Some(input) => bail!("{option} names {}, which is read: name another file", input.display()),
        None => Ok(()),
    }
}

/// Rows of recorded data, and those of them that are no events of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub rows: u64,
    pub refused: u64,
}

/// A config with nothing but the stream, which takes every row of every file.
pub struct History {
    plan: Plan,
}

impl History {
    /// `key` names the field that tells the keys apart, where the config takes it from a topic.
    ///
    /// # Errors
    /// If there is no such stream, or the config needs what a file has not: a topic, an arrival.
    pub fn new(config: &Path, mut plan: Plan, stream: &str, key: Option<&str>) -> Result<History> {
        let at = stream_named(config, &plan, stream)?;
        let mut stream = plan.streams.swap_remove(at);
        if let Some(key) = key {
            stream.key = FieldPath::Json(key.split('.').map(str::to_owned).collect());
        }
        if let FieldPath::Topic(level) = stream.key {
            bail!(
                "stream {} has key = \"topic.{level}\", and rows of a file have no topic: name the field with --key FIELD",
                stream.name
            );
        }
        if let FieldPath::Kafka(part) = &stream.key {
            bail!(
                "stream {} has key = \"{part}\", and rows of a file have no such thing: name the field with --key FIELD",
                stream.name
            );
        }
        if stream.time == TimePlan::Arrival {
            bail!(
                "stream {} has time = \"arrival\", and rows of a file do not arrive: let `time` name their field, \
                 in a copy of the config if need be",
                stream.name
            );
        }
        stream.from = vec![SOURCE.to_owned()];
        stream.topics = None;
        // A file says by itself what its columns are.
        stream.format = FormatPlan::Json;
        // Recorded times need no comparison with the clock.
        stream.max_future = None;
        let kind = SourceKind::Replay(ReplayPlan { path: "".into(), speed: None, time_column: None });
        plan.sources = vec![SourcePlan { name: SOURCE.to_owned(), kind }];
        plan.streams = vec![stream];
        plan.shards = 1;
        Ok(History { plan })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn stream(&self) -> &StreamPlan {
        &self.plan.streams[0]
    }

    /// Gives every good row of the files in turn, a message each, at positions that go on over the files; `end` is
    /// told the end of each message.
    ///
    /// # Errors
    /// If a file cannot be read, or no row of them all is good.
    pub fn read<S: AsRef<Path>>(
        &self,
        files: &[S],
        mut row: impl FnMut(&RecordRef<'_>),
        mut end: impl FnMut(Position),
    ) -> Result<Read> {
        let mut decoder = Decoder::new(&self.plan);
        let (mut position, mut good, mut refused_total) = (0, 0u64, 0);
        let mut missing = vec![true; self.stream().columns.len()];
        for path in files {
            let path = path.as_ref();
            let mut rows = replay::Rows::open(path, SOURCE)?;
            let bar = progress(path, rows.progress().0)?;
            let (mut dead, mut refused, mut first) = (Vec::new(), 0, None);
            while let Some(message) = rows.next() {
                let message = message?;
                let mut each = |record: RecordRef<'_>| {
                    good += 1;
                    missing
                        .iter_mut()
                        .zip(record.values)
                        .for_each(|(missing, value)| *missing &= value.is_nan());
                    row(&record);
                };
                decoder.decode(Position(position), &message, &mut each, &mut dead);
                position += 1;
                end(Position(position));
                refused += dead.len() as u64;
                first = first.or_else(|| dead.drain(..).next());
                dead.clear();
                if position % 4096 == 0 {
                    bar.set_position(rows.progress().1);
                }
            }
            bar.finish_and_clear();
            if let Some(first) = first {
                let (reason, detail) = (first.reason, &first.detail);
                eprintln!("{}: {refused} rows refused; the first: {reason}: {detail}", path.display());
            }
            refused_total += refused;
        }
        let noted = decoder.noted(StreamId(0));
        self.is_of_use(good, noted, &missing)?;
        noted_of(noted).iter().for_each(|line| eprintln!("{line}"));
        Ok(Read { rows: position, refused: refused_total })
    }

    /// Whether some rows were events, and every column was seen; `missing` by column.
    fn is_of_use(&self, good: u64, noted: &Noted, missing: &[bool]) -> Result<()> {
        if good == 0 {
            bail!(
                "no row of the data became an event of stream {}: check key, time and columns against the file's header{}",
                self.stream().name,
                if noted.rows_ignored > 0 {
                    "; the rows name metrics that are none of its columns"
                } else {
                    ""
                }
            );
        }
        let columns = self.stream().columns.iter().zip(missing).filter(|(_, missing)| **missing);
        let names: Vec<&str> = columns.map(|(column, _)| column.name.as_str()).collect();
        if !names.is_empty() {
            bail!(
                "no row of the data has {}: a window without a column is never judged, so check the columns' paths \
                 against the file's header",
                names.join(" or ")
            );
        }
        Ok(())
    }
}

/// A line each of what makes a model or a count worth less than it looks.
fn noted_of(noted: &Noted) -> Vec<String> {
    let &Noted { rows_ignored, rows_before_2000, .. } = noted;
    let ignored = (rows_ignored > 0).then(|| {
        format!("{rows_ignored} rows left out: they name metrics that are none of the stream's columns")
    });
    let old = (rows_before_2000 > 0).then(|| {
        format!(
            "{rows_before_2000} rows lie before the year 2000: a count since a start-up is no time; else check the `unit` of the \
             stream's `time`"
        )
    });
    ignored.into_iter().chain(old).collect()
}

fn progress(path: &Path, bytes: u64) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes} of {total_bytes} {eta}")
        .context("the progress bar's template")?;
    let bar = ProgressBar::new(bytes).with_style(style.progress_chars("=> "));
    bar.set_message(path.display().to_string());
    Ok(bar)
}
