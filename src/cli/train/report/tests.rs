//! The page against facts given by hand, and the facts against a model fitted on windows made for it.

mod fixture;
mod wellformed;

use super::columns::Role;
use super::*;
use fixture::{HOSTILE, facts, fitted};
use wellformed::{elements, texts};

use crate::model::pyramid::Tuned;

/// The page without its stylesheet.
fn body(page: &str) -> &str {
    &page[page.find("<body>").expect("a body")..]
}

#[test]
fn golden_page() {
    insta::assert_snapshot!(body(&page(&facts())));
}

#[test]
fn golden_text() {
    insta::assert_snapshot!(text(&facts()));
}

#[test]
fn the_page_is_well_formed_and_asks_for_nothing() {
    for facts in [facts(), fitted(Facts::of)] {
        let page = page(&facts);
        let elements = elements(&page);
        for element in &elements {
            assert!(element.name != "script", "no script");
            for (name, value) in &element.attributes {
                assert!(!["src", "srcset", "style"].contains(&name.as_str()), "{name}");
                assert!(!name.starts_with("on"), "{name}");
                assert!(name != "href" || value == "data:,", "{value}");
            }
        }
        assert!(!page.contains("http") || page.matches("http").count() == page.matches("http-equiv").count());
        assert!(!page.contains("url(") && !page.contains("@import"));
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("default-src 'none'"));
    }
}

#[test]
fn every_drawing_says_what_it_shows_and_ids_are_unique() {
    let page = page(&fitted(Facts::of));
    let elements = elements(&page);
    let mut ids: Vec<&str> = elements.iter().filter_map(|element| element.get("id")).collect();
    let svgs: Vec<_> = elements.iter().filter(|element| element.name == "svg").collect();
    assert!(svgs.len() > 10, "{}", svgs.len());
    for svg in svgs {
        assert_eq!(svg.get("role"), Some("img"));
        let named: Vec<&str> = svg.get("aria-labelledby").expect("a name").split(' ').collect();
        assert_eq!(named.len(), 2);
        assert!(named.iter().all(|id| ids.contains(id)), "{named:?}");
    }
    for section in elements.iter().filter(|element| element.name == "section") {
        assert!(ids.contains(&section.get("aria-labelledby").expect("a name")));
    }
    let n = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n);
    let headers = elements.iter().filter(|element| element.name == "th");
    assert!(headers.into_iter().all(|th| th.get("scope").is_some()), "a header says what it heads");
}

#[test]
fn names_never_become_markup() {
    let mut facts = facts();
    let hostile = || HOSTILE.to_owned();
    facts.stream = hostile();
    facts.data.files = vec![HOSTILE.into()];
    facts.data.model = HOSTILE.into();
    facts.columns.iter_mut().for_each(|column| (column.name, column.unit) = (hostile(), Some(hostile())));
    for window in facts.oddest.iter_mut().chain(&mut facts.typical) {
        window.key = hostile();
        window.traces.iter_mut().for_each(|trace| (trace.column, trace.unit) = (hostile(), Some(hostile())));
    }
    facts.columns[0].sd = 0.0;
    facts.remarks = super::remarks::of(&facts);
    let page = page(&facts);
    assert!(!page.contains("<script") && !page.contains("<img"));
    // Every name is there, as text.
    let shown = texts(&page).iter().map(|text| text.matches(HOSTILE).count()).sum::<usize>();
    assert!(shown > 20, "{shown}");
    assert!(elements(&page).iter().all(|element| element.name != "script" && element.name != "img"));
    let text = text(&facts);
    assert!(
        text.contains("<script>") && !text.contains('\u{1b}'),
        "a terminal is not a page, but obeys escapes"
    );
}

#[test]
fn figures_of_the_page_are_those_of_the_facts() {
    let facts = facts();
    let page = page(&facts);
    let texts = texts(&page);
    let has = |text: &str| assert!(texts.iter().any(|t| t == text), "{text:?} is not on the page");
    has("10,800 read, 3 refused");
    has("10,700 (40 late, 7 duplicate)");
    has("2,600 seen, 1,300 kept, 1,290 fitted on");
    has("models/pumps.safetensors (0123456789abcdef), made on 2026-01-07");
    has("64 s of 32 cells of 2 s");
    has("412 ms");
    for (level, candidate) in facts.levels.iter().flat_map(|l| l.candidates.iter().map(move |c| (l, c))) {
        has(&words::likelihood(candidate.held_back_log_likelihood));
        has(&candidate.codes.to_string());
        has(&level.dimension.to_string());
    }
    for threshold in &facts.surprise.thresholds {
        has(&words::value(threshold.surprise));
        has(&words::odds(threshold.p));
        has(&words::count(threshold.beyond));
    }
    for column in &facts.columns {
        [column.mean, column.sd, column.key_sd].iter().for_each(|x| has(&words::value(*x)));
        has(&words::percent(column.missing));
    }
    for trace in facts.oddest.iter().flat_map(|window| &window.traces) {
        has(&words::with_unit(trace.last(), trace.unit.as_deref()));
        let expected = trace.expected.expect("no flag");
        has(&format!("{} to {} mm/s", words::value(expected.low), words::value(expected.high)));
        has(&words::percent(expected.share));
    }
}

