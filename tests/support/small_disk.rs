//! A file system of a test's own that can be filled to its last byte.
#![allow(dead_code)] // each test binary uses a part

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const WITHOUT: &str = "EDDY_WITHOUT_MOUNT";

/// A file system of its own in memory.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount and has said so: then nothing is shown, and `scripts/test` says that.
    pub fn mount(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status();
        if status.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(at.to_owned()));
        }
        assert!(
            std::env::var_os(WITHOUT).is_some(),
            "no tmpfs may be mounted here: run as root, or set {WITHOUT}=1 to leave out what needs a disk to fill"
        );
        None
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes every byte that is left.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it was there");
    }

    pub fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "remounted {how}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
