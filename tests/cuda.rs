//! The CUDA path without a GPU: the kernels' own source run on the CPU, the PTX that is checked in, and the backend over
//! a stand-in for the driver (tests/cuda/driver.cpp). Tests that need it start themselves again with it on the loader's
//! path.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use eddy::backend::cuda::{Device, Shard, counters};
use eddy::backend::{Backend, Choice, CpuBackend, Explanation, Place, Rings, Scale};
use eddy::model::pyramid::{Pyramid, Scores, Work};
use eddy::model::{Cohort, EVERYONE, Model, ScalerPrior, Settings, Showing};
use eddy::types::{PartitionId, key_hash};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `EDDY_SEED` if set, else the first few, or as many as `EDDY_SEEDS` says, to 100. One that fails has said how to run it again.
fn seeds(usual: u64) -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (first, last) = match number("EDDY_SEED") {
        Some(seed) => (seed, seed),
        None => (1, number("EDDY_SEEDS").unwrap_or(usual).min(100)),
    };
    (first..=last).inspect(|seed| println!("again: EDDY_SEED={seed}"))
}

fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(ROOT).join("target/cuda");
        succeeded(&build(Path::new(ROOT), &folder, "all"));
        folder
    })
}

fn build(root: &Path, folder: &Path, what: &str) -> Output {
    Command::new(root.join("tests/cuda/build"))
        .arg(folder)
        .arg(what)
        .output()
        .expect("g++: run scripts/setup")
}

fn succeeded(done: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
}

/// Set where the stand-in is loaded.
const CHILD: &str = "EDDY_CUDA_CHILD";

/// On a machine with a GPU (scripts/gpu-check): over the driver that is there, in place of the stand-in.
fn real() -> bool {
    std::env::var_os("EDDY_CUDA_REAL").is_some()
}

/// Runs this test again with the stand-in and these variables, and `body` there. `None` in there.
fn with_stand_in(test: &str, variables: &[(&str, &str)], body: impl FnOnce()) -> Option<Report> {
    if std::env::var_os(CHILD).is_some() || real() {
        body();
        return None;
    }
    let (done, report) = run_again(test, variables);
    succeeded(&done);
    Some(report)
}

fn run_again(test: &str, variables: &[(&str, &str)]) -> (Output, Report) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = folder.path().join("report");
    let done = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env("LD_LIBRARY_PATH", built())
        .env("EDDY_CUDA_REPORT", &report)
        .envs(variables.iter().copied())
        .output()
        .expect("it runs");
    (done, Report(std::fs::read_to_string(report).unwrap_or_default()))
}

/// What the stand-in counted.
struct Report(String);

impl Report {
    fn count(&self, name: &str) -> u64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |count| count.parse().expect("a number"))
    }
}

/// Windows of columns that follow each other, with jumps.
fn windows(rows: usize, cells: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f32> {
    let mut now = vec![0.0f32; columns];
    let mut series = Vec::with_capacity((rows + cells) * columns);
    for _ in 0..rows + cells {
        let common = rng.random::<f32>() - 0.5;
        for x in &mut now {
            *x = 0.8 * *x + common + rng.random::<f32>() - 0.5;
            let jump = if rng.random_bool(0.002) { 8.0 } else { 0.0 };
            series.push(*x + jump);
        }
    }
    Array2::from_shape_fn((rows, cells * columns), |(row, at)| series[row * columns + at])
}

/// With so many bytes for rings.
fn shard(ring_bytes: usize) -> Shard {
    Shard::new(Device::shared().expect("the stand-in"), ring_bytes).expect("a shard")
}

fn shown(scores: &Scores) -> String {
    // To the last bit, NaN equal to NaN.
    format!("{scores:?}")
}

fn pyramid(cells: usize, columns: usize, context: &[bool], rng: &mut ChaCha8Rng) -> Pyramid {
    let rows = windows(900, cells, columns, rng);
    Pyramid::fit_with(rows.view(), cells, columns, context, &Settings::QUICK).expect("a fit")
}

fn model(rng: &mut ChaCha8Rng) -> Model {
    let names = ["a", "b", "c", "d"].map(String::from);
    let prior = ScalerPrior::from_keys(4, Default::default());
    Model::fit(windows(900, 20, 4, rng).view(), 20, &names, prior, &Settings::QUICK).expect("a fit")
}

#[test]
fn kernels_hold_under_the_sanitizers() {
    // Without a first seed it draws one, and says so if it fails.
    let mut command = Command::new(built().join("check"));
    match std::env::var("EDDY_SEED") {
        Ok(seed) => command.args(["1", &seed]),
        Err(_) => command.arg(seeds(4).count().to_string()),
    };
    let done = command.output().expect("it runs");
    succeeded(&done);
}

#[test]
fn kernels_with_a_fault_do_not() {
    const FAULTS: [(&str, &str, &str); 9] = [
        ("forward.cu", "    __syncthreads();\n    ln_sums<ROWS>(p, 0,", "    ln_sums<ROWS>(p, 0,"),
        (
            "forward.cu",
            "        nearest<ROWS>(level, weights, p, least, place);\n        __syncthreads();",
            "        nearest<ROWS>(level, weights, p, least, place);",
        ),
        ("forward.cu", "panel < panels; panel += WARPS", "panel <= panels; panel += WARPS"),
        ("gather.cu", "ring_cells - back)", "ring_cells - back - 1)"),
        ("append.cu", "        __syncwarp();\n", ""),
        (
            "solve.cuh",
            "        __syncthreads();\n        const double value = space.given[j]",
            "        const double value = space.given[j]",
        ),
        (
            "solve.cuh",
            "        if (threadIdx.x == 0) x[i] = value;\n        __syncthreads();",
            "        if (threadIdx.x == 0) x[i] = value;",
        ),
        ("explain.cu", "with(chosen, best), part = most", "with(chosen, best)"),
        ("explain.cu", "of == hidden.y || of == hidden.z", "of == hidden.y"),
    ];
    for (file, sound, faulty) in FAULTS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for part in ["kernels", "tests/cuda"] {
            std::fs::create_dir_all(folder.path().join(part)).expect("a folder");
            for entry in std::fs::read_dir(Path::new(ROOT).join(part)).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_file() {
                    let to = folder.path().join(part).join(path.file_name().expect("a name"));
                    std::fs::copy(path, to).expect("a copy");
                }
            }
        }
        let path = folder.path().join("kernels").join(file);
        let source = std::fs::read_to_string(&path).expect("a kernel");
        assert!(source.contains(sound), "{file}: {sound}");
        std::fs::write(&path, source.replace(sound, faulty)).expect("a kernel");
        succeeded(&build(folder.path(), &folder.path().join("out"), "check"));
        let done = Command::new(folder.path().join("out/check")).args(["3", "1"]).output().expect("it runs");
        assert!(!done.status.success(), "{file} with {faulty:?} went unseen");
    }
}

