//! The control log: every input to the engine that is no message, with the place it took effect.
//! A replay reads these instead of asking the clock, the config or a person again.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record_log::RecordLog;
use super::{Disk, LogError};
use crate::types::{Acknowledgement, Activation, Feedback, Idle, Position, Silence};

const MAGIC: [u8; 8] = *b"EDDYCTL\0";

/// Something that happened between two messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlEntry {
    /// It acts before the message at this position and after the one before it.
    pub precedes: Position,
    pub event: ControlEvent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlEvent {
    /// The decisions of a stream follow this config from here on.
    Config { stream: String, fingerprint: String },
    /// A stream is scored by this model from here on; its bytes are kept under the checksum.
    ModelActivated {
        stream: String,
        #[serde(flatten)]
        activation: Activation,
    },
    /// A source that ends (a replayed file) has given everything.
    EndOfInput { source: String },
    /// Wall-clock time had passed: partitions of a stream without rows go on.
    Idle { stream: String, idle: Idle },
    /// So many keys a stream has, about: its partitions share its alert budget by them.
    Keys { stream: String, keys: u64 },
    /// So risky second keys of a stream of transactions turned out to be, over all its partitions: their numbers, and the
    /// share of frauds in ten-thousandths. Only what changed.
    Risks { stream: String, risks: Vec<(u32, u16)> },
    /// What was learnt of a stream is forgotten: it begins here.
    Reset { stream: String },
    /// Somebody said what an alert of a stream was.
    Feedback { stream: String, feedback: Feedback },
    /// Alerts that it fits are not sent for a while. Like the two below it changes no decision.
    Silenced { silence: Silence },
    /// A silence ends before its time, ns of wall time.
    SilenceEnded { id: String, at_ns: i64 },
    /// Somebody has seen an alert.
    Acknowledged { acknowledgement: Acknowledgement },
}

impl ControlEvent {
    /// The stream it is about; none if it is about a source, or alerts of any.
    fn stream(&self) -> Option<&str> {
        match self {
            ControlEvent::Config { stream, .. }
            | ControlEvent::ModelActivated { stream, .. }
            | ControlEvent::Idle { stream, .. }
            | ControlEvent::Keys { stream, .. }
            | ControlEvent::Risks { stream, .. }
            | ControlEvent::Feedback { stream, .. }
            | ControlEvent::Reset { stream } => Some(stream),
            ControlEvent::EndOfInput { .. }
            | ControlEvent::Silenced { .. }
            | ControlEvent::SilenceEnded { .. }
            | ControlEvent::Acknowledged { .. } => None,
        }
    }
}

/// Where a stream begins: at its last reset, if it had one.
pub fn beginning(entries: &[ControlEntry], stream: &str) -> Position {
    let reset =
        |entry: &&ControlEntry| matches!(&entry.event, ControlEvent::Reset { stream: of } if of == stream);
    entries.iter().rev().find(reset).map_or(Position(0), |entry| entry.precedes)
}

/// The models a stream has been scored by, the active one last.
pub fn activations(entries: &[ControlEntry], stream: &str) -> Vec<Activation> {
    let of = |entry: &ControlEntry| match &entry.event {
        ControlEvent::ModelActivated { stream: of, activation } if of == stream => Some(activation.clone()),
        _ => None,
    };
    entries.iter().filter_map(of).collect()
}

/// Without what a stream's last reset made void.
fn in_force(entries: Vec<ControlEntry>) -> Vec<ControlEntry> {
    let mut reset = BTreeSet::new();
    let mut kept: Vec<ControlEntry> = Vec::with_capacity(entries.len());
    for entry in entries.into_iter().rev() {
        if entry.event.stream().is_some_and(|stream| reset.contains(stream)) {
            continue;
        }
        if let ControlEvent::Reset { stream } = &entry.event {
            reset.insert(stream.clone());
        }
        kept.push(entry);
    }
    kept.reverse();
    kept
}

/// Entries in the order they were made, in the folder `control` of the data folder.
pub struct ControlLog {
    records: RecordLog,
    buffer: Vec<u8>,
}

impl ControlLog {
    /// Opens the control log of data folder `dir`, making it if need be, with everything in it that is in force.
    /// `Version` if an entry is of a kind this version does not know.
    pub fn open(disk: Box<dyn Disk>, dir: &Path) -> Result<(ControlLog, Vec<ControlEntry>), LogError> {
        // One file for good, unless a write to it fails: then the log goes on in another.
        let records = RecordLog::open(disk, dir.join("control"), MAGIC, u64::MAX)?;
        let mut reader = records.read_from(0);
        let mut entries = Vec::new();
        while let Some(record) = reader.next() {
            let entry = serde_json::from_slice(&record?.body).map_err(|e| LogError::Version {
                file: reader.path().to_owned(),
                detail: format!("control entry {} is not understood: {e}", entries.len()),
            })?;
            entries.push(entry);
        }
        Ok((ControlLog { records, buffer: Vec::new() }, in_force(entries)))
    }

