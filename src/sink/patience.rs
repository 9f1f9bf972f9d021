//! A line that nobody takes: standard output into a pipe that nobody reads blocks for as long as nobody does. It is waited
//! for, since a second line would wait behind the first, but it is shown.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Answer;
use crate::status::SinkStatus;

/// A reader that is only busy takes a line sooner.
const PATIENCE: Duration = Duration::from_secs(70);

/// Waits for an attempt; from [`PATIENCE`] on the sink is shown as blocked until there is an answer.
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
    tracing::warn!(
        sink = sink.name,
        "standard output took nothing for {patience:?}: does anybody read the pipe? The line is written as soon as it is read"
    );
    sink.blocked.store(true, Relaxed);
    let answer = attempt.await;
    sink.blocked.store(false, Relaxed);
    answer
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
        let outgoing =
            Outgoing { id: "a".into(), message_id: "a_1".into(), body, traceparent: String::new() };
        let sink = SinkStatus::default();
        let attempt = answer_within(Duration::from_millis(20), &sink, stdout.send(&outgoing));
        let read = async {
            while !sink.blocked.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        };
        let both = async { tokio::join!(attempt, read).0 };
        let answer = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it is shown in time");
        assert_eq!(answer, Answer::Accepted { status: None });
        assert!(!sink.blocked.load(Relaxed), "it is over");
        let quick = SinkStatus::default();
        answer_within(Duration::from_secs(20), &quick, async { answer }).await;
        assert!(!quick.blocked.load(Relaxed));
    }
}
