//! Episodes, verdict by verdict.

use super::*;
use crate::alert::told::{Change, Told};
use crate::types::AlertState::{self, *};
use crate::types::HeldBack;
use proptest::prelude::*;

fn rule(overlap: usize, standing_ns: i64) -> Rule {
    Rule { overlap, standing_ns, settling_ns: 50 }
}

/// `x` anomalous, `h` held back, `-` neither odd enough to open nor clearly normal, `.` normal, `?` not confident.
fn states(pattern: &str, overlap: usize) -> Vec<(usize, AlertState, u32, i64)> {
    let changes = changes(pattern, rule(overlap, i64::MAX));
    changes.into_iter().map(|(i, change)| (i, change.state, change.revision, change.onset.0)).collect()
}

fn verdict(c: char) -> Verdict {
    let p_value = match c {
        'x' | 'h' => 1e-5,
        '-' => 1e-3,
        _ => 0.5,
    };
    let (anomalous, calm) = (c == 'x', !matches!(c, 'x' | '-' | 'h'));
    Verdict { p_value, anomalous, held_back: (c == 'h').then_some(HeldBack::Rule), calm, confident: c != '?' }
}

/// Windows of 10 ns, one after the other; what the `i`-th of them did.
fn changes(pattern: &str, rule: Rule) -> Vec<(usize, Change)> {
    let (mut episode, mut told) = (Episode::default(), Vec::<Told>::new());
    let step = |(i, c): (usize, char)| {
        let at = i as i64 * 10;
        let turn = episode.step(verdict(c), at, at + 10, rule)?;
        Some((i, crate::alert::told::tell(&mut told, turn, i64::MIN)))
    };
    pattern.chars().enumerate().filter_map(step).collect()
}

#[test]
fn opens_on_three_of_five() {
    assert_eq!(states("..x.x.......", 16), []);
    assert_eq!(states("..x.xx......", 16), [(5, Raised, 1, 20)]);
    assert_eq!(states("xx....x....xx", 16), []);
}

#[test]
fn closes_when_a_whole_window_s_length_was_clearly_normal() {
    assert_eq!(states("xxx.......", 8), [(2, Raised, 1, 0)]);
    assert_eq!(states("xxx........", 8), [(2, Raised, 1, 0), (10, Resolved, 2, 0)]);
    assert_eq!(states("xxx...-........", 8), [(2, Raised, 1, 0), (14, Resolved, 2, 0)]);
}

#[test]
fn an_anomaly_that_comes_and_goes_is_one_alert() {
    assert_eq!(states("xxx......x.....xxx...x.....", 8).len(), 1);
}

#[test]
fn windows_that_do_not_overlap_stand_alone() {
    assert_eq!(states(".x.....", 1), [(1, Raised, 1, 10), (6, Resolved, 2, 10)]);
}

#[test]
fn unsure_windows_change_nothing() {
    assert_eq!(states("xx????????????", 16), []);
    assert_eq!(states("xxx????????????????????", 16).len(), 1);
}

#[test]
fn a_key_teaches_unless_what_it_did_was_odd() {
    let mut episode = Episode::default();
    let mut step = |p_value: f64| {
        let verdict = Verdict {
            p_value,
            anomalous: p_value < 0.03,
            held_back: None,
            calm: p_value > 0.03,
            confident: true,
        };
        episode.step(verdict, 0, 10, rule(1, i64::MAX));
        [episode.is_calm(), episode.teaches(1e-4), episode.teaches(0.03)]
    };
    assert_eq!(step(0.5), [true, true, true]);
    assert_eq!(step(0.02), [false, true, false], "an alert, and yet nothing that is not normal now and then");
    assert_eq!(step(1e-5), [false, false, false]);
    let calm: Vec<_> = (0..5).map(|_| step(0.5)).collect();
    assert_eq!((calm[3], calm[4]), ([false, false, false], [true, true, true]));
}

#[test]
fn ids_depend_on_every_part() {
    let id = |deployment, stream, beginning, key, time| {
        alert_id(deployment, stream, Position(beginning), None, key, "r", EventTime(time))
    };
    let base = id("d", "s", 0, b"k" as &[u8], 1);
    let others = [
        id("ds", "", 0, b"k", 1),
        id("d", "sk", 0, b"", 1),
        id("d", "s", 0, b"k", 2),
        id("d", "s", 1, b"k", 1),
    ];
    assert!(others.iter().all(|other| *other != base));
    let elsewhere =
        |partition| alert_id("d", "s", Position(0), Some(PartitionId(partition)), b"k", "r", EventTime(1));
    assert!(elsewhere(0) != base && elsewhere(1) != base && elsewhere(0) != elsewhere(1));
    assert_eq!(base.len(), 32);
}

