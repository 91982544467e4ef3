//! Files that are there whole or not at all, whenever the machine stops.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::ArchiveError;

/// The ending of a file that is being written.
const UNFINISHED: &str = "unfinished";

/// Where a file is written until it is whole.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    name.into()
}

/// Gives a draft that is on the disk its name, and puts the name on the disk too.
pub(super) fn keep(path: &Path) -> Result<(), ArchiveError> {
    fs::rename(draft_of(path), path).map_err(ArchiveError::io(path))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Writes a small file whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let draft = draft_of(path);
    let mut file = File::create(&draft).map_err(ArchiveError::io(&draft))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(ArchiveError::io(&draft))?;
    keep(path)
}

/// Removes what an interrupted run has left behind: drafts of files that `is_ours` knows by their names, and files
/// that `is_left_over` knows. Whatever else lies there belongs to somebody.
pub(super) fn tidy(
    folder: &Path,
    is_ours: impl Fn(&str) -> bool,
    is_left_over: impl Fn(&str) -> bool,
) -> Result<(), ArchiveError> {
    for entry in fs::read_dir(folder).map_err(ArchiveError::io(folder))? {
        let path = entry.map_err(ArchiveError::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let draft_of = name.strip_suffix(UNFINISHED).and_then(|name| name.strip_suffix('.'));
        if draft_of.is_some_and(&is_ours) || is_left_over(name) {
            fs::remove_file(&path).map_err(ArchiveError::io(&path))?;
        }
    }
    Ok(())
}

/// The digest of a file, in hexadecimal.
pub(super) fn digest(path: &Path) -> Result<String, ArchiveError> {
    let mut file = File::open(path).map_err(ArchiveError::io(path))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(ArchiveError::io(path))?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), ArchiveError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(ArchiveError::io(folder))
}

/// A file, and the digest of what was written into it.
pub(super) struct Digesting {
    file: File,
    hasher: Sha256,
    written: u64,
}

impl Digesting {
    pub fn new(file: File) -> Self {
        Self { file, hasher: Sha256::new(), written: 0 }
    }

    /// Puts everything on the disk; the number of bytes and their digest in hexadecimal.
    pub fn finish(self) -> io::Result<(u64, String)> {
        self.file.sync_all()?;
        Ok((self.written, hex::encode(self.hasher.finalize())))
    }
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
