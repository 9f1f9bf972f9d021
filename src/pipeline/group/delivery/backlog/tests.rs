use super::*;

fn revision(offset: i64) -> Revision {
    (format!("a{offset}"), 1)
}

fn position(offset: i64, beyond: &str) -> Position {
    Position { offset, beyond: beyond.to_owned() }
}

fn all(offsets: impl Iterator<Item = i64>) -> Backlog {
    let mut backlog = Backlog::begin(None, 0);
    offsets.for_each(|offset| backlog.take(offset, Some(revision(offset))));
    backlog
}

fn pending(offsets: &[i64]) -> BTreeSet<Revision> {
    offsets.iter().map(|&offset| revision(offset)).collect()
}

#[test]
fn what_is_delivered_behind_one_that_waits_is_not_kept_and_is_said() {
    let mut backlog = all(0..20_000);
    backlog.settle(|of| *of != revision(5));
    assert_eq!((backlog.len(), backlog.say()), (19_995, Some(position(5, ""))));
    assert_eq!(backlog.say(), None, "the group knows");
    backlog.keep(&pending(&[5, 90, 91]));
    assert_eq!(backlog.len(), 3);
    assert_eq!(backlog.say(), Some(position(5, "1+84 2+19908")));
    backlog.take(20_000, Some(revision(20_000)));
    assert_eq!(backlog.say(), None, "where it ends it grew by nothing");
    backlog.keep(&pending(&[91]));
    assert_eq!(backlog.position(), position(91, "1+19909"));
}

#[test]
fn a_stretch_goes_over_what_is_no_alert_and_none_is_made_of_that_alone() {
    // Every third offset ends a transaction.
    let mut backlog = all((0..30).filter(|offset| offset % 3 != 2));
    backlog.keep(&pending(&[0, 1, 3, 9]));
    assert_eq!(backlog.position(), position(0, "4+5 1+19"));
    backlog.settle(|of| *of == revision(0));
    assert_eq!(backlog.position(), position(1, "3+5 1+19"));
    backlog.settle(|_| true);
    assert_eq!((backlog.len(), backlog.position()), (0, position(29, "")));
}

#[test]
fn what_was_told_before_is_said_on_before_it_is_read_again() {
    let committed = position(40, "1+3 6+10");
    let mut backlog = Backlog::begin(Some(committed.clone()), 40);
    backlog.take(40, Some(revision(40)));
    assert_eq!(backlog.say(), None, "nothing of it has changed");
    assert!([41, 43, 50, 59].iter().all(|&offset| backlog.is_told(offset)));
    assert!([40, 44, 49, 60].iter().all(|&offset| !backlog.is_told(offset)));
    (41..44).for_each(|offset| backlog.take(offset, None));
    assert_eq!(backlog.say(), None);
    backlog.take(44, Some(revision(44)));
    backlog.settle(|of| *of == revision(40));
    assert_eq!(backlog.say(), Some(position(44, "6+10")));
    // In the middle of a stretch.
    (45..52).for_each(|offset| backlog.take(offset, Some(revision(offset)).filter(|_| offset < 50)));
    backlog.keep(&pending(&[44, 47]));
    assert_eq!(backlog.say(), Some(position(44, "1+2 1+12")));
}

#[test]
fn what_is_of_another_topic_is_not_believed_and_what_comes_again_begins_anew() {
    let mut other = Backlog::begin(Some(position(40, "1+3")), 2);
    assert!(!other.is_told(41));
    other.take(2, None);
    assert_eq!(other.say(), Some(position(3, "")));
    assert!(other.goes_on_at(3) && other.goes_on_at(9) && !other.goes_on_at(2));
}

#[test]
fn what_was_not_taken_is_said_again_and_what_is_too_long_without_the_rest() {
    let mut backlog = all(0..9);
    backlog.keep(&pending(&[0, 7]));
    let said = Some(position(0, "1+6 1+1"));
    assert_eq!((backlog.say(), backlog.say()), (said.clone(), None));
    backlog.unsay(false);
    assert_eq!(backlog.say(), said);
    backlog.unsay(true);
    assert_eq!(backlog.say(), Some(position(0, "")));
    backlog.settle(|of| *of == revision(0));
    assert_eq!(backlog.say(), Some(position(7, "")));
}
