//! Standard output: one line of JSON an alert revision, the same bytes a webhook gets.

use std::io::{ErrorKind, Write};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Outgoing, SinkError, SinkType};

pub const TYPE: SinkType = SinkType {
    name: "stdout",
    summary: "one line of JSON an alert revision on standard output",
    example: "[sink.console]\ntype = \"stdout\"\n",
};

struct Line {
    body: Bytes,
    written: oneshot::Sender<std::io::Result<()>>,
}

/// Writes from a thread of its own: nobody may be reading the pipe, and a thread stuck in a write
/// must hold up neither the runtime nor the end of the process.
pub struct Stdout {
    lines: mpsc::Sender<Line>,
}

impl Stdout {
    /// `writer` is standard output, except in tests.
    pub fn start(sink: &str, writer: impl Write + Send + 'static) -> Result<Self, SinkError> {
        let (lines, queue) = mpsc::channel(1);
        std::thread::Builder::new()
            .name(format!("sink-{sink}"))
            .spawn(move || write_lines(queue, writer))
            .map_err(|source| SinkError::Thread { sink: sink.to_owned(), source })?;
        Ok(Stdout { lines })
    }

    /// Accepted once the line is written and flushed.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        let (written, done) = oneshot::channel();
        let line = Line { body: outgoing.body.clone(), written };
        let result = match self.lines.send(line).await {
            Ok(()) => done.await.ok(),
            Err(_) => None,
        };
        let reason = match result {
            Some(Ok(())) => return Answer::Accepted { status: None },
            Some(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                let reason = "who read standard output has closed it".to_owned();
                return Answer::Closed { reason };
            }
            Some(Err(error)) => format!("cannot write to standard output: {error}"),
            None => "the thread that writes has ended".to_owned(),
        };
        Answer::Failed { status: None, reason, busy: false, retry_after: None }
    }
}

fn write_lines(mut queue: mpsc::Receiver<Line>, mut writer: impl Write) {
    while let Some(line) = queue.blocking_recv() {
        let result = write_line(&mut writer, &line.body);
        // The worker may have stopped waiting: the line is then sent again, with the same id.
        let _ = line.written.send(result);
    }
}

/// One write for the whole line, so that other writers to the same terminal do not split it.
fn write_line(writer: &mut impl Write, body: &[u8]) -> std::io::Result<()> {
    let mut line = Vec::with_capacity(body.len() + 1);
    line.extend_from_slice(body);
    line.push(b'\n');
    writer.write_all(&line)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    fn outgoing(body: &'static str) -> Outgoing {
        Outgoing {
            id: "a".into(),
            message_id: "a_1".into(),
            body: Bytes::from_static(body.as_bytes()),
            traceparent: String::new(),
        }
    }

    #[tokio::test]
    async fn a_line_each_until_the_pipe_is_closed() {
        let (reader, writer) = std::io::pipe().unwrap();
        let stdout = Stdout::start("console", writer).unwrap();
        let mut reader = BufReader::new(reader);
        for body in ["{\"n\":1}", "{\"n\":2}"] {
            assert_eq!(stdout.send(&outgoing(body)).await, Answer::Accepted { status: None });
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line, format!("{body}\n"));
        }
        drop(reader);
        let answer = stdout.send(&outgoing("{}")).await;
        assert!(matches!(answer, Answer::Closed { .. }), "nobody will read this pipe: {answer:?}");
    }

    #[tokio::test]
    async fn accepted_means_flushed() {
        let (reader, writer) = std::io::pipe().unwrap();
        let stdout = Stdout::start("console", std::io::BufWriter::new(writer)).unwrap();
        assert_eq!(stdout.send(&outgoing("{\"n\":1}")).await, Answer::Accepted { status: None });
        // Blocks for ever if the line were still in the buffer: read it on a thread with a deadline.
        let (sender, line) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(reader).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = line.recv_timeout(std::time::Duration::from_secs(60)).expect("not flushed");
        assert_eq!(line, "{\"n\":1}\n");
    }
}
