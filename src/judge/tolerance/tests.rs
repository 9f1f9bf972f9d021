use super::*;
use crate::state::{StateReader, StateWriter};

const DAY: i64 = 86_400_000_000_000 / EPOCH_NS;

fn window(column: usize, by: f64) -> Departure {
    Departure::of_window(column, 100.0, 100.0 + by)
}

/// Episodes of windows, of which each went so far in column 0.
fn episodes(of: &[f64]) -> Episodes {
    let mut episodes = Episodes::default();
    for (onset, by) in of.iter().enumerate() {
        episodes.saw(Detector::Window, onset as i64, 1e-6, [window(0, *by)].into_iter());
    }
    episodes
}

fn say(episodes: &mut Episodes, onset: i64, number: u64, expected: Option<bool>) {
    episodes.hear(Detector::Window, onset, (number, &format!("a{onset}")), expected, 0);
}

fn is_covered(episodes: &Episodes, by: f64) -> bool {
    episodes.in_force().window.covers(window(0, by))
}

#[test]
fn what_was_seen_and_a_quarter_more_is_tolerated_on_its_side_and_in_its_column() {
    let mut of = episodes(&[8.0]);
    assert!(!is_covered(&of, 0.1), "nobody has said anything");
    say(&mut of, 0, 1, Some(true));
    let held = of.in_force().window;
    assert!([0.1, 8.0, 10.0].iter().all(|by| held.covers(window(0, *by))));
    assert!(!held.covers(window(0, 10.1)) && !held.covers(window(0, -0.1)) && !held.covers(window(1, 0.1)));
    assert_eq!(of.in_force().alerts, ["a0".into()]);
    assert!(of.in_force().onset.0.is_empty(), "another rule");
}

#[test]
fn a_column_departs_to_each_side_that_is_no_ripple_and_by_no_more_than_its_band_not_at_all() {
    let of = |off: &[f64]| departures(0, off, 2.0).map(|of| of.to).collect::<Vec<_>>();
    assert_eq!(of(&[1.0, 8.0, f64::NAN, -3.9]), [8.0]);
    assert_eq!(of(&[1.0, 8.0, 100.0, -50.0]), [-50.0, 100.0]);
    assert_eq!((of(&[1.9]), of(&[2.1])), (vec![], vec![2.1]));
    // Of 64 cells one is 3.4 sd off as easily as one alone is 1.96.
    let mut many = [0.0; 64];
    many[7] = 3.4;
    assert_eq!(of(&many), Vec::<f32>::new());
    many[7] = 3.6;
    assert_eq!(of(&many), [3.6]);
    assert_eq!((of(&[]), of(&[f64::NAN])), (vec![], vec![]));
}

#[test]
fn clicks_do_not_add_up() {
    let mut of = episodes(&[8.0, 8.0, 7.0]);
    (0..3).for_each(|onset| say(&mut of, onset, 1 + onset as u64, Some(true)));
    assert!(is_covered(&of, 10.0) && !is_covered(&of, 10.1));
    assert_eq!(of.in_force().alerts.len(), 3);
}

#[test]
fn real_takes_back_what_would_have_hidden_it_and_nothing_else() {
    let mut of = episodes(&[8.0, 9.0, 30.0]);
    say(&mut of, 0, 1, Some(true));
    say(&mut of, 2, 2, Some(false));
    assert!(is_covered(&of, 8.0), "what is real is graver");
    say(&mut of, 1, 3, Some(false));
    assert!(!is_covered(&of, 1.0), "the tolerance would have hidden it");
    say(&mut of, 1, 4, None);
    assert!(is_covered(&of, 10.0), "as before");
    say(&mut of, 0, 5, Some(false));
    assert!(!is_covered(&of, 1.0), "the last word on it");
    say(&mut of, 0, 6, Some(true));
    say(&mut of, 1, 7, Some(false));
    say(&mut of, 0, 8, Some(true));
    assert!(is_covered(&of, 8.0), "said after the real one");
    say(&mut of, 0, 9, None);
    assert_eq!(of.in_force(), InForce::default());
}

#[test]
fn two_tolerances_that_hide_it_together_are_taken_back() {
    let mut of = Episodes::default();
    of.saw(Detector::Window, 0, 1e-6, [window(0, 8.0)].into_iter());
    of.saw(Detector::Window, 1, 1e-6, [window(1, 8.0)].into_iter());
    of.saw(Detector::Window, 2, 1e-6, [window(2, 8.0)].into_iter());
    of.saw(Detector::Window, 3, 1e-6, [window(0, 8.0), window(1, -1.0), window(1, 7.0)].into_iter());
    (0..3).for_each(|onset| say(&mut of, onset, 1 + onset as u64, Some(true)));
    say(&mut of, 3, 4, Some(false));
    assert_eq!(of.in_force().alerts.len(), 3, "one of its sides is tolerated by none");
    of.0[3].extent.0.retain(|reach| reach.side != 2);
    assert_eq!(of.in_force().alerts, ["a2".into()]);
}

