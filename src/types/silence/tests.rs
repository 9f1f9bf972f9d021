use super::*;

const PUMP: Labels<'static> =
    Labels { stream: "pumps", key: "hall-3/pump-17", rule: "window", column: "vibration", sink: "on_call" };

fn fits(text: &str, labels: &Labels<'_>) -> bool {
    Matcher::parse(text).unwrap().fits(labels)
}

#[test]
fn each_operator_looks_at_the_whole_value_of_its_label() {
    for (text, expected) in [
        ("stream=pumps", true),
        ("stream=pump", false),
        ("stream != \"fans\"", true),
        ("stream!=pumps", false),
        ("key=~\"hall-3/.*\"", true),
        ("key=~hall-3", false),
        ("key=~hall-3|hall-4/pump-17", false),
        ("key!~hall-4/.*", true),
        ("key!~hall-.*", false),
        ("rule=window", true),
        ("column=~vib.*|temp.*", true),
        ("sink=on_call", true),
        ("sink!~sms|on_call", false),
    ] {
        assert_eq!(fits(text, &PUMP), expected, "{text}");
    }
    // A silent key is about no column.
    let silent = Labels { column: "", ..PUMP };
    assert!(fits("column=", &silent) && fits("column!=vibration", &silent));
    assert!(!fits("column=~.+", &silent));
}

#[test]
fn what_is_written_down_reads_back_as_the_same_matcher() {
    for text in ["key=\"a \\\"b\\\" \\\\ c\"", "key=~pump-\\d+", "key!~\"pump-\\\\d+\"", "stream=x=y", "key="]
    {
        let matcher = Matcher::parse(text).unwrap();
        let again = Matcher::parse(&matcher.to_string()).unwrap();
        assert_eq!(matcher, again, "{text}");
        let json = serde_json::to_string(&matcher).unwrap();
        assert_eq!(serde_json::from_str::<Matcher>(&json).unwrap(), matcher, "{json}");
    }
    assert!(
        fits("key=~\"pump-\\\\d+\"", &Labels { key: "pump-12", ..PUMP }),
        "a backslash is written twice in quotes"
    );
    assert!(fits("key=\"a \\\"b\\\"\"", &Labels { key: "a \"b\"", ..PUMP }));
}

#[test]
fn a_wrong_matcher_is_refused_with_the_remedy() {
    let said = |text: &str| Matcher::parse(text).unwrap_err();
    assert!(said("pumps").contains("write LABEL=VALUE"), "{}", said("pumps"));
    assert!(said("stream!pumps").contains("write LABEL=VALUE"));
    assert!(said("pump=1").contains("use one of stream, key, rule, column, sink"));
    assert!(said("key=~(").contains("is no pattern that can be used"));
    assert!(
        said("key=~(a{1000}){1000}").contains("is no pattern that can be used"),
        "it would take too much memory"
    );
}

fn draft() -> SilenceDraft {
    SilenceDraft {
        matchers: vec!["stream=pumps".into(), "key=~hall-3/.*".into()],
        starts_at_ns: None,
        ends_at_ns: 2_000,
        author: "ann".into(),
        comment: "bearing is being changed".into(),
    }
}

#[test]
fn a_silence_holds_where_all_matchers_fit_and_while_it_lasts() {
    let silence = Silence::new(&draft(), 1_000).unwrap();
    assert!(silence.fits(&PUMP));
    assert!(!silence.fits(&Labels { key: "hall-4/pump-1", ..PUMP }), "one of two matchers is not enough");
    assert_eq!([999, 1_000, 1_999, 2_000].map(|now| silence.is_active(now)), [false, true, true, false]);
    assert_eq!([999, 1_000, 2_000].map(|now| silence.state(now)), ["pending", "active", "expired"]);
    let ended_before_it_began = Silence { starts_at_ns: 1_500, ends_at_ns: 1_200, ..silence.clone() };
    assert_eq!(ended_before_it_began.state(1_200), "expired");
    assert_ne!(silence.id, Silence::new(&draft(), 1_001).unwrap().id, "said again, it is another");
}

