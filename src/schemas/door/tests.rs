//! What waits, for how long, and what is remembered.

use super::*;

fn schema(id: i32) -> Schema {
    Schema { id, kind: "AVRO".into(), text: "\"int\"".into(), references: Vec::new(), from: 0 }
}

fn door() -> (Arc<Door>, Arc<Schemas>) {
    let schemas = Arc::<Schemas>::default();
    let to = schemas.clone();
    let keep = Box::new(move |schema: &Schema| {
        to.add("a", schema.clone());
        Ok(())
    });
    (Arc::new(Door::new("a", schemas.clone(), Box::new(|_| None), keep)), schemas)
}

#[tokio::test]
async fn one_waits_until_it_is_taken_in_and_others_do_not() {
    let (door, schemas) = door();
    schemas.add("a", schema(1));
    let mut passage = Passage::through(Some(door.clone()));
    assert_eq!((passage.way(1, false), passage.way(2, false)), (Way::Open, Way::Shut));
    assert_eq!(door.asked().await, [(2, false)], "once");
    assert_eq!(passage.way(2, false), Way::Shut);
    door.note(2, "it is away");
    assert_eq!(door.trouble(), Some((2, "it is away".to_owned())));
    door.answer(2, Some(schema(2)));
    assert_eq!((passage.way(2, false), door.trouble()), (Way::Shut, None), "not before the source says so");
    assert!(door.has_arrived());
    door.take_in(7);
    assert!(!door.has_arrived());
    assert_eq!(passage.way(2, false), Way::Open);
    assert_eq!(schemas.get("a", 2).map(|schema| schema.from), Some(7));
}

#[test]
fn what_cannot_be_kept_waits_and_says_so() {
    let keep = Box::new(|_: &Schema| Err("no space".to_owned()));
    let door = Arc::new(Door::new("a", Arc::default(), Box::new(|_| None), keep));
    let mut passage = Passage::through(Some(door.clone()));
    assert_eq!(passage.way(2, false), Way::Shut);
    door.answer(2, Some(schema(2)));
    door.take_in(0);
    assert_eq!(door.trouble(), Some((2, "no space".to_owned())));
    assert_eq!((passage.way(2, false), door.has_arrived()), (Way::Shut, false), "not at once");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_asked_for() {
    let (door, _) = door();
    let mut passage = Passage::through(Some(door.clone()));
    assert_eq!([3, 4, 3].map(|id| passage.way(id, id == 4)), [Way::Shut; 3]);
    assert_eq!(door.asked().await, [(3, false), (4, true)]);
    door.keep_only(&BTreeSet::new());
    assert!(!door.waits_for(3));
    door.answer(3, Some(schema(3)));
    door.end(3);
    assert!(!door.has_arrived());
    assert_eq!([3, 4].map(|id| passage.way(id, true)), [Way::Shut; 2]);
    assert_eq!(door.asked().await, [(3, true)], "anew; for the other still somebody asks");
    door.end(4);
    assert_eq!(door.asked().await, [(4, true)]);
}

#[test]
fn an_unknown_id_is_remembered_for_a_while_and_not_all_are() {
    let (door, _) = door();
    let mut passage = Passage::through(Some(door.clone()));
    assert_eq!(passage.way(5, false), Way::Shut);
    door.answer(5, None);
    assert_eq!((passage.way(5, false), passage.way(5, true)), (Way::Unknown, Way::Shut));
    let (mut absent, now) = (Absent::default(), Instant::now());
    (1..=ABSENT_IDS_MAX as i32 + 1).for_each(|id| absent.note(id, now));
    assert!(!absent.holds(1, now) && absent.holds(2, now), "the oldest goes");
    assert_eq!((absent.since.len(), absent.order.len()), (ABSENT_IDS_MAX, ABSENT_IDS_MAX));
    absent.note(2, now + ABSENT_MAX);
    absent.note(9, now + ABSENT_MAX + Duration::from_nanos(1));
    assert!(absent.holds(2, now + ABSENT_MAX * 2), "noted anew");
    assert_eq!(absent.since.len(), 2, "what is older goes");
    assert!(!absent.holds(9, now + ABSENT_MAX * 3));
}
