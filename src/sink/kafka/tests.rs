use rdkafka::ClientContext;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::config::plan::{ClusterPlan, SaslPlan, TokenPlan};

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:9";

fn plan(sasl: Option<SaslPlan>) -> KafkaSinkPlan {
    let cluster = ClusterPlan { brokers: vec![NOBODY.into()], tls: None, sasl };
    KafkaSinkPlan { cluster, topic: "alerts".into(), timeout: Duration::from_secs(1) }
}

fn sink(plan: &KafkaSinkPlan) -> KafkaSink {
    let kept = producer::start(plan, "eddy-tests").expect("a producer");
    KafkaSink { plan: plan.clone(), client_id: "eddy-tests".into(), kept: Mutex::new(Some(kept)) }
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
        producer::start(&plan(Some(SaslPlan::Token(token))), "eddy-tests").expect("a producer");
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
        let sink = sink(&plan(None));
        let producer = sink.producer().await.unwrap();
        producer.watching().error(KafkaError::Global(code), "b:1/1: told by this");
        let Answer::Failed { reason, .. } = sink.failed(&producer, &timed_out, 1).await else {
            panic!("{code}")
        };
        assert!(reason.contains("told by this"), "{reason}");
        let next = sink.producer().await.unwrap();
        assert_eq!(Arc::ptr_eq(&next, &producer), is_kept, "{code}");
        assert!(Arc::ptr_eq(&next, &sink.producer().await.unwrap()), "one for all that follow");
        let of_an_old_one = sink.failed(&producer, &timed_out, 1).await;
        assert!(matches!(of_an_old_one, Answer::Failed { .. }));
        assert!(
            Arc::ptr_eq(&next, &sink.producer().await.unwrap()),
            "the new one is not given up for the old"
        );
        sink.close().await;
    }
}
