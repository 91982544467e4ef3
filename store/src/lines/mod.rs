//! The lines to a database over a network, and what ends one that nobody is at the other end of.
//!
//! A network can swallow a connection: bytes leave, nothing comes back, and nobody is told. The driver then waits for
//! its answer for ever, and so does its pool when it gives the connection back. Therefore each connection over a network
//! goes through a relay of this process, which hangs up such a line. To the driver, and to everything that uses it, that is
//! a lost connection like any other.
//!
//! A server may well be silent for an hour, because it builds an index. So whoever has waited for [`SILENCE`], or not as
//! long where a line was found dead a moment ago, is asked about over another connection: a session that the server says is not at work has nothing to say any more
//! ([`sessions`]). Which session serves a line is read off its own words ([`speech`]). Where they are encrypted, only the
//! kernel's probes are left: they find a line that is dead, and not one whose bytes somebody on the way goes on
//! acknowledging.
//!
//! A server on a socket of this machine cannot be parted from us: such connections take no detour.

mod left_behind;
mod relay;
mod sessions;
mod speech;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::net::UnixListener;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::StoreError;
use crate::clock::Entropy;
use sessions::Sessions;

/// What the names of the folders begin with in which relays listen.
const PREFIX: &str = "almanac-line-";

/// Whoever owes an answer for so long is asked about.
const SILENCE: Duration = Duration::from_secs(5);

/// The relay of one [`crate::Database`]; dropping it ends its lines.
#[derive(Debug)]
pub(crate) struct Lines {
    folder: PathBuf,
    /// Its thread ends when this is dropped.
    _open: oneshot::Sender<()>,
}

impl Lines {
    /// Where to connect to instead, and the relay that listens there; nothing new for a server on a socket of this
    /// machine.
    ///
    /// # Errors
    /// When the database cannot be reached: asked without a detour, so that the reason can be told.
    pub(crate) async fn open(
        options: PgConnectOptions,
    ) -> Result<(PgConnectOptions, Option<Self>), StoreError> {
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            return Ok((options, None));
        }
        PgConnection::connect_with(&options).await?.close().await?;
        let lines = Self::relay(options.clone()).map_err(sqlx::Error::Io)?;
        Ok((options.socket(&lines.folder), Some(lines)))
    }

    /// On a thread of its own: work that keeps the others busy must not look like a silent server.
    fn relay(options: PgConnectOptions) -> io::Result<Self> {
        let beside = std::env::temp_dir();
        let folder = beside.join(format!("{PREFIX}{}", hex::encode(Entropy::system().bytes::<6>())));
        // Whoever may connect here reaches the database as this process does, if only to be asked for a password.
        DirBuilder::new().mode(0o700).create(&folder)?;
        let (open, ended) = oneshot::channel();
        let lines = Self { folder, _open: open };
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let listener = UnixListener::bind(lines.folder.join(format!(".s.PGSQL.{}", options.get_port())))?;
        drop(entered);
        std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    ((), ()) = join(serve(listener, options), left_behind::clear_away(&beside)) => {}
                }
            });
        })?;
        Ok(lines)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

async fn serve(listener: UnixListener, options: PgConnectOptions) {
    let address = (options.get_host().trim_matches(['[', ']']).to_owned(), options.get_port());
    let sessions = Arc::new(Sessions::new(options));
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (address, sessions) = (address.clone(), Arc::clone(&sessions));
                tokio::spawn(async move {
                    if let Err(error) = relay::relay(client, address, &sessions).await {
                        tracing::warn!(%error, "a connection to the database was lost");
                    }
                });
            }
            Err(error) => {
                // Too many open files: that passes.
                tracing::warn!(%error, "no further connection to the database can be made");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