#[test]
fn an_onset_is_held_to_the_value_it_came_to_not_to_the_range_that_took_it_in() {
    let (value, mean) = (Watched::Value, Watched::Mean);
    let mut of = Episodes::default();
    let first = Departure::of_onset(1, value, 10.0, 80.0, 90.0);
    of.saw(Detector::Onset, 0, 0.0, [first].into_iter());
    of.hear(Detector::Onset, 0, (1, "a0"), Some(true), 0);
    let held = of.in_force().onset;
    let again = |value: f32, watched| Departure::of_onset(1, watched, 10.0, 90.0, value);
    assert!(held.covers(again(92.5, value)) && !held.covers(again(93.0, value)));
    assert!(!held.covers(again(92.0, mean)), "another thing is watched");
    assert!(!held.covers(Departure::of_onset(1, value, 10.0, 90.0, 9.0)), "the other side");
    let later = Departure::of_onset(1, value, 10.0, 90.0, 92.0);
    of.saw(Detector::Onset, 0, 0.0, [later].into_iter());
    let held = of.in_force().onset;
    assert!(
        held.covers(again(95.0, value)) && !held.covers(again(95.1, value)),
        "one departure, from 80 to 92"
    );
    of.saw(Detector::Onset, 0, 0.0, [Departure::of_onset(1, value, 10.0, 80.0, 0.0)].into_iter());
    let held = of.in_force().onset;
    let below = |value: f32| Departure::of_onset(1, Watched::Value, 0.0, 90.0, value);
    assert!(held.covers(below(-2.5)) && !held.covers(below(-3.0)));
}

#[test]
fn an_episode_is_looked_at_again_when_it_is_ten_times_rarer() {
    let mut of = episodes(&[8.0]);
    assert!(of.is_news(Detector::Onset, 0, 1.0) && of.is_news(Detector::Window, 1, 1.0));
    assert!(!of.is_news(Detector::Window, 0, 1.1e-7) && of.is_news(Detector::Window, 0, 0.9e-7));
    say(&mut of, 0, 1, Some(true));
    of.saw(Detector::Window, 0, 1e-8, [window(0, 20.0)].into_iter());
    assert!(is_covered(&of, 25.0), "it goes on, and what was said is of all of it");
    of.saw(Detector::Window, 0, 0.0, [].into_iter());
    assert!(!of.is_news(Detector::Window, 0, 0.0), "it gets no rarer than this");
}

#[test]
fn words_and_episodes_end_and_their_number_is_bounded() {
    let mut of = episodes(&[8.0]);
    say(&mut of, 0, 1, Some(true));
    of.pass(30 * DAY);
    assert!(is_covered(&of, 8.0));
    of.pass(30 * DAY + 1);
    assert!(of.is_empty());
    assert_eq!(of.in_force(), InForce::default());

    let mut of = episodes(&[1.0; UNSAID_MAX]);
    say(&mut of, 0, 1, Some(true));
    assert_eq!(of.in_force().alerts.len(), 1);
    let mut of = episodes(&[1.0; UNSAID_MAX + 1]);
    say(&mut of, 0, 1, Some(true));
    assert_eq!(of.in_force(), InForce::default(), "the oldest of so many is forgotten");
    let mut of = Episodes::default();
    for onset in 0..20 {
        of.saw(Detector::Window, onset, 1e-6, [window(0, 20.0 - onset as f64)].into_iter());
        say(&mut of, onset, onset as u64 + 1, Some(true));
    }
    let alerts = of.in_force().alerts;
    assert_eq!((alerts.len(), &*alerts[0]), (WORDS_MAX, "a4"));
    assert!(is_covered(&of, 20.0) && !is_covered(&of, 20.1), "16 and a quarter more");
}

#[test]
fn it_comes_back_from_bytes_as_it_was() {
    let mut of = episodes(&[8.0, 9.0]);
    of.saw(Detector::Onset, 7, 0.0, [Departure::of_onset(1, Watched::Mean, 1.0, 2.0, 0.5)].into_iter());
    say(&mut of, 0, 1, Some(true));
    of.hear(Detector::Onset, 7, (2, "o7"), Some(false), 3);
    let mut bytes = Vec::new();
    let mut to = StateWriter(&mut bytes);
    of.encode(&mut to);
    of.in_force().encode(&mut to);
    let mut from = StateReader::new(&bytes);
    assert_eq!(Episodes::decode(&mut from).unwrap(), of);
    assert_eq!(InForce::decode(&mut from).unwrap(), of.in_force());
    assert_eq!(from.end(), Ok(()));
}
