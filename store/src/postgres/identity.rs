//! Which user the server runs as, and whether that user can reach its folder.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// The user the server runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunAs {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    /// True when this process is root and steps down.
    pub steps_down: bool,
}

impl RunAs {
    /// The present user, or an unprivileged one when that is root: the owner of an existing data folder, else
    /// `postgres`, else `nobody`.
    pub fn choose(data: &Path) -> Result<Self, PostgresError> {
        let owner = fs::metadata(data.join("PG_VERSION")).ok();
        let uid = present_user()?;
        if uid != 0 {
            if let Some(owner) = owner.filter(|owner| owner.uid() != uid) {
                return Err(PostgresError::ForeignOwner { folder: data.to_owned(), owner: owner.uid() });
            }
            return Ok(Self { uid, gid: 0, name: uid.to_string(), steps_down: false });
        }
        let users = fs::read_to_string("/etc/passwd").map_err(PostgresError::io("/etc/passwd"))?;
        owner
            .filter(|owner| owner.uid() != 0)
            .map(|owner| Self::stepping_down(owner.uid(), owner.gid(), owner.uid().to_string()))
            .or_else(|| user_named(&users, "postgres"))
            .or_else(|| user_named(&users, "nobody"))
            .ok_or(PostgresError::NoUser)
    }

    fn stepping_down(uid: u32, gid: u32, name: String) -> Self {
        Self { uid, gid, name, steps_down: true }
    }

    /// A command that runs as this user, in a folder it can reach.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir("/");
        if self.steps_down {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives `path` to this user.
    pub fn own(&self, path: &Path) -> Result<(), PostgresError> {
        if self.steps_down {
            chown(path, Some(self.uid), Some(self.gid)).map_err(PostgresError::io(path))?;
        }
        Ok(())
    }

    /// Checks that this user can walk down to `folder`.
    pub fn check_reach(&self, folder: &Path) -> Result<(), PostgresError> {
        if !self.steps_down {
            return Ok(());
        }
        for above in folder.ancestors().skip(1).filter(|above| above.is_dir()) {
            let met = fs::metadata(above).map_err(PostgresError::io(above))?;
            if !self.may_enter(&met) {
                return Err(PostgresError::Unreachable { closed: above.to_owned(), user: self.name.clone() });
            }
        }
        Ok(())
    }

    fn may_enter(&self, folder: &Metadata) -> bool {
        let enter = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & enter != 0
    }
}

/// Asked of `id`, because the standard library does not tell and unsafe code is forbidden.
fn present_user() -> Result<u32, PostgresError> {
    let said = Command::new("id").arg("-u").output().map_err(PostgresError::io("id"))?;
    String::from_utf8_lossy(&said.stdout).trim().parse().map_err(|_| PostgresError::Failed {
        program: "id -u".to_owned(),
        output: String::from_utf8_lossy(&said.stderr).into_owned(),
    })
}

fn user_named(passwd: &str, name: &str) -> Option<RunAs> {
    let mut fields =
        passwd.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
    let uid = fields.nth(2)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(RunAs::stepping_down(uid, gid, name.to_owned()))
}

/// A short folder for a socket, below the folder for temporary files, that nobody else can have prepared.
///
/// # Errors
/// When somebody else owns it, or its path leaves no room for the socket's name.
pub(crate) fn private_folder(name: &str, run_as: &RunAs) -> Result<PathBuf, PostgresError> {
    let below = std::env::temp_dir();
    // 107 bytes hold the path of a socket: here the folder, a slash, and `.s.PGSQL.5432`.
    let roomy = |path: &Path| path.as_os_str().len() + "/.s.PGSQL.5432".len() <= 107;
    let folder = [below, PathBuf::from("/tmp")]
        .into_iter()
        .map(|below| below.join(name))
        .find(|path| roomy(path))
        .ok_or_else(|| PostgresError::PathTooLong(PathBuf::from(name)))?;
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => run_as.own(&folder)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let met = fs::symlink_metadata(&folder).map_err(PostgresError::io(&folder))?;
            if !met.is_dir() || (met.uid() != run_as.uid && !(run_as.steps_down && met.uid() == 0)) {
                return Err(PostgresError::ForeignOwner { folder, owner: met.uid() });
            }
            run_as.own(&folder)?;
            fs::set_permissions(&folder, Permissions::from_mode(0o700))
                .map_err(PostgresError::io(&folder))?;
        }
        Err(source) => return Err(PostgresError::Io { path: folder, source }),
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7::/:/bin/sh\npostgres:x:101:104:Admin:/var:/bin/sh\n";
        let user = user_named(passwd, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert_eq!(user_named(passwd, "nobody"), None);
    }

    #[test]
    fn a_folder_below_a_closed_one_is_reported_with_a_way_out() {
        let user = RunAs::stepping_down(54_321, 54_321, "postgres".into());
        let closed = std::env::temp_dir().join(format!("almanac-closed-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&closed).unwrap();
        let refused = user.check_reach(&closed.join("data/postgres")).unwrap_err();
        fs::remove_dir(&closed).unwrap();
        let said = refused.to_string();
        assert!(said.contains(&*closed.to_string_lossy()) && said.contains("/var/lib/almanac"), "{said}");
    }
}