#[test]
fn the_planted_window_is_the_oddest_and_its_column_is_to_blame() {
    let facts = fitted(Facts::of);
    let oddest = &facts.oddest[0];
    // To a fit that has learnt from it the fault is more ordinary than chance: this one has not.
    assert_eq!(oddest.key, "pump-2", "{:?}", facts.oddest);
    assert!((fixture::PLANTED_NS..=fixture::PLANTED_NS + 3 * facts.window_ns).contains(&oddest.end_ns));
    assert_eq!(oddest.traces[0].column, "vibration");
    assert!(oddest.traces[0].expected.expect("it is scored").share > 0.8);
    assert!(facts.oddest.is_sorted_by(|a, b| a.surprise >= b.surprise));
    for (at, a) in facts.oddest.iter().enumerate() {
        let apart =
            |b: &windows::WindowFacts| a.key != b.key || (a.end_ns - b.end_ns).abs() >= facts.window_ns;
        assert!(facts.oddest[at + 1..].iter().all(apart), "windows of one event");
    }
    let calm = &facts.typical[0];
    assert!(facts.typical.len() == 3 && calm.p_value > 0.3, "{}", calm.p_value);
    assert!(calm.traces.iter().all(|trace| trace.values.iter().all(|v| v.is_finite())));
}

#[test]
fn facts_are_those_of_the_windows() {
    fitted(|run| {
        let facts = Facts::of(run);
        assert_eq!(facts.windows_given, run.windows.origins.len());
        assert_eq!(facts.windows_fitted, facts.windows_given - fixture::GAPPY);
        for (at, column) in facts.columns.iter().enumerate() {
            let (mean, sd, missing) = fixture::naive(run, at);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
            assert!(near(column.mean, mean) && near(column.sd, sd), "{column:?}: {mean} {sd}");
            assert!(near(column.missing, missing), "{column:?}: {missing}");
        }
        let roles: Vec<Role> = facts.columns.iter().map(|column| column.role).collect();
        assert_eq!(roles, [Role::Scored, Role::Flag, Role::Scored]);
        assert!(facts.columns[0].still_below.is_some() && facts.columns[1].still_below.is_none());
        assert!((facts.surprise.bars.iter().map(|bar| bar.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(facts.surprise.thresholds.is_sorted_by(|a, b| a.p > b.p && a.surprise < b.surprise));
        assert_eq!(facts.surprise.thresholds.iter().filter(|t| t.configured).count(), 1);
        assert_eq!(facts.left_out, [(32, 32, 2048)], "two thousand windows are enough for every other level");
        for (level, of) in facts.levels.iter().zip(&run.pyramid.levels) {
            assert_eq!(level.candidates, of.candidates);
            assert_eq!(level.dimension, of.basis.mu.len());
        }
    });
}

#[test]
fn what_speaks_against_a_model_is_said_with_its_remedy() {
    let calm = facts();
    assert_eq!(calm.remarks, []);
    assert!(page(&calm).contains("Nothing in these figures speaks against the model."));
    let mut poor = facts();
    poor.windows_fitted = 100;
    poor.left_out = vec![(4, 16, 32), (32, 128, 256)];
    poor.surprise.thresholds[2].configured = true;
    poor.surprise.thresholds[1].configured = false;
    poor.surprise.thresholds[2].beyond = 9;
    poor.data.seen.late = 2_000;
    poor.data.refused = 900;
    poor.columns[0].sd = 0.0;
    poor.columns[1].missing = 0.5;
    poor.remarks = remarks::of(&poor);
    let said: Vec<String> = poor.remarks.iter().map(|r| format!("{}\n    {}", r.what, r.remedy)).collect();
    insta::assert_snapshot!(said.join("\n"));
    // Twice the dimension is enough.
    let thin = |windows_fitted| {
        let facts = Facts { windows_fitted, ..facts() };
        remarks::of(&facts).iter().filter(|remark| remark.what.starts_with("Level")).count()
    };
    assert_eq!((thin(128), thin(127), thin(7)), (0, 1, 2));
}

#[test]
fn what_fine_tuning_made_of_a_level_is_said() {
    let mut facts = facts();
    let of = |held_back_tuned, kept| Tuned {
        steps: 120,
        held_back_closed_form: -1.5,
        held_back_tuned,
        error: 0.0625,
        kept,
    };
    facts.levels[0].tuned = vec![of(-1.125, true), of(-1.625, false)];
    let before = (text(&facts), page(&facts));
    assert!(!before.0.contains("tuned") && !before.1.contains("Fine-tuning"), "nobody asked for it");
    facts.data.seed = Some(7);
    let told = text(&facts);
    let expected = "tuned 1      a single density −1.500 to −1.125 in 120 steps (kept), 8 codes −1.500 to −1.625 in 120 \
                    steps (not kept)\n";
    assert!(told.contains(expected), "{told}");
    assert!(told.contains("tuned 2      no: too few windows without gaps\n"), "{told}");
    assert!(told.contains("seed         7, of the order"), "{told}");
    let page = page(&facts);
    let rows: Vec<&str> = page.lines().skip_while(|line| !line.contains("Fine-tuning:")).collect();
    let row = |of: &str| rows.iter().find(|line| line.contains(of)).expect("a row");
    assert!(row("a single density").contains("✓") && row("a single density").contains("−1.125"));
    assert!(!row("8 codes").contains("✓") && row("8 codes").contains("−1.625"));
    assert!(rows.iter().any(|line| line.contains("too few windows without gaps")));
    elements(&page);
}
