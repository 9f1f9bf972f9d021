use rdkafka::ClientContext;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::config::plan::{SaslPlan, TokenPlan};

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:9";

fn target(sasl: Option<SaslPlan>) -> Target {
    Target {
        cluster: ClusterPlan { brokers: vec![NOBODY.into()], tls: None, sasl },
        topic: "alerts".into(),
        timeout: Duration::from_secs(1),
        client_id: "eddy-tests".into(),
        of: "sink",
        names_topic: "topic",
    }
}

#[tokio::test]
async fn whoever_drops_the_last_clone_of_a_producer_does_not_wait_for_the_library() {
    let token = TokenPlan {
        url: format!("http://{NOBODY}"),
        client_id: "eddy".into(),
        client_secret: "secret".into(),
        scope: None,
    };
    let Kept { producer, mut gone } =
        producer::start(&target(Some(SaslPlan::Token(token)))).expect("a producer");
    let clone = producer.clone();
    drop(producer);
    drop(clone);
    assert_eq!(
        gone.try_recv(),
        Err(TryRecvError::Empty),
        "the library was let go of here, within the runtime"
    );
    let ended = timeout(Duration::from_secs(20), gone).await.expect("it ends");
    assert!(ended.is_err(), "dropped, and nothing said");
}

#[tokio::test]
async fn credentials_that_are_refused_are_read_again_by_the_next_producer() {
    let (timed_out, lost) =
        (KafkaError::MessageProduction(Code::MessageTimedOut), Code::BrokerTransportFailure);
    for (code, is_kept) in [
        (lost, true),
        (Code::SSL, false),
        (Code::Authentication, false),
        (Code::SaslAuthenticationFailed, false),
    ] {
        let writer = Writer::start(target(None)).unwrap();
        let producer = writer.producer().await.unwrap();
        producer.watching().error(KafkaError::Global(code), "b:1/1: told by this");
        let Untaken { reason, is_refused, .. } = writer.failed(&producer, &timed_out, 1).await;
        assert!(!is_refused, "a broker may have it");
        assert!(reason.contains("told by this"), "{reason}");
        let next = writer.producer().await.unwrap();
        assert_eq!(Arc::ptr_eq(&next, &producer), is_kept, "{code}");
        assert!(Arc::ptr_eq(&next, &writer.producer().await.unwrap()), "one for all that follow");
        writer.failed(&producer, &timed_out, 1).await;
        assert!(
            Arc::ptr_eq(&next, &writer.producer().await.unwrap()),
            "the new one is not given up for the old"
        );
        writer.close().await;
    }
}
