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
fn receipts_add_up_even_where_clocks_step_back() {
    let receipt = ReceiptBuilder::from(100).until("a", 150).until("b", 140).until("c", 250).finish();
    assert_eq!(receipt.total_ns, 150);
    assert_eq!(receipt.segments.iter().map(|s| s.ns).sum::<u64>(), receipt.total_ns);
    assert_eq!(receipt.end_ns - receipt.start_ns, receipt.total_ns as i64);
    let more = ReceiptBuilder::extend(receipt).until("d", 300).finish();
    assert_eq!((more.total_ns, more.end_ns), (200, 300));
}