#[test]
fn windows_held_back_neither_open_nor_are_learnt_from() {
    assert_eq!(states("hhhhhhhhhh", 8), []);
    assert_eq!(states("..hhxhxx", 8), [(7, Raised, 1, 40)]);
    assert_eq!(
        states("xxx.....h........", 8),
        [(2, Raised, 1, 0), (16, Resolved, 2, 0)],
        "they are not calm"
    );
    let mut episode = Episode::default();
    let mut teaches = |c| {
        episode.step(verdict(c), 0, 10, rule(8, i64::MAX));
        episode.teaches(1e-4)
    };
    assert_eq!(
        ['.', 'h', '.', '.', '.', '.', '.'].map(&mut teaches),
        [true, false, false, false, false, false, true]
    );
}

/// State and resolution of each change.
fn resolutions(pattern: &str, standing_ns: i64) -> Vec<(usize, AlertState, Option<Resolution>)> {
    let changes = changes(pattern, rule(8, standing_ns));
    changes.into_iter().map(|(i, change)| (i, change.state, change.resolution)).collect()
}

#[test]
fn what_stands_is_resolved_and_may_open_again_once_it_has_settled() {
    // Opened at 30 ns, so it has stood for 40 ns at 70 ns; until 120 ns nothing counts.
    let told = resolutions("xxxxxxxxxxxxxxxxxxxxx", 40);
    let standing = Some(Resolution::Standing);
    assert_eq!(
        told,
        [(2, Raised, None), (6, Resolved, standing), (13, Raised, None), (17, Resolved, standing)]
    );
    let told = resolutions("xxxxxxxx.....................", 40);
    assert_eq!(told, [(2, Raised, None), (6, Resolved, standing)], "a new level that is normal");
    let calm = Some(Resolution::Calm);
    assert_eq!(resolutions("xxx........", 80), [(2, Raised, None), (10, Resolved, calm)], "calm goes first");
    assert_eq!(resolutions("xxx????x", 40)[1], (7, Resolved, standing), "by a verdict that is sure");
    assert_eq!(resolutions(&"x".repeat(1000), i64::MAX).len(), 1);
    let off = format!("xxx{}x", "?".repeat(100));
    assert_eq!(resolutions(&off, 100).len(), 1, "what nobody saw is no time in which it stood");
    assert_eq!(resolutions("xxxxx.....", 40).len(), 1, "a window that is calm tells of no standing state");
}

/// The same by looking back over all verdicts for each: (window, opens).
fn oracle(pattern: &[char], overlap: usize, standing_ns: i64) -> Vec<(usize, bool)> {
    let (needed, calm_needed) = (overlap.clamp(1, 3), overlap.clamp(5, 60));
    let (mut turns, mut open, mut since) = (Vec::new(), None, 0);
    let mut from_ns = 0;
    for at in 0..pattern.len() {
        let end = (at as i64 + 1) * 10;
        if pattern[at] == '?' || end < from_ns {
            since = if end < from_ns { at + 1 } else { since };
            continue;
        }
        let sure: Vec<char> = pattern[since..=at].iter().copied().filter(|c| *c != '?').collect();
        match open {
            None => {
                let odd = sure.iter().rev().take(5).filter(|c| **c == 'x').count();
                if pattern[at] == 'x' && odd >= needed {
                    open = Some((0, end));
                    turns.push((at, true));
                }
            }
            Some((stood, last)) => {
                let stood = stood + (end - last).min(50);
                open = Some((stood, end));
                let calm = sure.iter().rev().take_while(|c| **c == '.').count() >= calm_needed;
                let stood = stood >= standing_ns && pattern[at] != '.';
                if calm || stood {
                    (open, since) = (None, at + 1);
                    turns.push((at, false));
                    from_ns = if calm { from_ns } else { end + 50 };
                }
            }
        }
    }
    turns
}

proptest! {
    #[test]
    fn episodes_are_those_of_a_plain_account(
        pattern in proptest::collection::vec(proptest::sample::select(vec!['x', 'x', '.', '.', '.', '-', 'h', '?']), 0..120),
        overlap in 1usize..12,
        standing in 3i64..40,
    ) {
        let text: String = pattern.iter().collect();
        let rule = rule(overlap, standing * 10);
        let turns: Vec<(usize, bool)> =
            changes(&text, rule).into_iter().map(|(i, change)| (i, change.state == Raised)).collect();
        prop_assert_eq!(turns, oracle(&pattern, overlap, standing * 10));
    }
}
