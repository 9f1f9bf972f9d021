use tempfile::TempDir;

use super::super::word::tests::{seen, silence};
use super::*;
use crate::alert::outbox::Outbox;
use crate::types::{About, Alert, AlertState, Decision, EventTime, NoDataEvidence, Receipt, Silence};

const CONFIG: &str = "[source.a]\ntype = \"kafka\"\nbrokers = [\"b:9092\"]\ntopics = \"t\"\n[stream.s]\nfrom = \"a\"\n\
                      key = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
                      window = { type = \"tumbling\", size = \"1m\" }\n[sink.out]\ntype = \"stdout\"\n";

fn applying() -> (Applying, TempDir) {
    let plan = crate::config::parse(CONFIG, "", &Default::default());
    let status = Arc::new(Status::new(&plan.unwrap_or_else(|problems| panic!("{problems}")), 0));
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&folder.path().join("outbox.db"), &["out".to_owned()]).unwrap();
    let (outbox, ledger) = (OutboxHandle::new(outbox), Ledger::default());
    let applying = Applying { status, outbox, ledger, unreleased: BTreeMap::new(), tried: Instant::now() };
    (applying, folder)
}

fn alert() -> Alert {
    let (last_seen, due) = (EventTime(1), EventTime(2));
    let about = About::NoData(NoDataEvidence { last_seen, expected_every_ns: 1, due, resumed: None });
    let decision = Decision {
        id: "a1".into(),
        revision: 1,
        state: AlertState::Raised,
        stream: "s".into(),
        key: "k".into(),
        rule: "no_data".into(),
        onset: EventTime(1),
        about,
    };
    Alert { decision, receipt: Receipt::default() }
}

fn say(applying: &mut Applying, word: Word) {
    let needed = Needed { word, until_ns: 5_000 };
    applying.take(&needed.word.key(), Some(&needed.value()));
}

/// With an alert that a silence keeps from the receiver.
async fn holding() -> (Applying, TempDir, Silence) {
    let (mut applying, folder) = applying();
    applying.outbox.store(&[alert()], 10).unwrap();
    let silence = silence("stream=s");
    say(&mut applying, Word::Silence(silence.clone()));
    let active = applying.status.said.active(20);
    assert_eq!(active.len(), 1);
    let held = applying.outbox.run(move |outbox| {
        outbox.attach("out", "t", 10)?;
        outbox.hold_back("out", 20, &active, 9)
    });
    held.await.unwrap();
    (applying, folder, silence)
}

fn until(silence: &Silence, ends_at_ns: i64) -> Word {
    Word::Silence(Silence { ends_at_ns, ..silence.clone() })
}

#[tokio::test]
async fn the_end_of_a_silence_lets_go_what_this_member_holds_back_whatever_its_clock_says() {
    let (mut applying, _folder, silence) = holding().await;
    let held =
        applying.outbox.run(|outbox| Ok((outbox.due("out", 20, 9)?.len(), outbox.next_due_at("out", 20)?)));
    assert_eq!(held.await.unwrap(), (0, Some(1_000)));
    // Said by one whose clock is ahead: here it is not over yet.
    say(&mut applying, until(&silence, 30));
    assert_eq!(applying.status.said.silences()[0].ends_at_ns, 30);
    let left = applying.outbox.run(|outbox| {
        let early = outbox.due("out", 29, 9)?.len();
        outbox.hold_back("out", 30, &[], 9)?;
        Ok((early, outbox.due("out", 30, 9)?.len()))
    });
    assert_eq!(left.await.unwrap(), (0, 1));
}

#[test]
fn the_last_word_under_a_key_holds_and_silences_stand_in_the_order_of_their_beginnings() {
    let (mut applying, _folder) = applying();
    let (first, second) = (silence("stream=s"), silence("key=k"));
    let later = Silence { starts_at_ns: 11, ..second.clone() };
    say(&mut applying, Word::Silence(later.clone()));
    say(&mut applying, Word::Silence(first.clone()));
    let ids = |applying: &Applying| -> Vec<String> {
        applying.status.said.silences().iter().map(|silence| silence.id.clone()).collect()
    };
    assert_eq!(ids(&applying), [first.id.clone(), later.id.clone()]);
    say(&mut applying, until(&first, 40));
    say(&mut applying, until(&first, 30));
    let silences = applying.status.said.silences();
    assert_eq!((silences.len(), silences[0].ends_at_ns), (2, 30));
    say(&mut applying, Word::Acknowledgement(seen("a1")));
    let ben = crate::types::Acknowledgement { author: "ben".into(), ..seen("a1") };
    say(&mut applying, Word::Acknowledgement(ben));
    let author = |applying: &Applying| applying.status.said.acknowledgement("a1").map(|seen| seen.author);
    assert_eq!(author(&applying).as_deref(), Some("ben"));
    // What is forgotten is forgotten here as well, and told of to nobody again.
    assert!(applying.ledger.needless(5_000).is_some() && applying.ledger.needless(4_999).is_none());
    applying.take(&until(&first, 30).key(), None);
    applying.take("acknowledged/a1", None);
    assert_eq!((ids(&applying), author(&applying)), (vec![later.id.clone()], None));
    assert_eq!(applying.ledger.needless(5_000), Some(Word::Silence(second.clone()).key()));
    applying.take(&Word::Silence(second).key(), None);
    assert_eq!(applying.ledger.needless(i64::MAX), None);
}

#[test]
fn what_is_not_understood_does_not_hold_and_stays() {
    let (mut applying, _folder) = applying();
    let needed = Needed { word: Word::Silence(silence("stream=s")), until_ns: 5 };
    let later = String::from_utf8(needed.value()).unwrap().replace("\"format\":1", "\"format\":2");
    applying.take(&needed.word.key(), Some(later.as_bytes()));
    applying.take("chunk/s/1/0", Some(&needed.value()));
    assert!(applying.status.said.silences().is_empty());
    assert_eq!(applying.ledger.needless(i64::MAX), None);
}

#[tokio::test]
async fn an_end_that_was_not_taken_is_not_tried_again_once_a_later_one_is() {
    let (mut applying, _folder, silence) = holding().await;
    applying.unreleased.insert(silence.id.clone(), 500);
    applying.tried = Instant::now() - 2 * RETRY;
    say(&mut applying, until(&silence, 30));
    applying.release_again();
    let due = applying.outbox.run(|outbox| outbox.next_due_at("out", 20));
    assert_eq!((due.await.unwrap(), applying.unreleased.len()), (Some(30), 0));
}

#[test]
fn what_a_broker_refuses_does_not_pass() {
    for (code, passes) in [
        (Code::BrokerTransportFailure, true),
        (Code::AllBrokersDown, true),
        (Code::TopicAuthorizationFailed, false),
        (Code::UnknownTopicOrPartition, false),
        (Code::Authentication, false),
    ] {
        assert_eq!(is_passing(&KafkaError::MessageConsumption(code)), passes, "{code}");
    }
}
