//! What the process says of itself: logs, and how it ends when something went wrong in it.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::pipeline;

/// Exit code where standard output was closed or cannot be written (`EX_IOERR` of sysexits.h).
pub(super) const EXIT_OUTPUT: u8 = 74;

/// Structured logs to stderr, so that stdout stays free for the stdout sink. `RUST_LOG` chooses the level.
pub fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,rumqttd=off,rumqttc=off"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}

/// A station that panicked takes its rows with it, and the rest would look healthy without it: the process
/// ends at once instead, and the next start rebuilds everything from the log.
///
/// Who reads standard output may close it (`| head`), and a disk that it goes to may be full: no fault of ours, so no
/// panic to be seen.
pub fn end_when_a_station_panics() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if let Some(why) = text.strip_prefix("failed printing to stdout: ") {
            if !why.contains("Broken pipe") {
                eprintln!("eddy: cannot write to standard output: {why}");
            }
            std::process::exit(EXIT_OUTPUT.into());
        }
        say(panic);
        if std::thread::current().name().is_some_and(|name| name.starts_with(pipeline::THREAD_PREFIX)) {
            eprintln!("eddy: a station failed; stopping. Nothing acknowledged is lost: start again to go on");
            std::process::abort();
        }
    }));
}