/// The files that drivers are given are what the sources compile to, and no kernel spills on any machine.
#[test]
fn ptx_is_of_its_source() {
    let python = Path::new(ROOT).join("target/cuda-venv/bin/python");
    let done = Command::new(python).args(["scripts/kernels", "--check"]).current_dir(ROOT).output();
    succeeded(&done.expect("NVRTC: run scripts/setup"));
}

#[test]
fn the_device_gives_the_cpus_bits() {
    let test = "the_device_gives_the_cpus_bits";
    for seed in seeds(2) {
        let seed = seed.to_string();
        if let Some(report) = with_stand_in(test, &[("EDDY_CUDA_SEED", &seed)], device_gives_the_cpus_bits) {
            assert!(report.count("launches") > 40, "{}", report.0);
            assert_eq!(report.count("device_bytes"), 0, "all of it was given back");
        } else {
            return;
        }
    }
}

fn device_gives_the_cpus_bits() {
    let seed = std::env::var("EDDY_CUDA_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shapes: [(usize, &[bool]); 8] = [
        (64, &[false]),
        (70, &[false; 2]),
        (64, &[false, true, false, false]),
        (48, &[false; 4]),
        (20, &[false; 5]),
        (20, &[false; 8]),
        (24, &[false; 19]),
        (2, &[false; 3]),
    ];
    for (cells, context) in shapes {
        let columns = context.len();
        let pyramid = pyramid(cells, columns, context, &mut rng);
        let mut shard = shard(0);
        // What fills no tile, one, several; and more than a slot holds.
        let more = (1 << 20) / (cells * columns) + 77;
        for rows in [0, 1, 31, 32, 33, 64, 97, if columns == 8 { more } else { 200 }] {
            let mut z = windows(rows, cells, columns, &mut rng).into_raw_vec_and_offset().0;
            let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-41, -1e-44, 3e38, -25.0, -0.0];
            for _ in 0..z.len() / (9 * cells * columns) {
                let at = rng.random_range(0..z.len());
                z[at] = wild[rng.random_range(0..wild.len())];
            }
            let (mut found, mut expected) = (Scores::default(), Scores::default());
            let before = counters().rows.load(Relaxed);
            assert!(shard.score(&pyramid, &z, None, &mut found, &mut Work::new()).expect("a device"));
            pyramid.score(&z, &mut expected, &mut Work::new());
            assert!(shown(&found) == shown(&expected), "{cells} cells, {columns} columns, {rows} rows");
            let on_device = counters().rows.load(Relaxed) - before;
            assert!(on_device as usize * 4 >= rows * 3, "{on_device} of {rows}");
        }
    }
}

/// Scores of a model on batches, one after the other, with where they must have come from.
fn batches(choice: Choice) -> (Vec<String>, Backend) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let model = model(&mut rng);
    let (mut backend, _) = Backend::open(choice, 0);
    let mut scores = Scores::default();
    let shown = (0..200)
        .map(|batch| {
            // Every other one comes again and again, and is a graph.
            let rows = if batch % 2 == 0 { 70 } else { 71 + batch };
            let z = windows(rows, 20, 4, &mut rng).into_raw_vec_and_offset().0;
            backend.score_cohorts(&model, &[], &z, None, &mut scores);
            shown(&scores)
        })
        .collect();
    (shown, backend)
}

/// Whatever call fails, once or from then on: the scores are the CPU's, and the device comes back if it can.
#[test]
fn a_device_that_fails_changes_no_score() {
    let test = "a_device_that_fails_changes_no_score";
    let cases = [
        ("cuMemAlloc:1", false),
        ("cuMemAlloc:4", false),
        ("cuMemAlloc:9", true),
        ("cuMemHostAlloc:3+", false),
        ("cuModuleLoadData:1", false),
        ("cuMemcpyHtoDAsync:3", true),
        ("cuLaunchKernel:1", true),
        ("cuLaunchKernel:7", true),
        ("cuLaunchKernel:7+", true),
        ("cuMemcpyDtoHAsync:2", true),
        ("cuEventSynchronize:9", true),
        ("cuStreamWaitEvent:1", true),
        ("cuStreamBeginCapture:1", true),
        ("cuStreamEndCapture:1", true),
        ("cuGraphInstantiate:1+", false),
        ("cuGraphLaunch:5", true),
    ];
    for (fails, opened) in cases {
        // In there it is the variables that say which case it is.
        let body = || {
            let variable = |name: &str| std::env::var(name).unwrap_or_default();
            let (fails, opened) = (variable("EDDY_CUDA_FAIL"), variable("EDDY_OPENED") == "true");
            let (found, _backend) = batches(Choice::Auto);
            let (expected, _) = batches(Choice::Cpu);
            assert!(found == expected, "{fails}");
            let (rows, failures) = (counters().rows.load(Relaxed), counters().failures.load(Relaxed));
            let lasts = fails.ends_with('+');
            assert_eq!(failures > 0, opened || lasts, "{fails}: {failures}");
            // 200 batches, of which the CPU takes about 65 after a failure.
            assert!(lasts || rows > 100 * 70, "{fails}: it never came back: {rows}");
        };
        let opened = opened.to_string();
        let variables = [("EDDY_CUDA_FAIL", fails), ("EDDY_OPENED", opened.as_str())];
        if with_stand_in(test, &variables, body).is_none() {
            return;
        }
    }
}

