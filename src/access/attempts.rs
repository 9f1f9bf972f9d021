//! How often an address showed something that is not good.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Failures a minute of one address, beyond which the next are answered by 429.
const FAILED_MAX: u32 = 10;
const MINUTE_S: u64 = 60;
/// Addresses remembered at a time.
const ADDRESSES_MAX: usize = 4_096;

/// Failures of the minute that began with an address's first.
#[derive(Default)]
pub struct Attempts(BTreeMap<IpAddr, (u64, u32)>);

impl Attempts {
    /// Counts one; gives the seconds to wait, 0 while there were few.
    pub fn failed(&mut self, from: IpAddr, now_s: u64) -> u64 {
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&from) {
            self.0.retain(|_, (since_s, _)| now_s.saturating_sub(*since_s) < MINUTE_S);
            if self.0.len() >= ADDRESSES_MAX {
                // Somebody has thousands of addresses: none of those that are not known is looked at.
                return MINUTE_S;
            }
        }
        let (since_s, count) = self.0.entry(from).or_insert((now_s, 0));
        if now_s.saturating_sub(*since_s) >= MINUTE_S {
            (*since_s, *count) = (now_s, 0);
        }
        *count = count.saturating_add(1);
        if *count > FAILED_MAX { (*since_s + MINUTE_S).saturating_sub(now_s).max(1) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_minute_and_address_and_never_more_memory_than_that() {
        let mut attempts = Attempts::default();
        let one = IpAddr::from([192, 0, 2, 1]);
        assert!((0..10).all(|_| attempts.failed(one, 100) == 0));
        assert_eq!(attempts.failed(one, 130), 30);
        assert_eq!(attempts.failed(IpAddr::from([192, 0, 2, 2]), 130), 0, "others are not held up");
        assert_eq!(attempts.failed(one, 160), 0, "a minute later");
        for i in 0..10_000u32 {
            attempts.failed(IpAddr::from(i.to_be_bytes()), 200);
        }
        assert!(attempts.0.len() <= ADDRESSES_MAX);
    }
}
