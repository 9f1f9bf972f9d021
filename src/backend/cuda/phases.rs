//! What a batch spent on the device, by the device's own events.

/// ns, disjoint: what overlaps counts once, for what was under way first. Their sum is at most the time from the first
/// copy's start to the last one's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Copies to the device.
    pub up_ns: u64,
    pub kernel_ns: u64,
    /// Copies from it.
    pub down_ns: u64,
}

impl Phases {
    pub fn total_ns(&self) -> u64 {
        self.up_ns + self.kernel_ns + self.down_ns
    }

    pub fn add(&mut self, other: Phases) {
        self.up_ns += other.up_ns;
        self.kernel_ns += other.kernel_ns;
        self.down_ns += other.down_ns;
    }

    /// Of a slot: when its copy up, its kernels and its copy down began and ended, kernels ending where the copy down
    /// begins, all ns since the batch began. `until` is how far earlier slots have got.
    pub(super) fn of([up_from, up_to, kernel_from, kernel_to, down_to]: [u64; 5], until: &mut u64) -> Phases {
        let mut past = |from: u64, to: u64| {
            let ns = to.saturating_sub(from.max(*until));
            *until = to.max(*until);
            ns
        };
        Phases {
            up_ns: past(up_from, up_to),
            kernel_ns: past(kernel_from, kernel_to),
            down_ns: past(kernel_to, down_to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts_once() {
        let mut until = 0;
        let first = Phases::of([10, 30, 40, 90, 100], &mut until);
        assert_eq!(first, Phases { up_ns: 20, kernel_ns: 50, down_ns: 10 });
        // Copied up while the first one's kernels ran, and computed while it was copied down.
        let mut both = first;
        both.add(Phases::of([30, 60, 92, 150, 155], &mut until));
        assert_eq!(both, Phases { up_ns: 20, kernel_ns: 100, down_ns: 15 });
        assert_eq!((both.total_ns(), until), (135, 155), "all but the pauses from 0 to 10 and from 30 to 40");
    }
}
