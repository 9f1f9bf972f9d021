//! What is wrong and what is worth a word, as the page says it.

use std::sync::atomic::Ordering::Relaxed;

use crate::dashboard::problems::Problem;
use crate::dashboard::take;
use crate::dashboard::testing::{Scene, parts};
use crate::types::{Reason, StreamId};

#[test]
fn a_stream_of_which_most_is_not_judged_is_no_quiet_stream() {
    const NOW_NS: i64 = 1_800_000_000_000_000_000;
    let parts = parts(Scene::Calm, NOW_NS);
    let notes = || {
        let notes = take(&parts, NOW_NS, 1, None).notes;
        notes.into_iter().filter(|note| note.what.contains("could not be acted on")).count()
    };
    assert_eq!(notes(), 0);
    let all: u64 = parts.status.stream(StreamId(0)).iter().map(|of| of.windows_total.load(Relaxed)).sum();
    parts.status.partition(StreamId(0), 0).windows_unsure_total.store(all / 2 + 1, Relaxed);
    assert_eq!(notes(), 1);
}

#[test]
fn a_pipe_that_nobody_reads_has_a_remedy_of_its_own_and_is_no_retry() {
    const NOW_NS: i64 = 1_800_000_000_000_000_000;
    let parts = parts(Scene::Calm, NOW_NS);
    assert_eq!(take(&parts, NOW_NS, 1, None).problems, []);
    parts.status.sinks[0].blocked.store(true, Relaxed);
    let snapshot = take(&parts, NOW_NS, 1, None);
    let [problem] = &snapshot.problems[..] else { panic!("{:?}", snapshot.problems) };
    assert!(problem.what.contains("Nobody reads") && problem.what.contains("on_call"), "{problem:?}");
    assert!(problem.remedy.contains("standard output"), "{problem:?}");
    assert!(!problem.remedy.contains("pauses"), "it is not tried again: {problem:?}");
    parts.status.sinks[0].closed.store(true, Relaxed);
    let snapshot = take(&parts, NOW_NS, 1, None);
    let [problem] = &snapshot.problems[..] else { panic!("{:?}", snapshot.problems) };
    assert!(problem.what.ends_with("has closed it") && problem.remedy.starts_with("Restart"), "{problem:?}");
}

#[test]
fn a_client_that_puts_another_out_is_one_problem_connected_or_not() {
    const NOW_NS: i64 = 1_800_000_000_000_000_000;
    let parts = parts(Scene::Calm, NOW_NS);
    let source = &parts.status.sources[0];
    source.rival.notice("write another id".to_owned());
    for is_connected in [true, false] {
        source.connected.store(is_connected, Relaxed);
        *source.last_error.lock().unwrap() = (!is_connected).then(|| "write another id".to_owned());
        let snapshot = take(&parts, NOW_NS, 1, None);
        let [problem] = &snapshot.problems[..] else { panic!("{:?}", snapshot.problems) };
        assert!(problem.what.starts_with(&format!("Source {} is put out", source.name)), "{problem:?}");
        assert_eq!(problem.remedy, "write another id");
    }
    *source.last_error.lock().unwrap() = Some("start the broker".to_owned());
    let snapshot = take(&parts, NOW_NS, 1, None);
    let [_, problem] = &snapshot.problems[..] else { panic!("{:?}", snapshot.problems) };
    assert_eq!(problem.remedy, "start the broker", "it is hidden behind nobody");
    source.connected.store(true, Relaxed);
    parts.status.sinks[0].rival.notice("write another id".to_owned());
    let snapshot = take(&parts, NOW_NS, 1, None);
    let [_, problem] = &snapshot.problems[..] else { panic!("{:?}", snapshot.problems) };
    assert!(problem.what.contains("puts Eddy out of the broker"), "{problem:?}");
}