/// What would be wrong if the backend forgot to wait, or mixed its arguments up, shows.
#[test]
fn a_wait_that_is_missing_shows() {
    let test = "a_wait_that_is_missing_shows";
    for plant in ["", "no_stream_wait", "no_event_wait", "swapped"] {
        let body = || {
            let plant = std::env::var("EDDY_CUDA_PLANT").expect("a fault or none");
            let (found, _backend) = batches(Choice::Auto);
            let (expected, _) = batches(Choice::Cpu);
            let failures = counters().failures.load(Relaxed);
            let wrong = found != expected;
            println!("{plant:?}: wrong {wrong}, failures {failures}");
            // Times that are not there yet are a failure of their own.
            assert_eq!(wrong || failures > 0, !plant.is_empty(), "{plant}");
            assert!(!(wrong && plant == "swapped"), "{plant}");
        };
        if with_stand_in(test, &[("EDDY_CUDA_PLANT", plant)], body).is_none() {
            return;
        }
    }
    // Offsets that are not there yet lead out of every memory.
    let (done, _) = run_again(test, &[("EDDY_CUDA_PLANT", "no_context_wait")]);
    assert!(!done.status.success(), "weights that are not waited for went unseen");
}

type Variables<'a> = &'a [(&'a str, &'a str)];

fn doctor(variables: Variables<'_>) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_eddy"))
        .arg("doctor")
        .envs(variables.iter().copied())
        .output()
        .expect("it runs");
    (done.status.success(), String::from_utf8(done.stdout).expect("text"))
}

#[test]
fn the_doctor_says_what_there_is() {
    let path = built().to_str().expect("text");
    let on = ("LD_LIBRARY_PATH", path);
    let cases: [(Variables<'_>, &str, &str); 6] = [
        (&[], "GPU: none: there is no CUDA driver", "scores on: the CPU\n"),
        (&[on], "GPU: stand-in for a GPU, compute capability 7.5", "scores on: the GPU"),
        (
            &[on, ("EDDY_CUDA_DRIVER", "12010")],
            "too old: it is of CUDA 12.1, and 12.2",
            "scores on: the CPU\n",
        ),
        (
            &[on, ("EDDY_CUDA_CAPABILITY", "61")],
            "its compute capability is 6.1, and 7.5",
            "scores on: the CPU\n",
        ),
        (
            &[on, ("EDDY_CUDA_MEMORY", "1000000")],
            "the GPU has 1 MB of memory free, and",
            "scores on: the CPU\n",
        ),
        (
            &[on, ("EDDY_CUDA_FAIL", "cuInit:1")],
            "found no GPU: cuInit: CUDA_ERROR_NO_DEVICE (100)",
            "scores on: the CPU\n",
        ),
    ];
    for (variables, found, runs) in cases {
        let (success, text) = doctor(variables);
        assert!(success && text.contains(found) && text.contains(runs), "{variables:?}: {text}");
    }
}

const CONFIG: &str = "[source.file]\ntype = \"replay\"\npath = \"data.csv\"\n[stream.pumps]\nfrom = \"file\"\nkey = \"pump\"\n\
    time = { path = \"ts\", unit = \"s\" }\ncolumns.a = { path = \"a\" }\ncolumns.b = { path = \"b\" }\n\
    columns.c = { path = \"c\" }\nwindow = { type = \"hopping\", size = \"24s\", every = \"6s\", grid = \"2s\", \
    lateness = \"20s\", disorder = \"2s\" }\n    model = { type = \"fit\", warmup = \"20m\" }\n";

/// What `eddy run` wants besides, before and behind.
const RUN: &str = "shards = 2\ndevice_memory = \"8MB\"\n";
const RUN_REST: &str = "max_future = \"none\"\n[sink.console]\ntype = \"stdout\"\n[dashboard]\nenabled = false\n[durable]\nsnapshot_every = \"1s\"\n";

/// A plant of 90 pumps over 35 minutes, some of which jump, and with `gaps` some fall silent, for so long that others take
/// their rings, and some readings come late. All are of one partition, since a batch is what ends together in one.
fn data(seed: u64, gaps: bool) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut text = String::from("ts,pump,a,b,c\n");
    let names = (0..).map(|n| format!("pump-{n}"));
    let pumps: Vec<String> =
        names.filter(|name| PartitionId::of(key_hash(name.as_bytes())) == PartitionId(5)).take(90).collect();
    let (mut now, mut late) = ([[0.0f32; 3]; 90], Vec::new());
    for second in (0..2100).step_by(2) {
        late.iter().filter(|(due, _)| *due == second).for_each(|(_, row): &(i64, String)| text += row);
        for (pump, (name, now)) in pumps.iter().zip(&mut now).enumerate() {
            let common = rng.random::<f32>() - 0.5;
            now.iter_mut().for_each(|x| *x = 0.8 * *x + common + rng.random::<f32>() - 0.5);
            // And every sixth at once, which is told as one batch.
            let surge = second > 1850 && second < 1900 && pump % 6 == 1;
            let jump = if surge || second > 1600 && second < 1700 && pump % 30 == 7 { 12.0 } else { 0.0 };
            let silent = gaps && second > 700 && pump % 20 == 3 && (second + pump as i64) % 300 < 130;
            let at = 1_767_225_600 + second;
            let row = format!("{at},{name},{},{},{}\n", now[0] + jump, now[1], now[2]);
            match (second + pump as i64 * 14) % 300 {
                // Behind windows that had a gap there, and of a cell that windows had already.
                0 if gaps => late.push((second + 12, row)),
                150 if gaps => {
                    text += &row;
                    late.push((
                        second + 12,
                        format!("{},{name},{},{},{}\n", at + 1, now[0] + 3.0, now[1], now[2]),
                    ));
                }
                _ if !silent => text += &row,
                _ => {}
            }
        }
    }
    text
}

