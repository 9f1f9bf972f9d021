//! The documents: what they name exists, and the lists they give are the code's.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory;
use eddy::cli::{Cli, EXIT_CONFIG};
use eddy::config::parse;
use eddy::latency::Latency;
use eddy::metrics::{Format, render};
use eddy::status::Status;
use eddy::types::Reason;

use crate::source::root;

const DOCUMENTS: [&str; 4] = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "datasets/README.md"];

pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text below `## heading`, up to the next heading of its kind.
pub fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let body = &text[start + 4..];
    &body[..body.find("\n## ").unwrap_or(body.len())]
}

/// A Markdown table: the `###` heading above it, and its rows without the head.
pub struct Table {
    pub heading: String,
    pub rows: Vec<Vec<String>>,
}

pub fn tables(text: &str) -> Vec<Table> {
    let mut found: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            found.push(Table { heading: heading.to_owned(), rows: Vec::new() });
        } else if line.starts_with('|') {
            let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
            if found.is_empty() {
                found.push(Table { heading: String::new(), rows: Vec::new() });
            }
            found.last_mut().expect("just made").rows.push(cells);
        }
    }
    // A head and the line below it are no rows.
    found.iter_mut().for_each(|table| drop(table.rows.drain(..2.min(table.rows.len()))));
    found.retain(|table| !table.rows.is_empty());
    found
}

pub fn first_cells(text: &str) -> BTreeSet<String> {
    tables(text).into_iter().flat_map(|table| table.rows).map(|row| row[0].replace('`', "")).collect()
}

/// Text between single backticks, outside of fenced blocks.
fn code_spans(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if !fenced && !line.starts_with("```") {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

#[test]
fn links_lead_somewhere() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = root().join(document).parent().map(Path::to_owned).expect("a folder");
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            assert!(file.is_empty() || folder.join(file).exists(), "{document}: no {file}");
            if !anchor.is_empty() {
                assert!(file.is_empty(), "{document}: anchors of other files are not checked: {target}");
                assert!(
                    text.lines().any(|line| slug(line) == anchor),
                    "{document}: no heading for #{anchor}"
                );
            }
        }
    }
}

/// The anchor of a heading, as Markdown hosts make it.
fn slug(line: &str) -> String {
    let Some(heading) = line.strip_prefix('#') else { return String::new() };
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Paths of the repository, and tests as `path::function`.
#[test]
fn named_files_and_tests_exist() {
    const FOLDERS: [&str; 8] =
        ["src/", "tests/", "configs/", "scripts/", "datasets/", "models/", "benches/", "docs/"];
    let mut tests = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let words = text.split_whitespace().map(|word| word.trim_end_matches(|c: char| !c.is_alphanumeric()));
        let fenced = words.filter(|word| word.starts_with("configs/")).map(str::to_owned);
        for span in code_spans(&text).into_iter().chain(fenced) {
            let name = span.split_whitespace().next().unwrap_or_default();
            if !FOLDERS.iter().any(|folder| name.starts_with(folder)) || name.contains("NAME") {
                continue;
            }
            let (path, function) = name.split_once("::").unwrap_or((name, ""));
            assert!(root().join(path).exists(), "{document}: no {path}");
            if !function.is_empty() {
                assert!(read(path).contains(&format!("fn {function}(")), "{document}: no test {name}");
                tests += 1;
            }
        }
    }
    assert!(tests >= 10, "only {tests} tests are named");
}

#[test]
fn no_document_names_a_machine() {
    let scripts = ["Makefile", "Dockerfile", "deny.toml", "Cargo.toml", ".ci/run"];
    for file in DOCUMENTS.into_iter().chain(scripts) {
        let text = read(file);
        for needle in ["/home/", "/root/", "/Users/", "/work/"] {
            assert!(!text.contains(needle), "{file} holds {needle}");
        }
    }
}

#[test]
fn every_metric_is_in_the_readme() {
    let plan = parse(&read("configs/minimal.toml"), "", &Default::default()).expect("the example is good");
    let text = render(&plan, &Status::new(&plan, 0), &Latency::new(), 0, Format::Prometheus);
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<String> =
        families.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    // Only of streams that have one, so an idle appliance serves none.
    let watermark = BTreeSet::from(["eddy_stream_watermark_timestamp_seconds".to_owned()]);
    assert_eq!(first_cells(section(&read("README.md"), "Metrics")), &served | &watermark);
}

#[test]
fn every_reason_of_a_dead_letter_is_in_the_readme() {
    let known = Reason::ALL.map(|reason| reason.as_str().to_owned());
    assert_eq!(first_cells(section(&read("README.md"), "Dead letters")), BTreeSet::from(known));
}

