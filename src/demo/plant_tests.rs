//! The plant and its schedule: the same for the same seed, and as promised.

use super::delivery::Delivery;
use super::faults::{Kind, Schedule};
use super::history::{DEMO_START, export_history};
use super::plant::{PUMPS, Plant, SECOND_NS, Sample};

const RUN_S: i64 = 5_400;

fn bits(sample: &Sample) -> (usize, i64, [u32; 4]) {
    (sample.pump, sample.time.0, sample.values.map(f32::to_bits))
}

fn run(seed: u64, faults: Schedule, steps: i64) -> Vec<(usize, i64, [u32; 4])> {
    let mut plant = Plant::with_faults(seed, DEMO_START, faults);
    (0..steps).flat_map(|_| plant.step().iter().map(bits).collect::<Vec<_>>()).collect()
}

#[test]
fn a_seed_gives_one_run() {
    let faults = |seed| Schedule::new(seed, DEMO_START, RUN_S);
    assert_eq!(run(7, faults(7), 1_200), run(7, faults(7), 1_200));
    assert_ne!(run(7, faults(7), 60), run(8, faults(8), 60));
}

#[test]
fn a_fault_touches_its_own_pump_alone_and_only_from_its_start() {
    let schedule = Schedule::new(3, DEMO_START, RUN_S);
    let start_of = |pump: usize| schedule.faults.iter().filter(|f| f.pump == pump).map(|f| f.start.0).min();
    let sound = run(3, Schedule::default(), RUN_S);
    let faulty = run(3, schedule.clone(), RUN_S);
    assert_eq!(sound.len(), faulty.len());
    let mut touched = [false; PUMPS];
    for (a, b) in sound.iter().zip(&faulty).filter(|(a, b)| a != b) {
        assert_eq!((a.0, a.1), (b.0, b.1), "faults neither add nor remove samples");
        assert!(start_of(a.0).is_some_and(|start| a.1 >= start), "pump {} changed at {}", a.0, a.1);
        touched[a.0] = true;
    }
    assert_eq!(touched.iter().filter(|t| **t).count(), schedule.faults.len(), "each fault shows");
}

#[test]
fn every_pump_sends_about_once_a_second_with_small_gaps() {
    let samples = run(5, Schedule::default(), 3_600);
    for pump in 0..PUMPS {
        let times: Vec<i64> = samples.iter().filter(|s| s.0 == pump).map(|s| s.1).collect();
        assert!((3_550..3_600).contains(&times.len()), "pump {pump}: {} samples", times.len());
        let widest = times.windows(2).map(|t| t[1] - t[0]).max().unwrap();
        assert!(times.is_sorted() && widest < 6 * SECOND_NS, "pump {pump}: gap of {widest} ns");
    }
}

#[test]
fn the_default_run_has_two_faults_of_every_kind_and_starts_soon() {
    for seed in 0..50 {
        let faults = Schedule::new(seed, DEMO_START, RUN_S).faults;
        for kind in Kind::ALL {
            assert_eq!(faults.iter().filter(|f| f.kind == kind).count(), 2, "seed {seed}, {}", kind.as_str());
        }
        let first_s = (faults[0].start.0 - DEMO_START.0) / SECOND_NS;
        assert!(first_s < 600, "seed {seed}: first fault after {first_s} s, above 10 s of real time");
        assert!(faults.is_sorted_by_key(|f| f.start), "seed {seed}");
        let mut pumps: Vec<usize> = faults.iter().map(|f| f.pump).collect();
        pumps.sort_unstable();
        pumps.dedup();
        assert_eq!(pumps.len(), faults.len(), "seed {seed}: every fault has a pump of its own");
        for fault in &faults {
            let length_s = (fault.end.0 - fault.start.0) / SECOND_NS;
            assert!((300..900).contains(&length_s), "seed {seed}: {length_s} s");
            assert!(
                fault.end.0 <= DEMO_START.0 + (RUN_S - 60) * SECOND_NS,
                "seed {seed}: told before the end"
            );
        }
    }
}

#[test]
fn long_runs_use_pumps_again_without_overlap_and_short_ones_have_a_fault() {
    for seed in 0..20 {
        let long = Schedule::new(seed, DEMO_START, 20 * RUN_S).faults;
        assert!(long.len() >= 150, "seed {seed}: {}", long.len());
        for (index, fault) in long.iter().enumerate() {
            let mut earlier = long[..index].iter().filter(|f| f.pump == fault.pump);
            let rested = earlier.all(|f| f.end.0 + 600 * SECOND_NS <= fault.start.0);
            assert!(rested, "seed {seed}: pump {} has two at once or no rest", fault.pump);
        }
    }
    assert_eq!(Schedule::new(1, DEMO_START, 900).faults.len(), 1);
    assert!(Schedule::new(1, DEMO_START, 120).faults.is_empty());
}

#[test]
fn delivery_loses_nothing_disorders_a_little_and_repeats_some() {
    let (mut repeated, mut late) = (0, 0);
    for seed in 0..40 {
        let (mut plant, mut delivery) = (Plant::new(seed, DEMO_START), Delivery::new(seed));
        let (mut made, mut arrived) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            let samples = plant.step();
            made.extend(samples.iter().map(bits));
            arrived.extend(delivery.step(samples).iter().map(|s| (bits(s), plant.now().0)));
        }
        let late_ns = arrived.iter().map(|((_, time, _), at)| at - time).max().unwrap();
        assert!(late_ns < 4 * SECOND_NS, "more than two steps late: {late_ns} ns");
        let mut seen: Vec<_> = arrived.into_iter().map(|a| a.0).collect();
        // What is held back when the run ends comes too.
        seen.extend(delivery.finish().iter().map(bits));
        assert_eq!(seen.len(), made.len() + delivery.repeated_total as usize, "seed {seed}");
        seen.sort_unstable();
        seen.dedup();
        made.sort_unstable();
        assert_eq!(seen, made, "seed {seed}");
        repeated += delivery.repeated_total;
        late += delivery.late_total;
    }
    assert!(repeated > 40 && late > 80, "{repeated} repeated, {late} late");
}

#[test]
fn history_ends_where_the_demo_starts_and_parses_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.csv");
    let rows = export_history(9, 1, &path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("time,pump,vibration,temperature,pressure,flow"));
    let (mut last, mut missing, mut count) = (0, 0, 0);
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let time: i64 = fields[0].parse().unwrap();
        assert!(fields.len() == 6 && time >= last, "{line}");
        assert!(fields[2..].iter().all(|f| f.is_empty() || f.parse::<f32>().is_ok()), "{line}");
        missing += fields[2..].iter().filter(|f| f.is_empty()).count();
        (last, count) = (time, count + 1);
    }
    assert_eq!(count, rows);
    assert!(missing > 0, "holes are part of the history");
    let end_ms = DEMO_START.0 / 1_000_000;
    assert!((end_ms - 3_000..end_ms).contains(&last));
}