#[test]
fn a_column_that_never_came_is_a_problem_until_it_comes() {
    const NOW_NS: i64 = 1_800_000_000_000_000_000;
    let parts = parts(Scene::Calm, NOW_NS);
    let rows = parts.status.rows(StreamId(0));
    rows.read_total.store(4812, Relaxed);
    rows.absent_total[0].store(4812, Relaxed);
    let columns = parts.plan.streams[0].columns.len();
    rows.with_total[1..].iter().for_each(|with| with.store(4812, Relaxed));
    assert_eq!(take(&parts, NOW_NS, 1, None).problems, [], "what was not missed yet");
    rows.set_missed((0..columns).map(|column| (column == 0).then(|| "Its path is x".to_owned())).collect());
    let snapshot = take(&parts, NOW_NS, 1, None);
    let [problem] = &snapshot.problems[..] else { panic!("{:?}", snapshot.problems) };
    assert!(problem.what.ends_with("has not come in 4,812 rows"), "{problem:?}");
    assert_eq!(problem.remedy, "Its path is x");
    assert_eq!(snapshot.state, crate::dashboard::snapshot::State::Degraded);
    let absent = &snapshot.streams[0].rows_absent_total;
    assert_eq!(absent[..2], [Some(4812), Some(0)], "{absent:?}");
    rows.with_total[0].store(1, Relaxed);
    assert_eq!(take(&parts, NOW_NS, 1, None).problems, []);
}

#[test]
fn rows_left_out_and_times_of_the_wrong_unit_are_noted() {
    const NOW_NS: i64 = 1_800_000_000_000_000_000;
    let parts = parts(Scene::Calm, NOW_NS);
    let notes = |what: &str| {
        let notes = take(&parts, NOW_NS, 1, None).notes;
        notes.into_iter().filter(|note| note.what.contains(what)).map(|note| note.what).collect::<Vec<_>>()
    };
    assert!(notes("none of its columns").is_empty() && notes("before the year 2000").is_empty());
    parts.status.rows(StreamId(0)).ignored_total.store(7, Relaxed);
    assert!(notes("none of its columns")[0].starts_with("7 rows of stream "));
    assert!(notes("before the year 2000").is_empty());
    parts.status.rows(StreamId(0)).before_2000_total.store(3, Relaxed);
    assert!(notes("before the year 2000")[0].starts_with("3 rows of stream "));
}

#[test]
fn nothing_but_refusals_is_a_problem_and_some_are_a_note() {
    const NOW_NS: i64 = 1_800_000_000_000_000_000;
    let parts = parts(Scene::Calm, NOW_NS);
    let status = &parts.status;
    status.dead_letters.iter().for_each(|total| total.store(0, Relaxed));
    status.dead_letters[Reason::Late as usize].store(7, Relaxed);
    let said = || {
        let snapshot = take(&parts, NOW_NS, 1, None);
        let of = |list: &[Problem]| list.iter().filter(|p| p.what.contains("1,234 bad_time")).count();
        (of(&snapshot.problems), of(&snapshot.notes))
    };
    assert_eq!(take(&parts, NOW_NS, 1, None).problems, [], "late rows were understood");
    status.dead_letters[Reason::BadTime as usize].store(1234, Relaxed);
    status.rows_total.store(200_000, Relaxed);
    assert_eq!(said(), (0, 0), "one in a hundred and sixty");
    status.rows_total.store(100_000, Relaxed);
    assert_eq!(said(), (0, 1));
    status.rows_total.store(0, Relaxed);
    assert_eq!(said(), (1, 0));
    let snapshot = take(&parts, NOW_NS, 1, None);
    assert_eq!(snapshot.state, crate::dashboard::snapshot::State::Degraded);
    assert!(snapshot.problems[0].remedy.contains("dead-letters.ndjson"), "{:?}", snapshot.problems);
}

#[test]
fn a_stream_of_which_many_rows_come_too_late_says_so() {
    const NOW_NS: i64 = 1_800_000_000_000_000_000;
    let parts = parts(Scene::Calm, NOW_NS);
    let notes = || {
        let notes = take(&parts, NOW_NS, 1, None).notes;
        notes.into_iter().filter(|note| note.what.contains("came too late")).count()
    };
    let of = parts.status.stream(StreamId(0));
    of.iter().for_each(|partition| partition.late_total.store(0, Relaxed));
    let all: u64 = of.iter().map(|partition| partition.events_total.load(Relaxed)).sum();
    of[0].late_total.store(all / 200, Relaxed);
    assert_eq!(notes(), 0, "one in two hundred");
    of[0].late_total.store(all / 20, Relaxed);
    assert_eq!(notes(), 1, "one in twenty");
    let remedy = || {
        let notes = take(&parts, NOW_NS, 1, None).notes;
        notes.into_iter().find(|note| note.what.contains("came too late")).expect("a note").remedy
    };
    assert!(remedy().starts_with("Give [stream."), "{}", remedy());
    of[0].late_total.store(2 * all, Relaxed);
    assert!(remedy().starts_with("Send what is older first"), "no lateness would do: {}", remedy());
}
