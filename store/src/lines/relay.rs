//! One line: carries bytes both ways, and ends when nobody is at the other end any more.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio::time::{Instant, sleep, timeout};

use super::SILENCE;
use super::sessions::Sessions;
use super::speech::{Speaker, Speech};

/// A server that does not take a connection within this time is out of reach.
const REACH: Duration = Duration::from_secs(10);

/// A line is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// The kernel asks a silent line for a sign of life every five seconds, and gives it up after the third in vain.
const PROBE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// Bytes that nobody acknowledges for so long have been lost with the line. Longer than the probes take: a busy server
/// may leave the bytes of a large statement lie for a while.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Carries one connection until either side ends it.
///
/// # Errors
/// When the server cannot be reached, or is not heard of any more.
pub(super) async fn relay(client: UnixStream, address: (String, u16), sessions: &Sessions) -> Result<()> {
    let server = timeout(REACH, TcpStream::connect(address)).await??;
    server.set_nodelay(true)?;
    let socket = SockRef::from(&server);
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE).with_interval(PROBE).with_retries(PROBES))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;

    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let line = Line::new();
    tokio::select! {
        ended = line.ask(from_client, to_server) => ended,
        ended = line.answer(from_server, to_client) => ended,
        () = line.until_dead(sessions) => {
            Err(Error::new(ErrorKind::TimedOut, "it owes an answer, and its session is not at work"))
        }
    }
}

struct Line(Mutex<State>);

struct State {
    speech: Speech,
    /// When a byte last moved, either way.
    moved: Instant,
    /// Whether a question has left to which the answer is not whole.
    owed: bool,
    /// Whether it is the client that does not take what the server says.
    delivering: bool,
}

impl Line {
    fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State { speech: Speech::default(), moved: now, owed: false, delivering: false }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, mut from: unix::OwnedReadHalf, mut to: tcp::OwnedWriteHalf) -> Result<()> {
        let mut bytes = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut bytes).await?;
            if read == 0 {
                return Ok(());
            }
            {
                let mut state = self.state();
                (state.moved, state.owed) = (Instant::now(), true);
            }
            to.write_all(&bytes[..read]).await?;
        }
    }

    async fn answer(&self, mut from: tcp::OwnedReadHalf, mut to: unix::OwnedWriteHalf) -> Result<()> {
        let mut bytes = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut bytes).await?;
            if read == 0 {
                return Ok(());
            }
            {
                let mut state = self.state();
                state.speech.hear(&bytes[..read]);
                state.owed &= !state.speech.is_over();
                state.delivering = true;
            }
            to.write_all(&bytes[..read]).await?;
            let mut state = self.state();
            (state.moved, state.delivering) = (Instant::now(), false);
        }
    }

    /// Who owes an answer for longer than `patience`, and since when nothing has moved.
    fn silent(&self, patience: Duration) -> Option<(Speaker, Instant)> {
        let state = self.state();
        let silent = state.owed && !state.delivering && state.moved.elapsed() >= patience;
        silent.then(|| (state.speech.speaker(), state.moved))
    }

    async fn until_dead(&self, sessions: &Sessions) {
        loop {
            sleep(LOOK).await;
            let Some(before) = self.silent(sessions.patience()) else { continue };
            let answers = match before.0 {
                Speaker::Session(session) => sessions.is_at_work(session).await != Some(false),
                // Nobody works for it yet; a welcome takes its time on a busy machine, and not this long.
                Speaker::NotYet => before.1.elapsed() < SILENCE,
                Speaker::Unknown => true,
            };
            if answers {
                continue;
            }
            // It may have ended its work a moment ago: then the answer is on its way.
            sleep(LOOK).await;
            if self.silent(LOOK) == Some(before) {
                sessions.suspect();
                return;
            }
        }
    }
}
