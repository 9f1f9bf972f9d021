//! Who of the group this is: the same after a restart, and nobody else.

use std::path::Path;

use anyhow::{Context, Result};

const FILE: &str = "member";
const DIGITS: usize = 8;

/// Host and a number drawn once, which the data folder keeps: two Eddys on one box have a folder each.
///
/// # Errors
/// If the folder cannot be read or written.
pub fn name(dir: &Path) -> Result<String> {
    let path = dir.join(FILE);
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let is_known = known.len() == DIGITS && known.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = if is_known {
        known
    } else {
        let digits = format!("{:08x}", rand::random::<u32>());
        std::fs::write(&path, &digits)
            .with_context(|| format!("cannot write {}; make the data folder writable", path.display()))?;
        digits
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    Ok(format!("{}-{digits}", if host.is_empty() { "eddy" } else { host }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_keeps_its_name_and_has_it_alone() {
        let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let first = name(here.path()).unwrap();
        assert_eq!(name(here.path()).unwrap(), first);
        assert_ne!(name(there.path()).unwrap(), first);
        std::fs::write(here.path().join(FILE), "torn").unwrap();
        let again = name(here.path()).unwrap();
        assert_eq!(name(here.path()).unwrap(), again);
    }
}
