//! Files that are there whole or as they were, and files that only grow.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::AccessError;

/// Nobody but the user Eddy runs as reads these files.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

pub fn make_folder(folder: &Path) -> Result<(), AccessError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE).create(folder).map_err(AccessError::io("make folder", folder))
}

/// Writes beside the file, makes it durable, and puts it in place.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), AccessError> {
    let unfinished = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE_MODE);
    let mut file = options.open(&unfinished).map_err(AccessError::io("create", &unfinished))?;
    file.write_all(bytes).map_err(AccessError::io("write", &unfinished))?;
    file.sync_all().map_err(AccessError::io("sync", &unfinished))?;
    std::fs::rename(&unfinished, path).map_err(AccessError::io("rename to", path))?;
    sync_folder_of(path)
}

fn sync_folder_of(path: &Path) -> Result<(), AccessError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(AccessError::io("sync folder", folder))
}

/// Adds a line, durably; gives the byte it starts at. A line that a power cut tore stays, and is passed over by
/// whoever reads.
pub fn append(path: &Path, line: &str) -> Result<u64, AccessError> {
    let is_new = !path.exists();
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(FILE_MODE);
    let mut file = options.open(path).map_err(AccessError::io("open", path))?;
    // Held until the file is closed: the command line writes here too.
    file.lock().map_err(AccessError::io("lock", path))?;
    let end = file.seek(SeekFrom::End(0)).map_err(AccessError::io("read", path))?;
    let torn = end > 0 && last_byte(&mut file).map_err(AccessError::io("read", path))? != b'\n';
    let start = end + u64::from(torn);
    let text = format!("{}{line}\n", if torn { "\n" } else { "" });
    if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
        // Half a line is of no use to anybody; whoever reads passes over what stays of it.
        let _ = file.set_len(end);
        return Err(AccessError::io("write", path)(error));
    }
    if is_new {
        sync_folder_of(path)?;
    }
    Ok(start)
}

fn last_byte(file: &mut File) -> std::io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

/// Whole lines that end before byte `before`, in at most `bytes_max` bytes, first to last, each with the byte it
/// starts at. None if there is no file.
pub fn lines_before(path: &Path, before: u64, bytes_max: u64) -> Result<Vec<(u64, String)>, AccessError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AccessError::io("open", path)(error)),
    };
    let end = file.seek(SeekFrom::End(0)).map_err(AccessError::io("read", path))?.min(before);
    let start = end.saturating_sub(bytes_max);
    file.seek(SeekFrom::Start(start)).map_err(AccessError::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes).map_err(AccessError::io("read", path))?;
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some(len) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        // The first line of a part of the file may have begun before it.
        if at > 0 || start == 0 {
            let text = String::from_utf8_lossy(&bytes[at..at + len]).into_owned();
            lines.push((start + at as u64, text));
        }
        at += len + 1;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_from_the_end_and_a_torn_one_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access/log.jsonl");
        assert!(lines_before(&path, u64::MAX, 100).unwrap().is_empty());
        assert_eq!((append(&path, "one").unwrap(), append(&path, "two").unwrap()), (0, 4));
        // A power cut in the middle of a write.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"th").unwrap();
        assert_eq!(append(&path, "four").unwrap(), 11);
        let all = lines_before(&path, u64::MAX, 100).unwrap();
        let texts: Vec<(u64, &str)> = all.iter().map(|(at, text)| (*at, text.as_str())).collect();
        assert_eq!(texts, [(0, "one"), (4, "two"), (8, "th"), (11, "four")]);
        assert_eq!(lines_before(&path, 8, 100).unwrap().len(), 2);
        assert_eq!(lines_before(&path, u64::MAX, 7).unwrap(), [(11, "four".to_owned())]);
    }

    #[test]
    fn a_file_is_replaced_whole_and_read_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access/key");
        make_folder(path.parent().unwrap()).unwrap();
        replace(&path, b"first").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
}
