//! Finding the server programs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// The oldest major version this program works with.
const OLDEST: u32 = 15;

/// The programs of one installed version: `postgres`, `initdb`, `pg_ctl`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Programs {
    /// The major version.
    pub major: u32,
    /// The folder they are in.
    pub folder: PathBuf,
}

impl Programs {
    /// Finds the newest version on this machine, or the one that made an existing data folder.
    ///
    /// It looks into `PATH`, asks `pg_config`, and knows the usual folders of Debian, Red Hat and Homebrew.
    ///
    /// # Errors
    /// When there is none, or none that fits.
    pub fn find(made_by: Option<(u32, &Path)>) -> Result<Self, PostgresError> {
        choose(candidates().into_iter().filter_map(|folder| Self::at(&folder)).collect(), made_by)
    }

    fn at(folder: &Path) -> Option<Self> {
        // A link in PATH may lead to the folder where its companions are.
        let postgres = folder.join("postgres").canonicalize().ok()?;
        let folder = postgres.parent()?.to_owned();
        if !folder.join("initdb").is_file() {
            return None;
        }
        let said = Command::new(&postgres).arg("--version").output().ok()?;
        let major = major_of(&String::from_utf8_lossy(&said.stdout))?;
        Some(Self { major, folder })
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian ..)` or `16beta1`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

fn choose(found: BTreeSet<Programs>, made_by: Option<(u32, &Path)>) -> Result<Programs, PostgresError> {
    if let Some((major, folder)) = made_by {
        return found
            .into_iter()
            .rfind(|programs| programs.major == major)
            .ok_or_else(|| PostgresError::OtherVersion { folder: folder.to_owned(), made_by: major });
    }
    match found.into_iter().next_back() {
        None => Err(PostgresError::NotInstalled),
        Some(newest) if newest.major < OLDEST => {
            Err(PostgresError::TooOld { found: newest.major, folder: newest.folder })
        }
        Some(newest) => Ok(newest),
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    if let Ok(said) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&said.stdout).trim()));
    }
    // Debian: /usr/lib/postgresql/16/bin; Red Hat: /usr/pgsql-16/bin; Homebrew: opt/postgresql@16/bin.
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql"),
    ] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        folders.extend(
            entries
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                .map(|entry| entry.path().join("bin")),
        );
    }
    folders
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn installed(majors: &[u32]) -> BTreeSet<Programs> {
        majors.iter().map(|major| Programs { major: *major, folder: format!("/pg/{major}").into() }).collect()
    }

    #[test]
    fn the_version_is_read_from_what_the_server_says() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn the_newest_version_is_chosen_and_an_old_one_is_named() {
        assert_eq!(choose(installed(&[15, 17, 16]), None).unwrap().major, 17);
        assert!(matches!(choose(installed(&[13, 14]), None), Err(PostgresError::TooOld { found: 14, .. })));
        assert!(matches!(choose(installed(&[]), None), Err(PostgresError::NotInstalled)));
    }

    #[test]
    fn a_data_folder_is_served_by_the_version_that_made_it_or_not_at_all() {
        let folder = Path::new("/data");
        assert_eq!(choose(installed(&[15, 17]), Some((15, folder))).unwrap().major, 15);
        assert!(matches!(
            choose(installed(&[17]), Some((15, folder))),
            Err(PostgresError::OtherVersion { made_by: 15, .. })
        ));
    }

    #[test]
    fn what_to_install_is_said_in_one_line() {
        let said = PostgresError::NotInstalled.to_string();
        assert!(said.contains("apt-get install postgresql") && !said.contains('\n'), "{said}");
    }
}