    /// Makes an entry durable before it returns. After an error it is not in the log.
    pub fn append(&mut self, entry: &ControlEntry) -> Result<(), LogError> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, entry).map_err(|e| LogError::Io {
            action: "write an entry of",
            path: "control".into(),
            source: e.into(),
        })?;
        self.records.append(self.buffer.len() as u64, |record| record.extend_from_slice(&self.buffer))?;
        self.records.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::RealDisk;
    use super::super::faulty::FaultyDisk;
    use super::*;
    use crate::types::{Arrival, By};

    fn entry(n: u64) -> ControlEntry {
        let event = match n % 4 {
            0 => ControlEvent::Config { stream: "pumps".into(), fingerprint: format!("{n:x}") },
            1 => ControlEvent::ModelActivated {
                stream: "pumps".into(),
                activation: Activation {
                    at: (n % 8 == 1).then_some(Arrival(n as i64)),
                    name: "ä \"quoted\"".into(),
                    checksum: format!("{n:064x}"),
                    by: if n % 8 == 1 { By::Refit } else { By::File },
                },
            },
            2 => ControlEvent::EndOfInput { source: "file".into() },
            _ => ControlEvent::Idle {
                stream: "pumps".into(),
                idle: Idle { at: Arrival(n as i64), after_ns: -1 },
            },
        };
        ControlEntry { precedes: Position(n * 7), event }
    }

    #[test]
    fn entries_come_back_in_order_on_a_real_disk() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..9 {
            let (mut log, found) = ControlLog::open(Box::new(RealDisk::new()), dir.path()).unwrap();
            assert_eq!(found, (0..n).map(entry).collect::<Vec<_>>());
            log.append(&entry(n)).unwrap();
        }
    }

    #[test]
    fn an_entry_is_durable_once_append_returned() {
        let dir = Path::new("/data");
        for cut in 1..40 {
            let disk = FaultyDisk::new();
            disk.cut_power_at_write(cut);
            let mut appended = 0;
            if let Ok((mut log, _)) = ControlLog::open(Box::new(disk.clone()), dir) {
                while appended < 20 && log.append(&entry(appended)).is_ok() {
                    appended += 1;
                }
            }
            disk.crash(cut);
            disk.restart();
            let (_, found) = ControlLog::open(Box::new(disk.clone()), dir).unwrap();
            let kept = found.len() as u64;
            assert!(kept == appended || kept == appended + 1, "cut {cut}: {kept} of {appended}");
            assert_eq!(found, (0..kept).map(entry).collect::<Vec<_>>(), "cut {cut}");
        }
    }

    #[test]
    fn a_reset_makes_void_what_was_said_of_its_stream_before() {
        let disk = FaultyDisk::new();
        let open = || ControlLog::open(Box::new(disk.clone()), Path::new("/data")).unwrap();
        let reset = |stream: &str, at| ControlEntry {
            precedes: Position(at),
            event: ControlEvent::Reset { stream: stream.into() },
        };
        let risks = |at| ControlEntry {
            precedes: Position(at),
            event: ControlEvent::Risks { stream: "pumps".into(), risks: vec![(7, 4766)] },
        };
        let said = [
            entry(0),
            entry(1),
            entry(2),
            reset("valves", 15),
            risks(16),
            entry(3),
            reset("pumps", 22),
            risks(23),
            entry(4),
        ];
        said.iter().for_each(|entry| open().0.append(entry).unwrap());
        let (_, found) = open();
        assert_eq!(found, [entry(2), reset("valves", 15), reset("pumps", 22), risks(23), entry(4)]);
        assert_eq!(beginning(&found, "pumps"), Position(22));
        assert_eq!(beginning(&found, "fans"), Position(0));
    }

    #[test]
    fn an_activation_of_an_older_version_is_the_file_s() {
        let written =
            r#"{"precedes":3,"event":{"model_activated":{"stream":"pumps","name":"a","checksum":"b"}}}"#;
        let entry: ControlEntry = serde_json::from_str(written).unwrap();
        let activation = Activation { at: None, name: "a".into(), checksum: "b".into(), by: By::File };
        assert_eq!(activations(&[entry], "pumps"), [activation]);
    }

    #[test]
    fn an_entry_that_was_refused_does_not_come_back() {
        let dir = Path::new("/data");
        let disk = FaultyDisk::new();
        let (mut log, _) = ControlLog::open(Box::new(disk.clone()), dir).unwrap();
        log.append(&entry(0)).unwrap();
        disk.fail_syncs(1);
        assert!(log.append(&entry(1)).unwrap_err().is_retryable());
        log.append(&entry(2)).unwrap();
        let (_, found) = ControlLog::open(Box::new(disk), dir).unwrap();
        assert_eq!(found, [entry(0), entry(2)]);
    }
}
