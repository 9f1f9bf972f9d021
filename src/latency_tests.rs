use super::*;

#[test]
fn what_was_recorded_last_is_seen_by_an_idle_box() {
    let latency = Latency::new();
    let (mut a, mut b) = (latency.recorder(Stage::Score), latency.recorder(Stage::Score));
    a.record(1_000, 10);
    b.record_each([2_000_000, 3_000_000].into_iter());
    let seen = latency.summary(Stage::Score);
    assert_eq!(seen.count, 12);
    assert!((1_000..1_010).contains(&seen.latency_ns_p50), "{seen:?}");
    assert!((3_000_000..3_030_000).contains(&seen.latency_ns_max), "{seen:?}");
    assert_eq!(latency.summary(Stage::Log).count, 0);
}

#[test]
fn a_clock_that_was_set_is_followed_by_every_copy() {
    let clock = Clock::start();
    let other = clock;
    let hour_ns = 3_600_000_000_000;
    clock.resync_to(clock.now_ns() + hour_ns);
    assert!((other.now_ns() - system_ns() - hour_ns).abs() < 1_000_000_000);
    let before = clock.now_ns();
    clock.resync_to(before + STEP_NS / 2);
    assert!((clock.now_ns() - before) < STEP_NS / 4, "a slew is left alone");
    clock.resync();
    assert!((clock.now_ns() - system_ns()).abs() < 1_000_000_000);
}

#[test]
fn a_clock_starts_from_a_reading_that_nothing_held_up() {
    let (at, ms) = (Instant::now(), Duration::from_millis);
    let reading = |wall_ns, took| Reading { at, wall_ns, took };
    let (held_up, close) = (reading(1, ms(62)), reading(2, ms(1)));
    assert_eq!(Reading::closest([held_up, close, reading(3, ms(5))].into_iter(), held_up), close);
}

#[test]
fn receipts_add_up_even_where_clocks_step_back() {
    let receipt = ReceiptBuilder::from(100).until("a", 150).until("b", 140).until("c", 250).finish();
    assert_eq!(receipt.total_ns, 150);
    assert_eq!(receipt.segments.iter().map(|s| s.ns).sum::<u64>(), receipt.total_ns);
    assert_eq!(receipt.end_ns - receipt.start_ns, receipt.total_ns as i64);
    let more = ReceiptBuilder::extend(receipt).until("d", 300).finish();
    assert_eq!((more.total_ns, more.end_ns), (200, 300));
}
