use super::known::{CHANGES_MAX, PRIOR_E4};
use super::*;

const DAY_NS: i64 = 86_400_000_000_000;

#[test]
fn counts_fade_by_half_in_ten_days_whatever_the_era() {
    let tally = |begin: i64| {
        let mut seconds = SecondKeys::default();
        let mut now_era = era(begin);
        for day in 0..40 {
            let time = begin + day * DAY_NS;
            seconds.fade(era(time) - now_era);
            now_era = era(time);
            seconds.transaction(7, weight(time, now_era));
            if day == 20 {
                seconds.fraud(7, weight(time - 5 * DAY_NS, now_era));
            }
        }
        let mut tally = Tally::default();
        tally.count(7, seconds.count(7), now_era, begin + 39 * DAY_NS);
        tally.counts[&7]
    };
    let all: f64 = (0..40).map(|age| (-f64::from(age) / 10.0).exp2()).sum();
    for begin in [0, 3 * DAY_NS, 9 * DAY_NS + 5, -4 * DAY_NS] {
        let [bad, counted] = tally(begin);
        assert!((bad - (-24.0f64 / 10.0).exp2()).abs() < 1e-5, "{bad} of the day it happened");
        assert!((counted - all).abs() < 1e-4, "{counted}, not {all}");
    }
}

#[test]
fn of_transactions_too_young_for_an_outcome_nothing_is_concluded() {
    let mut ages = Ages::default();
    assert_eq!(ages.told_share(), 1.0);
    (0..3).for_each(|_| ages.observe(HALF_LIFE_NS));
    assert_eq!(ages.told_share(), 0.5);
    assert!((risk(2.0, 2.0) - 2.004 / 2.5).abs() < 1e-12);
    assert_eq!(risk(2.0, 1.0), risk(2.0, 2.0), "frauds are transactions");
    assert!((risk(0.0, 0.0) - Risks::unknown()).abs() < 1e-12);
}

#[test]
fn only_what_changed_is_written_down_and_what_is_usual_again_goes() {
    let mut noted = Risks::default();
    let tally = |counts: &[(u32, f64, f64)]| {
        let counts = counts.iter().map(|&(second, bad, all)| (second, [bad, all])).collect();
        Tally { counts, ages: Ages::default() }
    };
    let first = tally(&[(1, 5.0, 10.0), (2, 1.0, 3.0), (3, 0.0, 90.0)]).changes(&noted);
    assert_eq!(first, [(1, 4766), (2, 2869)], "the largest first, and not the sound one");
    noted.note(&first);
    assert!((noted.of(1) - 0.4766).abs() < 1e-12 && noted.of(3) == Risks::unknown());
    assert_eq!(tally(&[(1, 5.0, 10.5), (2, 1.0, 3.1)]).changes(&noted), [], "by less than a tenth");
    let then = tally(&[(1, 9.0, 10.0), (2, 0.01, 3.0)]).changes(&noted);
    assert_eq!(then, [(1, 8575), (2, PRIOR_E4)]);
    noted.note(&then);
    assert_eq!(noted.seconds().collect::<Vec<_>>(), [1]);
    let mut bytes = Vec::new();
    noted.encode(&mut StateWriter(&mut bytes));
    assert_eq!(Risks::decode(&mut StateReader::new(&bytes)), Ok(noted));
}

#[test]
fn an_entry_is_bounded_and_the_rest_follows() {
    let counts = (0..10_000).map(|second| (second, [5.0, 5.0])).collect();
    let tally = Tally { counts, ages: Ages::default() };
    let (mut noted, mut entries) = (Risks::default(), 0);
    while let changes @ [_, ..] = &tally.changes(&noted)[..] {
        assert!(changes.len() <= CHANGES_MAX);
        noted.note(changes);
        entries += 1;
    }
    assert_eq!((entries, noted.len()), (3, 10_000));
}

#[test]
fn the_least_seen_go_where_there_are_too_many_and_frauds_stay() {
    let mut seconds = SecondKeys::default();
    seconds.fraud(0, 1.0);
    (0..SOUND_MAX as u32 + 9).for_each(|second| seconds.transaction(second, f64::from(second % 7 + 1)));
    seconds.bound();
    assert!(seconds.sound.len() <= SOUND_MAX && seconds.sound.len() > SOUND_MAX / 2);
    assert_eq!(seconds.count(0), [1.0, 1.0]);
    assert_eq!(seconds.count(7), [0.0, 0.0], "of the least seen");
    assert_eq!(seconds.count(6), [0.0, 7.0]);
    let again = seconds.clone();
    seconds.bound();
    assert_eq!(seconds, again);
    let mut bytes = Vec::new();
    seconds.encode(&mut StateWriter(&mut bytes));
    assert_eq!(SecondKeys::decode(&mut StateReader::new(&bytes)), Ok(seconds));
}