/// A backtest over the stand-in: every verdict is the CPU's, to the last digit; and where no window has gaps, none was the
/// CPU's to score.
#[test]
fn a_backtest_on_the_device_tells_what_one_on_the_cpu_tells() {
    for seed in seeds(2) {
        let gaps = seed % 2 == 1;
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("data.csv"), data(seed, gaps)).expect("data");
        std::fs::write(folder.path().join("eddy.toml"), RUN.to_owned() + CONFIG).expect("a config");
        let run = |backend: &str| {
            let files = [format!("{backend}.json"), format!("{backend}.csv"), format!("{backend}.report")];
            let args = ["backtest", "eddy.toml", "--stream", "pumps", "--data", "data.csv"];
            let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
            command.args(args).args(["--json", &files[0], "--scores", &files[1]]);
            command.current_dir(folder.path()).env("EDDY__BACKEND", backend);
            // Without room for rings windows cross whole.
            command.env("EDDY__DEVICE_MEMORY", if seed % 4 < 2 { "8MB" } else { "0B" });
            if !real() {
                command.env("LD_LIBRARY_PATH", built());
            }
            command.env("EDDY_CUDA_SEED", seed.to_string()).env("EDDY_CUDA_REPORT", &files[2]);
            succeeded(&command.output().expect("it runs"));
            files.map(|file| std::fs::read_to_string(folder.path().join(file)).unwrap_or_default())
        };
        let ([told, scores, report], [told_cpu, scores_cpu, report_cpu]) = (run("cuda"), run("cpu"));
        assert!(report_cpu.is_empty(), "the CPU backend asks no driver");
        assert!(scores.lines().count() > 5000 && told.contains("pump-"), "{told}");
        let report = Report(report);
        let (on_device, scored) = (report.count("windows"), scores.lines().count() as u64 - 1);
        // Those with gaps are the CPU's, and those that late readings open again.
        assert!(
            real() || gaps && on_device > scored * 4 / 5 || on_device == scored,
            "{on_device} of {scored}"
        );
        assert!(scores == scores_cpu && told == told_cpu, "seed {seed}");
        let explained = report.count("explained");
        assert!(real() || explained >= 8, "{explained} explained on the device");
    }
}

/// What `eddy run` told, if `killed` over a kill once it has saved its state; each decision apart from its receipt, and what the stand-in counted.
fn told(folder: &Path, backend: &str, seed: u64, killed: bool) -> (Vec<(String, Value)>, Report) {
    let report = folder.join(format!("{backend}.report"));
    let (mut lines, data) = (String::new(), folder.join(backend));
    let snapshots = || std::fs::read_dir(data.join("snapshots")).map_or(0, |files| files.count());
    // And fails once, with rings on it.
    let fails = if killed { "cuGraphLaunch:60" } else { "" };
    let run = || {
        let mut command = run(folder, backend, seed, &report);
        command.env("EDDY_CUDA_FAIL", fails);
        command
    };
    if killed {
        let mut process = run().stdout(Stdio::piped()).spawn().expect("it starts");
        let end = Instant::now() + Duration::from_secs(180);
        while snapshots() == 0 && process.try_wait().expect("it can be waited for").is_none() {
            assert!(Instant::now() < end, "it saves its state");
            std::thread::sleep(Duration::from_millis(5));
        }
        process.kill().expect("it can be killed");
        lines += &String::from_utf8_lossy(&process.wait_with_output().expect("it ends").stdout);
        // What it was writing when it was killed.
        lines.truncate(lines.rfind('\n').map_or(0, |end| end + 1));
    }
    let done = run().output().expect("it runs");
    succeeded(&done);
    lines += std::str::from_utf8(&done.stdout).expect("text");
    let mut told: Vec<_> = lines
        .lines()
        .map(|line| {
            let mut body: Value = serde_json::from_str(line).expect("a decision");
            let receipt = body["data"]["receipt"].take();
            (body.to_string(), receipt)
        })
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    // Told again after a kill.
    told.dedup_by(|a, b| a.0 == b.0);
    (told, Report(std::fs::read_to_string(report).unwrap_or_default()))
}

fn run(folder: &Path, backend: &str, seed: u64, report: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
    command.args(["run", "eddy.toml"]).current_dir(folder).env("EDDY__BACKEND", backend);
    command.env("EDDY__DURABLE__PATH", backend);
    if !real() {
        command.env("LD_LIBRARY_PATH", built());
    }
    command.env("EDDY_CUDA_SEED", seed.to_string()).env("EDDY_CUDA_REPORT", report);
    command
}

/// A receipt's parts make its whole.
fn adds_up(receipt: &Value) {
    let ns = |of: &Value| of.as_u64().expect("a number");
    let parts = receipt["segments"].as_array().expect("segments").iter().map(|part| ns(&part["ns"]));
    assert_eq!(parts.sum::<u64>(), ns(&receipt["total_ns"]), "{receipt}");
}

/// The whole appliance over the stand-in, from a source to a sink, on two shards: it tells what it tells on the CPU, with
/// keys that are silent, late readings, a kill in between, and a device that fails once and comes back.
#[test]
fn a_run_on_the_device_tells_what_one_on_the_cpu_tells() {
    for seed in seeds(2) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let gaps = seed % 2 == 1;
        std::fs::write(folder.path().join("data.csv"), data(seed, gaps)).expect("data");
        std::fs::write(folder.path().join("eddy.toml"), RUN.to_owned() + CONFIG + RUN_REST)
            .expect("a config");
        let ((on_device, report), (on_cpu, none)) =
            (told(folder.path(), "cuda", seed, gaps), told(folder.path(), "cpu", seed, false));
        assert!(none.0.is_empty(), "the CPU backend asks no driver");
        assert!(on_cpu.len() >= 3, "{} decisions", on_cpu.len());
        let decisions = |told: &[(String, Value)]| told.iter().map(|told| told.0.clone()).collect::<Vec<_>>();
        assert!(decisions(&on_device) == decisions(&on_cpu), "seed {seed}");
        let receipts: Vec<&Value> = on_device.iter().map(|told| &told.1).collect();
        receipts.iter().for_each(|receipt| adds_up(receipt));
        let of_device = |receipt: &Value| {
            let stages = ["device_up", "device_kernel", "device_down"];
            stages.iter().all(|stage| receipt.to_string().contains(&format!("\"stage\":\"{stage}\"")))
        };
        // Late rows are the CPU's.
        assert!(receipts.into_iter().filter(|receipt| of_device(receipt)).count() >= 3);
        assert!(!on_cpu.iter().any(|(_, receipt)| receipt.to_string().contains("device_")));
        // 90 pumps, every 6 s from when there is a model, or from where it was killed.
        let windows = report.count("windows");
        assert!(real() || windows > 5000 && (gaps || windows % 90 == 0), "{windows}");
        assert!(real() || report.count("explained") >= 8, "{}", report.0);
    }
}

