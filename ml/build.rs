//! Says which code trains: the version of the crate, and a digest of its source, of that of the domain, of the lock file and
//! of the compiler's version, since any of it may change the last bit of a model.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// So many hexadecimal digits tell one code from another.
const DIGITS: usize = 12;

/// Where the source is that bears on what is computed.
const FOLDERS: [&str; 2] = ["src", "../domain/src"];

fn main() -> io::Result<()> {
    let mut files = vec![PathBuf::from("../Cargo.lock")];
    for folder in FOLDERS {
        collect(Path::new(folder), &mut files)?;
        println!("cargo::rerun-if-changed={folder}");
    }
    files.sort_unstable();
    let mut hash = Sha256::new();
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    hash.update(Command::new(compiler).arg("--version").output()?.stdout);
    for file in &files {
        let content = fs::read(file)?;
        hash.update(file.to_string_lossy().as_bytes());
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    }
    let digest = hex::encode(hash.finalize());
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=TRAINING_CODE={version}+{}", &digest[..DIGITS]);
    println!("cargo::rerun-if-changed=../Cargo.lock");
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
