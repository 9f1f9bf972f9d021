use super::super::word::tests::silence;
use super::*;
use crate::config::plan::ClusterPlan;
use crate::kafka::writing::Target;

const CONFIG: &str = "[source.a]\ntype = \"kafka\"\nbrokers = [\"b:9092\"]\ntopics = \"t\"\n[stream.s]\nfrom = \"a\"\n\
                      key = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
                      window = { type = \"tumbling\", size = \"1m\" }\n[sink.out]\ntype = \"stdout\"\n";

/// Of a cluster that nobody answers for.
fn teller(known: &watch::Sender<bool>) -> Teller {
    let plan = crate::config::parse(CONFIG, "", &Default::default());
    let cluster = ClusterPlan { brokers: vec!["127.0.0.1:9".into()], tls: None, sasl: None };
    let to = Target {
        cluster,
        topic: "state".into(),
        timeout: Duration::from_secs(1),
        client_id: "eddy-tests".into(),
        of: "source",
        names_topic: "shared.state",
    };
    Teller {
        writer: Arc::new(Writer::new(to)),
        status: Arc::new(Status::new(&plan.unwrap_or_else(|problems| panic!("{problems}")), 0)),
        ledger: Ledger::default(),
        clock: Clock::start(),
        retain_ns: 7,
        next: watch::Sender::new(0).subscribe(),
        known: known.subscribe(),
    }
}

#[tokio::test]
async fn what_nobody_answers_for_is_unsure_and_what_nobody_would_hear_is_refused() {
    let known = watch::Sender::new(true);
    let teller = teller(&known);
    let word = Word::Silence(silence("stream=s"));
    let said = teller.tell(word.clone()).await;
    let Err(Refused::Unsure(why)) = said else { panic!("{said:?}") };
    assert!(why.contains("127.0.0.1:9") && why.contains(": it may have been said"), "{why}");
    teller.status.sources[0].kafka.set_words_error(Some("no broker is reached; start it".to_owned()));
    let said = teller.tell(word).await;
    let refused = Refused::Impossible("no broker is reached; start it: then say it again".to_owned());
    assert_eq!(said, Err(refused));
}

#[tokio::test]
async fn nothing_is_said_before_it_is_known_what_was() {
    let known = watch::Sender::new(false);
    let teller = teller(&known);
    let telling = tokio::spawn(async move { teller.tell(Word::Silence(silence("stream=s"))).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!telling.is_finished());
    // Whoever reads has ended.
    drop(known);
    let said = telling.await.unwrap();
    let Err(Refused::Impossible(why)) = said else { panic!("{said:?}") };
    assert!(why.contains("is not read yet: say it again"), "{why}");
}
