//! Whatever the text, the parser answers: it never panics and never refuses without a reason.

use eddy::config::parse;
use proptest::prelude::*;

use super::{GOOD, env};

/// Every refusal says something, whatever the text.
fn never_silent(text: &str, variables: &[(&str, &str)]) {
    if let Err(problems) = parse(text, "random.toml", &env(variables)) {
        assert!(!problems.list.is_empty());
        assert!(problems.list.iter().all(|p| !p.fault.is_empty() && !p.remedy.is_empty()));
    }
}

fn value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\"\"",
        "\"64s\"",
        "\"0s\"",
        "\"99999999d\"",
        "0",
        "-1",
        "9223372036854775807",
        "nan",
        "1e300",
        "true",
        "[]",
        "[[1]]",
        "{}",
        "{ type = \"fit\" }",
        "{ type = \"tumbling\", size = \"7ms\", grid = \"1ms\" }",
        "\"env:\"",
        "\"=\"",
        "\"$.\"",
        "\"topic.18446744073709551616\"",
        "2020-01-01",
        "\"\\u0000\"",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        never_silent(&String::from_utf8_lossy(&bytes), &[]);
    }

    /// Any value in the place of any other.
    #[test]
    fn exchanged_values_never_panic(line in 0usize..18, value in value()) {
        let lines = GOOD.lines().enumerate().map(|(index, text)| match text.split_once(" = ") {
            Some((key, _)) if index == line => format!("{key} = {value}\n"),
            _ => format!("{text}\n"),
        });
        never_silent(&lines.collect::<String>(), &[]);
    }

    #[test]
    fn cut_off_texts_never_panic(cut in 0..GOOD.len()) {
        never_silent(&GOOD[..cut], &[]);
    }

    #[test]
    fn variables_never_panic(name in "(?i:EDDY)__[a-zA-Z_]{0,24}", value in ".{0,40}") {
        never_silent(GOOD, &[(&name, &value)]);
    }
}
