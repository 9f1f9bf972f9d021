//! Hosts by the names that a config gives them.

/// Whether both names are of one host, as far as can be known without asking anybody.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || is_here(a) && is_here(b)
}

/// The names by which this machine is usually called on itself.
fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "::1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_several_names() {
        for (a, b) in
            [("broker.A", "Broker.a"), ("localhost", "127.0.0.1"), ("::1", "LOCALHOST"), ("::1", "[::1]")]
        {
            assert!(is_same(a, b) && is_same(b, a), "{a} {b}");
        }
        for (a, b) in [("a", "b"), ("localhost", "a"), ("127.0.0.1", "127.0.0.2")] {
            assert!(!is_same(a, b) && !is_same(b, a), "{a} {b}");
        }
    }
}
