//! An attempt that gets no answer: standard output into a pipe that nobody reads blocks for as long as nobody does. It is
//! waited for, since a second line would wait behind the first, but it is shown.

use std::time::Duration;

use super::Answer;
use crate::status::SinkStatus;

/// Longer than a webhook may be configured to wait.
const PATIENCE: Duration = Duration::from_secs(70);

/// Waits for an attempt; from [`PATIENCE`] on the sink is shown as failing until there is an answer.
pub async fn answer(sink: &SinkStatus, attempt: impl Future<Output = Answer>) -> Answer {
    answer_within(PATIENCE, sink, attempt).await
}

async fn answer_within(
    patience: Duration,
    sink: &SinkStatus,
    attempt: impl Future<Output = Answer>,
) -> Answer {
    let mut attempt = std::pin::pin!(attempt);
    if let Ok(answer) = tokio::time::timeout(patience, &mut attempt).await {
        return answer;
    }
    let why =
        format!("nothing was taken for {patience:?}, and the attempt goes on: does anybody read the pipe?");
    tracing::warn!(sink = sink.name, "{why}");
    *sink.last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(why);
    attempt.await
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use bytes::Bytes;

    use super::*;
    use crate::sink::Outgoing;
    use crate::sink::stdout::Stdout;

    #[tokio::test]
    async fn a_pipe_that_nobody_reads_is_shown_and_waited_for() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let stdout = Stdout::start("console", writer).unwrap();
        // No pipe holds as much.
        let body = Bytes::from(vec![b'x'; 4 << 20]);
        let outgoing = Outgoing { message_id: "a_1".into(), body };
        let sink = SinkStatus::default();
        let shown = || sink.last_error.lock().unwrap().clone();
        let attempt = answer_within(Duration::from_millis(20), &sink, stdout.send(&outgoing));
        let read = async {
            while shown().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        };
        let both = async { tokio::join!(attempt, read).0 };
        let answer = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it is shown in time");
        assert_eq!(answer, Answer::Accepted { status: None });
        assert!(shown().unwrap().contains("does anybody read"), "the next settled attempt takes it back");
        let quick = SinkStatus::default();
        answer_within(Duration::from_secs(20), &quick, async { answer }).await;
        assert_eq!(*quick.last_error.lock().unwrap(), None);
    }
}
