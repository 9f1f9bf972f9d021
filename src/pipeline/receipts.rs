//! Receipts of alerts, as far as a shard knows them.

use crate::backend::Phases;
use crate::engine::Raised;
use crate::latency::{ReceiptBuilder, Stage};
use crate::pipeline::shard::Stamps;
use crate::types::{Alert, Receipt};

/// Time on a device, by stage.
pub(super) fn of_device(Phases { up_ns, kernel_ns, down_ns }: Phases) -> [(Stage, u64); 3] {
    [(Stage::DeviceUp, up_ns), (Stage::DeviceKernel, kernel_ns), (Stage::DeviceDown, down_ns)]
}

/// The way of an alert so far; the outbox adds its own stretch.
pub(super) fn with_receipt(raised: Raised, stamps: Stamps, start_ns: i64) -> Alert {
    let receipt = ReceiptBuilder::from(raised.last_row.0).until("wait_watermark", raised.trigger.0);
    let receipt = if stamps.recovered {
        receipt.until("recovery", start_ns)
    } else {
        receipt
            .until("receive", stamps.log_start_ns)
            .until("log", stamps.logged_ns)
            .until("queue_decode", stamps.decode_start_ns)
            .until("decode", stamps.decoded_ns)
            .until("queue_shard", start_ns)
    };
    let receipt = receipt.until("window", raised.gathered_ns);
    let receipt = until_scored(receipt, raised.device, raised.gathered_ns, raised.scored_ns);
    let receipt: Receipt = receipt.until("judge", raised.judged_ns).recovered(stamps.recovered).finish();
    Alert { decision: raised.decision, receipt }
}

/// Adds the time from gathering to scores: what a device took of it, and the rest.
fn until_scored(
    mut receipt: ReceiptBuilder,
    device: Phases,
    gathered_ns: i64,
    scored_ns: i64,
) -> ReceiptBuilder {
    let mut at_ns = gathered_ns;
    for (stage, ns) in of_device(device).into_iter().filter(|(_, ns)| *ns > 0) {
        at_ns = (at_ns + ns as i64).min(scored_ns);
        receipt = receipt.until(stage.as_str(), at_ns);
    }
    receipt.until(Stage::Score.as_str(), scored_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(device: Phases) -> Vec<(String, u64)> {
        let receipt = until_scored(ReceiptBuilder::from(1_000), device, 1_000, 1_100).finish();
        assert_eq!(receipt.total_ns, 100, "whatever a device says of itself");
        assert_eq!(receipt.segments.iter().map(|segment| segment.ns).sum::<u64>(), 100);
        receipt.segments.into_iter().map(|segment| (segment.stage, segment.ns)).collect()
    }

    #[test]
    fn a_devices_part_of_scoring_is_told_apart_and_adds_up() {
        assert_eq!(segments(Phases::default()), [("score".to_owned(), 100)]);
        let of = |segments: &[(&str, u64)]| -> Vec<(String, u64)> {
            segments.iter().map(|(stage, ns)| ((*stage).to_owned(), *ns)).collect()
        };
        let parts = segments(Phases { up_ns: 20, kernel_ns: 50, down_ns: 10 });
        let expected = [("device_up", 20), ("device_kernel", 50), ("device_down", 10), ("score", 20)];
        assert_eq!(parts, of(&expected));
        // Its clock is not ours.
        let more = segments(Phases { up_ns: 60, kernel_ns: 50, down_ns: 10 });
        assert_eq!(more, of(&[("device_up", 60), ("device_kernel", 40), ("device_down", 0), ("score", 0)]));
    }
}