/// Rings of an owner, and what scoring is told of them.
struct Owner {
    id: u64,
    cells: usize,
    columns: usize,
    /// Cells of a window.
    window: usize,
    values: Vec<f32>,
    scales: Vec<Scale>,
    places: Vec<Place>,
    last_cell: i64,
}

impl Owner {
    fn new(keys: usize, window: usize, columns: usize) -> Owner {
        let cells = window + 7;
        let place = |key: usize| Place { key: key as u32, ring: key as u32, newest: 1000, changes: 1 };
        Owner {
            id: Rings::next_id(),
            cells,
            columns,
            window,
            values: vec![f32::NAN; keys * cells * columns],
            scales: vec![Scale { mean: 0.5, sd: 1.5 }; keys * columns],
            places: (0..keys).map(place).collect(),
            last_cell: 1000,
        }
    }

    fn at(&self, ring: u32, cell: i64) -> usize {
        (ring as usize * self.cells + cell.rem_euclid(self.cells as i64) as usize) * self.columns
    }

    /// One more cell of every key, few of them missing, as `Grid::write` of src/window/grid.rs does.
    fn go_on(&mut self, rng: &mut ChaCha8Rng) {
        self.last_cell += 1;
        for key in 0..self.places.len() {
            if rng.random_bool(0.003) {
                continue;
            }
            let Place { ring, newest, .. } = self.places[key];
            for cell in (newest + 1).max(self.last_cell - self.cells as i64 + 1)..self.last_cell {
                let at = self.at(ring, cell);
                self.values[at..at + self.columns].fill(f32::NAN);
            }
            let at = self.at(ring, self.last_cell);
            let values = &mut self.values[at..at + self.columns];
            values.fill_with(|| 3.0 * rng.random::<f32>() - 1.0);
            self.places[key].newest = self.last_cell;
        }
    }

    /// A late row, a key that takes the ring of another, levels learnt anew: what is no new cell.
    fn change(&mut self, rng: &mut ChaCha8Rng) {
        let key = rng.random_range(0..self.places.len());
        let Place { ring, newest, .. } = self.places[key];
        let late = self.at(ring, newest - rng.random_range(0..self.window as i64));
        self.values[late] += 1.0;
        self.places[key].changes += 1;
        let (one, other) = (key, (key + 1) % self.places.len());
        let rings = [self.places[one].ring, self.places[other].ring];
        (self.places[one].ring, self.places[other].ring) = (rings[1], rings[0]);
        let width = self.cells * self.columns;
        for at in 0..width {
            self.values.swap(rings[0] as usize * width + at, rings[1] as usize * width + at);
        }
        // Counts belong to the ring.
        let changes = [self.places[one].changes, self.places[other].changes];
        (self.places[one].changes, self.places[other].changes) = (changes[1] + 1, changes[0] + 1);
        let scale = rng.random_range(0..self.scales.len());
        self.scales[scale] = Scale { mean: rng.random(), sd: 0.5 + rng.random::<f32>() };
    }

    fn rings(&self) -> Rings<'_> {
        Rings {
            id: self.id,
            values: &self.values,
            cells: self.cells,
            columns: self.columns,
            scales: &self.scales,
            last_cell: self.last_cell,
            places: &self.places,
            rows: None,
        }
    }

    /// The windows, as the engine has them.
    fn windows(&self) -> Vec<f32> {
        let mut z = Vec::new();
        for place in &self.places {
            for cell in self.last_cell - self.window as i64 + 1..=self.last_cell {
                let scales = &self.scales[place.key as usize * self.columns..][..self.columns];
                let values = &self.values[self.at(place.ring, cell)..][..self.columns];
                z.extend(values.iter().zip(scales).map(|(value, scale)| {
                    let value = if cell > place.newest { f32::NAN } else { *value };
                    ((value - scale.mean) / scale.sd).clamp(-20.0, 20.0)
                }));
            }
        }
        z
    }
}

