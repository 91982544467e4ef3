//! Folders of relays whose process was killed before it could remove them.

use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::PREFIX;

/// A relay takes a connection within this time, however busy its machine is.
const PATIENCE: Duration = Duration::from_secs(1);

/// Removes the folders in `folder` on whose socket nobody listens. Those of others stay: they cannot be asked.
pub(super) async fn clear_away(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_left_behind(&entry).await {
            // Another process may have been faster.
            let _gone = fs::remove_dir_all(entry.path());
        }
    }
}

async fn is_left_behind(folder: &DirEntry) -> bool {
    // One without a socket is being made.
    let socket = fs::read_dir(folder.path()).ok().and_then(|mut sockets| sockets.next()?.ok());
    let Some(socket) = socket else { return false };
    if !is_deaf(&socket.path()).await {
        return false;
    }
    // Between its making and the first listening a socket is deaf too.
    sleep(PATIENCE).await;
    is_deaf(&socket.path()).await
}

async fn is_deaf(socket: &Path) -> bool {
    let asked = timeout(PATIENCE, UnixStream::connect(socket)).await;
    asked.is_ok_and(|asked| asked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::UnixListener;

    use super::*;
    use crate::testing::ScratchFolder;

    #[tokio::test]
    async fn only_folders_on_whose_socket_nobody_listens_are_removed() {
        let scratch = ScratchFolder::new();
        let made = |name: &str| {
            let folder = scratch.join(name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        let [dead, living, young, foreign] =
            ["almanac-line-dead", "almanac-line-living", "almanac-line-young", "something-else"].map(made);
        let listen = |folder: &Path| UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
        // As after a kill: the socket stays where it was.
        drop((listen(&dead), listen(&foreign)));
        let _listening = listen(&living);
        clear_away(&scratch).await;
        assert_eq!([dead, living, young, foreign].map(|folder| folder.exists()), [false, true, true, true]);
    }
}
