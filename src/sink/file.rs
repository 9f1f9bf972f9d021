//! A file: one line of JSON an alert revision, the same bytes a webhook gets, synced before it counts as told.
//!
//! To rotate it, rename it: the next line makes a new one. Lines that come together share one sync.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Outgoing, SinkError, SinkType};

pub const TYPE: SinkType = SinkType {
    name: "file",
    summary: "one line of JSON an alert revision, appended to a file and synced",
    example: "[sink.archive]\ntype = \"file\"\npath = \"alerts.ndjson\"\n",
};

/// Lines under way at once.
pub const WIDTH: usize = 64;

struct Line {
    body: Bytes,
    written: oneshot::Sender<Result<(), String>>,
}

/// Writes from a thread of its own, since a disk may take its time.
pub struct FileSink {
    lines: mpsc::Sender<Line>,
    path: PathBuf,
}

impl FileSink {
    pub fn start(sink: &str, path: &Path) -> Result<Self, SinkError> {
        let (lines, queue) = mpsc::channel(WIDTH);
        let kept = path.to_owned();
        std::thread::Builder::new()
            .name(format!("sink-{sink}"))
            .spawn(move || write_lines(queue, &kept))
            .map_err(|source| SinkError::Thread { sink: sink.to_owned(), source })?;
        Ok(FileSink { lines, path: path.to_owned() })
    }

    /// Accepted once the line is on the disk.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        let (written, done) = oneshot::channel();
        let line = Line { body: outgoing.body.clone(), written };
        let result = match self.lines.send(line).await {
            Ok(()) => done.await.ok(),
            Err(_) => None,
        };
        match result {
            Some(Ok(())) => Answer::Accepted { status: None },
            Some(Err(reason)) => Answer::unsent(&reason),
            None => Answer::unsent("the thread that writes has ended"),
        }
    }

    pub(super) fn target(&self) -> String {
        format!("file {}", self.path.display())
    }
}

fn write_lines(mut queue: mpsc::Receiver<Line>, path: &Path) {
    let mut open = None::<File>;
    while let Some(first) = queue.blocking_recv() {
        let mut lot = vec![first];
        while lot.len() < WIDTH
            && let Ok(line) = queue.try_recv()
        {
            lot.push(line);
        }
        let result = write_lot(&mut open, path, &lot);
        if result.is_err() {
            open = None;
        }
        for line in lot {
            let told = result.as_ref().copied().map_err(|error| {
                format!("cannot write {}: {error}; see to its folder and the disk's room", path.display())
            });
            // The worker may have stopped waiting: the line is then written again, with the same id.
            let _ = line.written.send(told);
        }
    }
}

/// All lines, or none of them: what a full disk took of them is cut off again.
fn write_lot(open: &mut Option<File>, path: &Path, lot: &[Line]) -> std::io::Result<()> {
    if open.as_ref().is_none_or(|file| !is_at(file, path)) {
        *open = Some(open_at(path)?);
    }
    let Some(file) = open else { return Err(ErrorKind::NotFound.into()) };
    let before = file.seek(SeekFrom::End(0))?;
    let mut text = Vec::new();
    if before > 0 && last_byte(file)? != b'\n' {
        // A line was cut off when the machine went down.
        text.push(b'\n');
    }
    for line in lot {
        text.extend_from_slice(&line.body);
        text.push(b'\n');
    }
    let written = file.write_all(&text).and_then(|()| file.sync_data());
    if written.is_err() {
        let _ = file.set_len(before);
    }
    written
}

/// Whether the path still names the open file: who rotates it has renamed or removed it.
fn is_at(file: &File, path: &Path) -> bool {
    let which = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((path.metadata().map(which), file.metadata().map(which)), (Ok(found), Ok(ours)) if found == ours)
}

fn open_at(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    // A file's name is on the disk only once its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(file)
}

fn last_byte(file: &mut File) -> std::io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(body: &'static str) -> Outgoing {
        Outgoing {
            id: "a".into(),
            message_id: "a_1".into(),
            body: Bytes::from_static(body.as_bytes()),
            traceparent: String::new(),
        }
    }

    #[tokio::test]
    async fn a_renamed_file_is_left_and_a_new_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rotated) = (folder.path().join("alerts.ndjson"), folder.path().join("alerts.1"));
        let sink = FileSink::start("archive", &path).unwrap();
        assert_eq!(sink.send(&outgoing("{\"n\":1}")).await, Answer::Accepted { status: None });
        std::fs::rename(&path, &rotated).unwrap();
        for body in ["{\"n\":2}", "{\"n\":3}"] {
            assert_eq!(sink.send(&outgoing(body)).await, Answer::Accepted { status: None });
        }
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "{\"n\":1}\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"n\":2}\n{\"n\":3}\n");
    }

    #[tokio::test]
    async fn a_line_that_was_cut_off_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.ndjson");
        std::fs::write(&path, "{\"n\":1}\n{\"n\":").unwrap();
        let sink = FileSink::start("archive", &path).unwrap();
        assert_eq!(sink.send(&outgoing("{\"n\":2}")).await, Answer::Accepted { status: None });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"n\":1}\n{\"n\":\n{\"n\":2}\n");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_a_failure_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/alerts.ndjson");
        let sink = FileSink::start("archive", &path).unwrap();
        let Answer::Failed { reason, .. } = sink.send(&outgoing("{}")).await else {
            panic!("there is no folder")
        };
        assert!(reason.contains("cannot write") && reason.contains("see to its folder"), "{reason}");
        std::fs::create_dir(folder.path().join("later")).unwrap();
        assert_eq!(sink.send(&outgoing("{}")).await, Answer::Accepted { status: None });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
    }
}