#[test]
fn a_silence_that_names_what_there_is_not_is_refused_with_what_there_is() {
    let names = Names { streams: vec!["cards", "pumps"], columns: vec!["amount", "flow"], sinks: vec![] };
    let check = |matcher: &str| {
        let matchers = vec!["key=a".to_owned(), matcher.to_owned()];
        Silence::new(&SilenceDraft { matchers, ..draft() }, 1_000).unwrap().check_names(&names)
    };
    for good in [
        "stream=pumps",
        "stream!=cards",
        "stream=~pu.*",
        "stream!~x.*",
        "column=flow",
        "column=",
        "column=~flow|heat",
        "rule=no_data",
        "key=~anything",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for (bad, said) in [
        ("stream=pump", "stream=\"pump\" names no stream of the config: it has cards, pumps"),
        ("stream!=pump", "stream!=\"pump\" names no stream of the config: it has cards, pumps"),
        ("stream=~pump", "stream=~\"pump\" names no stream of the config: it has cards, pumps"),
        ("column=heat", "column=\"heat\" names no column of the config: it has amount, flow"),
        ("rule=silence", "rule=\"silence\" names no rule of the config: it has window, onset, no_data"),
        ("sink=on_call", "sink=\"on_call\" names no sink of the config: it has none"),
    ] {
        assert_eq!(check(bad), Err(said.to_owned()));
    }
}

#[test]
fn a_key_fits_by_what_is_said_of_stream_and_key() {
    let of = |matchers: &[&str]| {
        let matchers = matchers.iter().map(|&text| text.to_owned()).collect();
        Silence::new(&SilenceDraft { matchers, ..draft() }, 1_000).unwrap()
    };
    let silence = of(&["key=~hall-3/.*", "rule=window", "sink=on_call", "column=flow"]);
    assert!(silence.fits_key("pumps", "hall-3/pump-17") && !silence.fits_key("pumps", "hall-4/pump-1"));
    let silence = of(&["stream=pumps"]);
    assert!(silence.fits_key("pumps", "a") && !silence.fits_key("cards", "a"));
}

/// Written down, it takes more bytes than are allowed: a deployment that holds one must start again.
#[test]
fn the_longest_silence_reads_back_however_much_of_it_is_escaped() {
    for text in [format!("key={}", "\\".repeat(1_020)), format!("key=x{}", "\"".repeat(1_019))] {
        assert_eq!(text.len(), TEXT_BYTES_MAX);
        let silence = Silence::new(&SilenceDraft { matchers: vec![text], ..draft() }, 1_000).unwrap();
        let json = serde_json::to_string(&silence).unwrap();
        assert_eq!(serde_json::from_str::<Silence>(&json).unwrap(), silence);
    }
}

#[test]
fn a_silence_that_can_do_no_good_is_refused() {
    let refused = |change: fn(&mut SilenceDraft)| {
        let mut draft = draft();
        change(&mut draft);
        Silence::new(&draft, 1_000).unwrap_err()
    };
    assert!(refused(|draft| draft.matchers.clear()).contains("give 1 to 16 matchers"));
    assert!(refused(|draft| draft.matchers = vec!["key=~.*".into()]).contains("fit everything"));
    assert!(refused(|draft| draft.matchers[0] = format!("key={}", "x".repeat(1_021))).contains("shorten it"));
    assert!(refused(|draft| draft.ends_at_ns = 1_000).contains("over already"));
    assert!(refused(|draft| draft.starts_at_ns = Some(3_000)).contains("over already"));
    assert!(refused(|draft| draft.author = " ".into()).contains("say who it is"));
    assert!(refused(|draft| draft.comment = "x".repeat(1_025)).contains("shorten"));
}

#[test]
fn of_several_a_silence_of_a_sink_is_refused_whatever_else_it_is_about() {
    let silence = |matchers: &[&str]| {
        let draft = SilenceDraft {
            matchers: matchers.iter().map(|&text| text.to_owned()).collect(),
            starts_at_ns: None,
            ends_at_ns: 20,
            author: "ann".into(),
            comment: String::new(),
        };
        Silence::new(&draft, 10).unwrap()
    };
    assert_eq!(
        silence(&["stream=pumps", "key=~a.*", "rule=window", "column!=x"]).check_for_several(),
        Ok(())
    );
    for sink in ["sink=on_call", "sink!=on_call", "sink=~on.*", "sink!~on.*"] {
        let why = silence(&["stream=pumps", sink]).check_for_several().unwrap_err();
        assert!(why.contains("silence it at that receiver"), "{why}");
    }
}