/// New cells cross the bus once, whatever else happens to rings goes up with the batch that meets it, and a device that is
/// new or full is no matter.
fn windows_of_rings_have_the_cpus_bits() {
    let seed = std::env::var("EDDY_CUDA_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let flags = [false, false, true, false];
    let pyramid = pyramid(24, 4, &flags, &mut rng);
    // 31 x 4 and scales: 124 rings a page of 64 KiB. Two pages hold the first owner's.
    let mut owners = [Owner::new(150, 24, 4), Owner::new(20, 24, 4), Owner::new(130, 24, 4)];
    let mut shard = shard(3 * 65_536);
    for round in 0..40 {
        if round == 30 {
            shard = self::shard(3 * 65_536);
        }
        for owner in &mut owners {
            (0..if round == 0 { 31 } else { 1 + round % 3 }).for_each(|_| owner.go_on(&mut rng));
            if round % 4 == 3 {
                (0..5).for_each(|_| owner.change(&mut rng));
            }
            let (z, rings) = (owner.windows(), Some(owner.rings()));
            let (mut found, mut expected) = (Scores::default(), Scores::default());
            let [resident, up, all] = [&counters().resident_rows, &counters().up_bytes, &counters().rows]
                .map(|of| of.load(Relaxed));
            assert!(shard.score(&pyramid, &z, rings, &mut found, &mut Work::new()).expect("a device"));
            pyramid.score(&z, &mut expected, &mut Work::new());
            assert!(shown(&found) == shown(&expected), "round {round}, {} keys", owner.places.len());
            let resident = counters().resident_rows.load(Relaxed) - resident;
            let (up, all) = (counters().up_bytes.load(Relaxed) - up, counters().rows.load(Relaxed) - all);
            assert!(all * 2 > owner.places.len() as u64, "{all} on the device");
            // Two pages and one are all there is: the third owner's windows cross whole.
            assert_eq!(resident, if owner.places.len() == 130 { 0 } else { all });
            let new_cells = 1 + round % 3;
            if owner.places.len() == 150 && round % 4 != 3 && round % 4 != 0 && round > 1 && round != 30 {
                // A run, a window and the new cells; what was not whole for a while has more of them.
                let least = all * (16 + 8 + new_cells * (8 + 16));
                assert!(up >= least && up < least * 2, "{up} of at least {least} in round {round}");
            }
        }
    }
}

#[test]
fn windows_cut_on_the_device_have_the_cpus_bits() {
    let test = "windows_cut_on_the_device_have_the_cpus_bits";
    for seed in seeds(3) {
        let seed = seed.to_string();
        if with_stand_in(test, &[("EDDY_CUDA_SEED", &seed)], windows_of_rings_have_the_cpus_bits).is_none() {
            return;
        }
    }
    let (done, _) = run_again(test, &[("EDDY_CUDA_PLANT", "no_append")]);
    assert!(!done.status.success(), "cells that do not reach the rings went unseen");
}

/// A config that asks for a GPU says why it cannot have one.
#[test]
fn without_a_driver_the_cpu_scores_unless_a_gpu_is_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(
        folder.path().join("data.csv"),
        data(1, true).lines().take(2000).collect::<Vec<_>>().join("\n"),
    )
    .expect("data");
    std::fs::write(folder.path().join("eddy.toml"), RUN.to_owned() + CONFIG).expect("a config");
    let run = |backend: &str| {
        let args = ["backtest", "eddy.toml", "--stream", "pumps", "--data", "data.csv"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
        command.args(args).current_dir(folder.path()).env("EDDY__BACKEND", backend).output().expect("it runs")
    };
    succeeded(&run("auto"));
    let refused = run("cuda");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("there is no CUDA driver"), "{said}");
}

/// What a backend says of windows one by one, to the bit.
fn explanations(backend: &mut Backend, model: &Model, cohorts: &[u32], z: &[f32]) -> Vec<String> {
    let mut explanation = Explanation::default();
    let of = |(row, window): (usize, &[f32])| {
        let cohort = cohorts.get(row).copied().unwrap_or(EVERYONE);
        backend.explain_cohort(model, cohort, window, &mut explanation);
        let wanted = |column: usize| !(row + column).is_multiple_of(3);
        let cells = backend.expect(model, cohort, window, wanted);
        format!("{explanation:?} {cells:?} {:?}", backend.departures(model, cohort, window, wanted))
    };
    z.chunks_exact(model.dimension()).enumerate().map(of).collect()
}

fn device_explains_as_the_cpu() {
    let seed = std::env::var("EDDY_CUDA_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut device, _) = Backend::open(Choice::Auto, 0);
    let (mut cpu, _) = Backend::open(Choice::Cpu, 0);
    // One column, few, with levels of means, many; flags, and codes.
    for (cells, columns, settings) in [
        (20, 1, Settings::QUICK),
        (20, 3, Settings::default()),
        (9, 2, Settings::QUICK),
        (18, 4, Settings::default()),
        (17, 9, Settings::QUICK),
    ] {
        let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
        let prior = ScalerPrior::from_keys(columns, Default::default());
        let mut fitted = windows(700, cells, columns, &mut rng);
        if columns == 4 {
            fitted.mapv_inplace(|z| if z > 0.0 { z + 4.0 } else { z - 4.0 });
            fitted
                .indexed_iter_mut()
                .filter(|((_, at), _)| at % 4 == 1)
                .for_each(|(_, z)| *z = f32::from(*z > 0.0));
        }
        let model = Model::fit(fitted.view(), cells, &names, prior, &settings).expect("a fit");
        let rows = 24;
        let mut z = fitted.as_slice().expect("rows")[..rows * cells * columns].to_vec();
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-41, -1e-44, 3e38, -25.0, -0.0];
        for (row, window) in z.chunks_exact_mut(cells * columns).enumerate() {
            let (from, column) = (rng.random_range(0..cells), rng.random_range(0..columns));
            let off = if row % 3 == 0 { 0.0 } else { 9.0 };
            window[column..].iter_mut().step_by(columns).skip(from).for_each(|z| *z += off);
            match row % 8 {
                // A cell that is nothing usual, a column that is missing from a cell on, all of it, and a strange flag.
                0..3 => window[from * columns + column] = wild[rng.random_range(0..wild.len())],
                3 => window[column..].iter_mut().step_by(columns).skip(from).for_each(|z| *z = f32::NAN),
                4 => window.fill(f32::NAN),
                5 if row == 13 => window.iter_mut().for_each(|z| *z += 2.5),
                _ => {}
            }
        }
        let expected = explanations(&mut cpu, &model, &[], &z);
        let before = counters().explained.load(Relaxed);
        let mut asked: Vec<u32> = (0..rows as u32).rev().collect();
        device.explain_ahead(&model, &[], &z, &mut asked);
        let explained = counters().explained.load(Relaxed) - before;
        assert!(explained >= 16, "{explained} of {rows} windows of {cells} cells and {columns} columns");
        let found = explanations(&mut device, &model, &[], &z);
        for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(found == expected, "{cells} cells, {columns} columns, row {row}:\n{found}\n{expected}");
        }
    }
    assert_eq!(counters().failures.load(Relaxed), 0);
}

/// Whatever windows hold, by a single density and by codes, with gaps and without.
#[test]
fn explanations_on_the_device_have_the_cpus_bits() {
    let test = "explanations_on_the_device_have_the_cpus_bits";
    for seed in seeds(2) {
        let seed = seed.to_string();
        let Some(report) = with_stand_in(test, &[("EDDY_CUDA_SEED", &seed)], device_explains_as_the_cpu)
        else {
            return;
        };
        assert!(report.count("explained") >= 5 * 16 && report.count("launches") == 5 * 2, "{}", report.0);
    }
}

