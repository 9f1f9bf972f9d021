//! One thread of another process held still while the others go on: what a stuck thread looks like from
//! outside. SIGSTOP would hold the whole process; a debugger's stop holds one.

use std::fs;
use std::io;

use libc::{PTRACE_DETACH, PTRACE_INTERRUPT, PTRACE_SEIZE, c_long, pid_t};

/// Held until dropped. All calls must come from the thread that made it.
pub struct Stopped(pid_t);

impl Stopped {
    pub fn by_name(process: u32, name: &str) -> Self {
        let thread = find(process, name).unwrap_or_else(|| panic!("no thread {name}"));
        trace(PTRACE_SEIZE, thread);
        trace(PTRACE_INTERRUPT, thread);
        let mut status = 0;
        // SAFETY: a plain call with a place for the answer.
        let waited = unsafe { libc::waitpid(thread, &mut status, libc::__WALL) };
        assert!(waited == thread && libc::WIFSTOPPED(status), "{name} was not stopped");
        Stopped(thread)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        trace(PTRACE_DETACH, self.0);
    }
}

fn find(process: u32, name: &str) -> Option<pid_t> {
    fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten().find_map(|task| {
        let called = fs::read_to_string(task.path().join("comm")).ok()?;
        (called.trim() == name).then(|| task.file_name().to_str()?.parse().ok())?
    })
}

fn trace(request: libc::c_uint, thread: pid_t) {
    // SAFETY: these requests take no address and no data.
    let result: c_long = unsafe { libc::ptrace(request, thread, 0 as c_long, 0 as c_long) };
    assert_eq!(result, 0, "ptrace: {}", io::Error::last_os_error());
}