#[test]
fn every_subcommand_and_option_is_in_the_readme() {
    let text = read("README.md");
    let commands = section(&text, "Command line");
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(commands.contains(&format!("`eddy {name}")), "eddy {name}");
        for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(commands.contains(&format!("--{option}")), "eddy {name} --{option}");
        }
    }
    assert!(commands.contains(&format!("| `{EXIT_CONFIG}` |")));
}

/// What the README says of a container: a user of its own, nothing written but below `/data`, the config where it is put.
#[test]
fn the_image_runs_as_the_readme_says() {
    let (image, readme) = (read("Dockerfile"), read("README.md"));
    let after = image.rsplit_once("\nFROM ").expect("a last stage").1;
    let last: Vec<&str> = after.lines().collect();
    let place = |wanted: &str| {
        let found = last.iter().position(|line| *line == wanted);
        found.unwrap_or_else(|| panic!("the last stage has no line {wanted}"))
    };
    let user = place("USER 10001:10001");
    let made =
        last.iter().rposition(|line| line.starts_with("RUN ") || line.starts_with("COPY ")).expect("a layer");
    assert!(made < user, "what is made after that is the user's own");
    assert!(after.contains("useradd --system --uid 10001 --gid 10001 "), "there is such a user");
    assert!(after.contains("install -d -o eddy -g eddy -m 0750 /data\n"), "it may write there");
    assert!(place("WORKDIR /data") > user && place("VOLUME [\"/data\"]") > user);
    place("COPY --from=build /src/target/release/eddy /usr/local/bin/eddy");
    assert!(place("CMD [\"run\", \"/etc/eddy/eddy.toml\"]") == place("ENTRYPOINT [\"eddy\"]") + 1);
    for said in [
        "runs as its own user and writes only to `/data`",
        "-v eddy-data:/data -v \"$PWD/eddy.toml:/etc/eddy/eddy.toml:ro\"",
    ] {
        assert!(readme.contains(said), "the README does not say {said}");
    }
    let built = image.lines().find_map(|line| line.strip_prefix("FROM rust:")).expect("a compiler");
    let (version, debian) =
        built.split(' ').next().and_then(|tag| tag.split_once('-')).expect("version and Debian");
    assert!(image.contains(&format!("FROM debian:{debian}-slim AS base-plain")), "one C library");
    let number =
        |text: &str| text.split('.').map(|part| part.parse().expect("a number")).collect::<Vec<u32>>();
    let manifest = read("Cargo.toml");
    let least = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).expect("a version");
    assert!(number(version) >= number(least.trim_end_matches('"')), "{version} is too old");
}

/// The image that trains on a GPU differs from the plain one by a build argument, and names what there is.
#[test]
fn the_image_s_variants_are_what_the_readme_says() {
    let (image, readme) = (read("Dockerfile"), read("README.md"));
    let lines: Vec<&str> = image.lines().collect();
    let begins = |wanted: &str| {
        let found = lines.iter().position(|line| *line == wanted || line.ends_with(wanted));
        found.unwrap_or_else(|| panic!("the Dockerfile has no line {wanted}"))
    };
    assert!(begins("ARG VARIANT=plain") < begins("FROM compiler-${VARIANT} AS build"), "plain unless asked");
    for stage in ["compiler-plain", "compiler-cuda", "base-plain", "base-cuda"] {
        begins(&format!(" AS {stage}"));
    }
    assert_eq!(lines.iter().rfind(|line| line.starts_with("FROM ")), Some(&"FROM base-${VARIANT}"));
    assert!(begins("ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility") > begins("FROM base-${VARIANT}"));
    let cuda = lines.iter().find_map(|line| line.strip_prefix("ARG CUDA=")).expect("a version of CUDA");
    let toolkit = cuda.rsplit_once('.').expect("three numbers").0;
    assert!(
        read("scripts/gpu-training-check").contains(&format!("=={toolkit}.*'")),
        "checked with {toolkit}"
    );
    assert!(readme.contains(&format!("a toolkit of CUDA {toolkit} and")), "the README says {toolkit}");
    let feature = "cuda-training";
    assert!(read("Cargo.toml").contains(&format!("\n{feature} = [")), "no feature {feature}");
    assert!(image.contains(&format!("FEATURES={feature} ")), "the variant has the feature");
    for said in [
        "`docker build --build-arg VARIANT=cuda`",
        "`NVIDIA_DRIVER_CAPABILITIES=compute,utility`",
        "--runtime nvidia",
    ] {
        assert!(readme.contains(said), "the README does not say {said}");
    }
}