/// Each by its own density; few are the CPU's, and a device that fails on the way changes nothing.
#[test]
fn explanations_go_to_the_device_by_cohort_and_in_numbers() {
    let test = "explanations_go_to_the_device_by_cohort_and_in_numbers";
    for (fails, launches, explained) in
        [("", 4, 28), ("cuLaunchKernel:4", 3, 20), ("cuMemcpyDtoHAsync:1", 2, 20), ("cuMemAlloc:12", 2, 8)]
    {
        let body = || {
            let mut rng = ChaCha8Rng::seed_from_u64(9);
            let everyone = model(&mut rng);
            let prior = ScalerPrior::from_keys(4, Default::default());
            let cohort = Cohort { pyramid: pyramid(20, 4, &[false; 4], &mut rng), prior };
            let model = everyone.with_cohorts(vec![(cohort, 0, Showing::default())], std::iter::empty());
            let (mut device, _) = Backend::open(Choice::Auto, 0);
            let (mut cpu, _) = Backend::open(Choice::Cpu, 0);
            let z = windows(28, 20, 4, &mut rng).into_raw_vec_and_offset().0;
            let cohorts: Vec<u32> = (0..28).map(|row| u32::from(row % 7 < 2)).collect();
            for rows in [7, 28] {
                device.explain_ahead(&model, &cohorts, &z, &mut (0..rows).collect::<Vec<_>>());
            }
            assert!(
                explanations(&mut device, &model, &cohorts, &z)
                    == explanations(&mut cpu, &model, &cohorts, &z)
            );
        };
        let Some(report) = with_stand_in(test, &[("EDDY_CUDA_FAIL", fails)], body) else { return };
        let counted = (report.count("launches"), report.count("explained"));
        assert_eq!(counted, (launches, explained), "{fails}: {}", report.0);
    }
}

/// Windows of noise that comes again after so many cells.
fn echoes(rows: usize, cells: usize, columns: usize, after: usize, rng: &mut ChaCha8Rng) -> Array2<f32> {
    let mut series: Vec<f32> = (0..(rows + cells) * columns).map(|_| rng.random::<f32>() - 0.5).collect();
    (after * columns..series.len())
        .for_each(|at| series[at] = 0.3 * series[at] + series[at - after * columns]);
    Array2::from_shape_fn((rows, cells * columns), |(row, at)| series[row * columns + at])
}

/// Of a fit that has found longer levels, with codes that have axes of their own.
#[test]
fn a_larger_model_is_scored_and_explained_on_the_device() {
    let body = || {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (cells, columns) = (24, 6);
        let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
        // A rhythm of 23 cells: as many shapes of windows, which codes are for.
        let rhythm: Vec<f32> = (0..23 * columns).map(|_| 3.0 * rng.random::<f32>() - 1.5).collect();
        let mut fitted = echoes(900, cells, columns, 20, &mut rng);
        fitted
            .indexed_iter_mut()
            .for_each(|((row, at), z)| *z = 0.2 * *z + rhythm[(row * columns + at) % rhythm.len()]);
        let fit = |large: bool| {
            let (prior, settings) = (
                ScalerPrior::from_keys(columns, Default::default()),
                Settings { large, ..Settings::default() },
            );
            Model::fit(fitted.view(), cells, &names, prior, &settings).expect("a fit")
        };
        let (model, usual) = (fit(true), fit(false));
        let widest = model.pyramid.levels.iter().find(|level| level.basis.dimension() == cells * columns);
        let widest = widest.expect("a level of whole windows");
        assert!(widest.codes.as_ref().is_some_and(|codes| codes.u.is_some()), "{:?}", widest.candidates);
        assert!(model.pyramid.flop() > 2 * usual.pyramid.flop(), "{} FLOP", model.pyramid.flop());
        let z = fitted.as_slice().expect("rows")[..100 * cells * columns].to_vec();
        let (mut device, _) = Backend::open(Choice::Auto, 0);
        let (mut cpu, _) = Backend::open(Choice::Cpu, 0);
        let (mut found, mut expected) = (Scores::default(), Scores::default());
        device.score_cohorts(&model, &[], &z, None, &mut found);
        cpu.score_cohorts(&model, &[], &z, None, &mut expected);
        assert!(shown(&found) == shown(&expected));
        let mut z = z[..8 * cells * columns].to_vec();
        z.iter_mut().skip(4).step_by(cells * columns - 3).for_each(|z| *z += 4.0);
        device.explain_ahead(&model, &[], &z, &mut (0..8).collect::<Vec<_>>());
        assert!(explanations(&mut device, &model, &[], &z) == explanations(&mut cpu, &model, &[], &z));
    };
    if let Some(report) = with_stand_in("a_larger_model_is_scored_and_explained_on_the_device", &[], body) {
        assert_eq!((report.count("windows"), report.count("explained")), (100, 8), "{}", report.0);
    }
}

/// `eddy train --large` finds longer levels, and files them.
#[test]
fn a_larger_model_is_trained() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (columns, mut rng) = (["a", "b", "c", "d", "e", "f"], ChaCha8Rng::seed_from_u64(12));
    let series = echoes(1200, 1, 6, 20, &mut rng);
    let mut text = format!("ts,pump,{}\n", columns.join(","));
    for (second, row) in series.rows().into_iter().enumerate() {
        let values: Vec<String> = row.iter().map(ToString::to_string).collect();
        text += &format!("{},p,{}\n", 1_767_225_600 + 2 * second, values.join(","));
    }
    std::fs::write(folder.path().join("data.csv"), text).expect("data");
    let columns: String = columns.map(|name| format!("columns.{name} = {{ path = \"{name}\" }}\n")).concat();
    let config = format!(
        "[source.file]\ntype = \"replay\"\npath = \"data.csv\"\n[stream.pumps]\nfrom = \"file\"\nkey = \"pump\"\n\
         time = {{ path = \"ts\", unit = \"s\" }}\n{columns}\
         window = {{ type = \"hopping\", size = \"48s\", every = \"2s\", grid = \"2s\", lateness = \"4s\" }}\n\
         model = {{ type = \"load\", path = \"m.safetensors\" }}\n[sink.console]\ntype = \"stdout\"\n"
    );
    std::fs::write(folder.path().join("eddy.toml"), config).expect("a config");
    let eddy = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
        let done = command.args(arguments).current_dir(folder.path()).output().expect("it runs");
        succeeded(&done);
        String::from_utf8(done.stdout).expect("text")
    };
    let levels = |more: &[&str]| {
        let train =
            ["train", "eddy.toml", "--stream", "pumps", "--data", "data.csv", "--out", "m.safetensors"];
        let said = eddy(&[&train[..], more].concat());
        let model = Model::load(&folder.path().join("m.safetensors")).expect("a model");
        assert_eq!(model.pyramid.levels.len(), said.matches("\nlevel ").count(), "{said}");
        model.pyramid.levels.iter().map(|level| level.basis.dimension()).collect::<Vec<_>>()
    };
    let usual = levels(&[]);
    assert_eq!(usual, [6, 18, 60, 24]);
    assert_eq!(levels(&["--large"]), [&usual[..], &[144, 36]].concat());
}

