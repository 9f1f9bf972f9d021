//! Windows kept by lot: which stay when there are too many depends on nothing but themselves.

/// The lot of the window of a key that ends at `end_ns`.
pub(super) fn of(key_hash: u64, end_ns: i64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&end_ns.to_le_bytes(), key_hash)
}

/// Half as many stay at each further step of thinning.
pub(super) fn stays(lot: u64, thinning: u32) -> bool {
    lot.trailing_zeros() >= thinning
}

/// Keeps the items of which `keep` says so, in their order, with their equal parts of `values`.
pub(super) fn retain<T>(items: &mut Vec<T>, values: &mut Vec<f32>, keep: impl Fn(&T) -> bool) {
    let width = values.len() / items.len().max(1);
    let mut kept = 0;
    for at in 0..items.len() {
        if keep(&items[at]) {
            items.swap(kept, at);
            values.copy_within(at * width..(at + 1) * width, kept * width);
            kept += 1;
        }
    }
    items.truncate(kept);
    values.truncate(kept * width);
}