/// A GPU that is too small for what is reserved is left alone unless it is asked for: all shards score on the CPU.
#[test]
fn a_gpu_that_is_too_small_is_left_alone() {
    if real() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("data.csv"), data(1, false)).expect("data");
    std::fs::write(folder.path().join("eddy.toml"), RUN.to_owned() + CONFIG + RUN_REST).expect("a config");
    // Two shards reserve 35.7 MB each besides 8 MB: room for one of them.
    let told = |backend: &str, memory: &str| {
        let report = folder.path().join(format!("{backend}-{memory}.report"));
        let mut command = run(folder.path(), backend, 1, &report);
        command.env("EDDY_CUDA_MEMORY", memory).env("EDDY__DURABLE__PATH", format!("{backend}-{memory}"));
        let done = command.output().expect("it runs");
        (done, Report(std::fs::read_to_string(report).unwrap_or_default()))
    };
    let (done, report) = told("auto", "60000000");
    succeeded(&done);
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(log.contains("the GPU is not used: the CPU scores"), "{log}");
    assert!(report.count("cuMemGetInfo") > 0 && report.count("cuMemAlloc") == 0, "{}", report.0);
    assert_eq!((report.count("windows"), report.count("launches")), (0, 0), "{}", report.0);
    let (done, _) = told("cuda", "60000000");
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && log.contains("and 2 shard(s) reserve 79 MB"), "{log}");
    let (done, report) = told("auto", "100000000");
    succeeded(&done);
    assert!(report.count("windows") > 5000, "room for both: {}", report.0);
}

/// Rows of several cohorts, each by its own density.
#[test]
fn every_cohort_is_scored_on_the_device() {
    let body = || {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let everyone = model(&mut rng);
        let mut cohort = || {
            let prior = ScalerPrior::from_keys(4, Default::default());
            (Cohort { pyramid: pyramid(20, 4, &[false; 4], &mut rng), prior }, 0, Showing::default())
        };
        let cohorts = (0..40).map(|_| cohort()).collect();
        let model = everyone.with_cohorts(cohorts, std::iter::empty());
        let (mut device, _) = Backend::open(Choice::Auto, 0);
        let (mut found, mut expected) = (Scores::default(), Scores::default());
        for round in 0..3 {
            let z = windows(41 * 70, 20, 4, &mut rng).into_raw_vec_and_offset().0;
            let of_rows: Vec<u32> = (0..41 * 70).map(|row| (row * 7 + round) % 41).collect();
            device.score_cohorts(&model, &of_rows, &z, None, &mut found);
            CpuBackend::new().score_cohorts(&model, &of_rows, &z, &mut expected);
            assert!(shown(&found) == shown(&expected), "round {round}");
        }
    };
    if let Some(report) = with_stand_in("every_cohort_is_scored_on_the_device", &[], body) {
        assert_eq!(report.count("launches"), 3 * 41);
    }
}

/// Nothing of the host's once each call to the driver was looked up, and of the device's three buffers a slot, three a model, the rings, and what is solved in.
#[test]
fn scoring_on_the_device_allocates_nothing_after_the_first_batches() {
    let body = || {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let pyramid = pyramid(20, 5, &[false; 5], &mut rng);
        let mut shard = shard(0);
        let mut z = windows(500, 20, 5, &mut rng).into_raw_vec_and_offset().0;
        z.iter_mut().step_by(4001).for_each(|z| *z = f32::NAN);
        let (mut scores, mut work) = (Scores::default(), Work::new());
        for round in 0..5 {
            let before = ALLOCATIONS.load(Relaxed);
            assert!(shard.score(&pyramid, &z, None, &mut scores, &mut work).expect("a device"));
            let made = ALLOCATIONS.load(Relaxed) - before;
            assert!(round < 2 || made == 0, "{made} in round {round}");
        }
    };
    let test = "scoring_on_the_device_allocates_nothing_after_the_first_batches";
    if let Some(report) = with_stand_in(test, &[], body) {
        assert_eq!((report.count("cuMemAlloc"), report.count("cuMemHostAlloc")), (11, 4), "{}", report.0);
        assert_eq!((report.count("launches"), report.count("graphs")), (5, 4), "the first one by one");
    }
}

/// A batch of few windows is the CPU's business.
#[test]
fn small_batches_stay_on_the_cpu() {
    let body = || {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let model = model(&mut rng);
        let (mut backend, _) = Backend::open(Choice::Auto, 0);
        let (mut found, mut expected) = (Scores::default(), Scores::default());
        for (rows, on_device) in [(63, 0), (64, 64)] {
            let before = counters().rows.load(Relaxed);
            let z = windows(rows, 20, 4, &mut rng).into_raw_vec_and_offset().0;
            backend.score_cohorts(&model, &[], &z, None, &mut found);
            CpuBackend::new().score_cohorts(&model, &[], &z, &mut expected);
            assert_eq!(shown(&found), shown(&expected));
            assert_eq!(counters().rows.load(Relaxed) - before, on_device);
        }
    };
    if let Some(report) = with_stand_in("small_batches_stay_on_the_cpu", &[], body) {
        assert_eq!(report.count("launches"), 1);
    }
}
