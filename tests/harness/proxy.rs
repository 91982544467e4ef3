//! A network in front of PostgreSQL that can swallow everything.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weather {
    /// Nothing gets through while it is false, and nobody is told.
    fair: bool,
    /// Connections of an earlier age are never heard of again.
    age: u64,
    /// Whether whoever speaks on such a connection is told.
    told: bool,
    /// Whether connections that listen for notifications are never heard of again, of whatever age.
    deaf: bool,
}

/// A network between the service and its database.
pub struct Proxy {
    address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    swallowing: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts one in front of the server that listens on `socket`.
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let weather = Arc::new(watch::Sender::new(Weather { fair: true, age: 0, told: true, deaf: false }));
        let (seen, swallowing) = (Arc::clone(&weather), Arc::new(AtomicUsize::new(0)));
        let swallowed = Arc::clone(&swallowing);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, socket, age) = (seen.subscribe(), socket.clone(), seen.borrow().age);
                let swallowed = Arc::clone(&swallowed);
                tokio::spawn(async move {
                    let Ok(server) = UnixStream::connect(socket).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let loss = Loss::new(swallowed);
                    // Closed where the client speaks on a forgotten connection: so a network answers that does not know
                    // it. Or it does not even answer, until the client gives the connection up.
                    tokio::select! {
                        () = carry(from_client, to_server, seen.clone(), age, &loss) => {}
                        () = async {
                            carry(from_server, to_client, seen.clone(), age, &loss).await;
                            if seen.borrow().age != age {
                                std::future::pending::<()>().await;
                            }
                        } => {}
                    }
                });
            }
        });
        Self { address, weather, swallowing }
    }

    /// The URL of the database behind it.
    pub fn url(&self) -> String {
        format!("postgres://almanac@{}/almanac", self.address)
    }

    /// From now on nothing gets through.
    pub fn part(&self) {
        self.weather.send_modify(|weather| weather.fair = false);
    }

    /// Everything goes on where it stood.
    pub fn heal(&self) {
        self.weather.send_modify(|weather| weather.fair = true);
    }

    /// New connections are served. Those that stood are forgotten: whoever waits for an answer waits for ever, whoever
    /// speaks is told.
    pub fn heal_and_forget(&self) {
        self.weather.send_modify(|weather| {
            *weather = Weather { age: weather.age + 1, told: true, fair: true, ..*weather }
        });
    }

    /// New connections are served. Those that stood stay open and swallow whatever is said on them, for ever.
    pub fn heal_and_swallow(&self) {
        self.weather.send_modify(|weather| {
            *weather = Weather { age: weather.age + 1, told: false, fair: true, ..*weather }
        });
    }

    /// Connections that listen for notifications swallow whatever is said on them, for as long as it is true; all others
    /// are served.
    pub fn deafen(&self, deaf: bool) {
        self.weather.send_modify(|weather| weather.deaf = deaf);
    }

    /// How many connections stand on which something was lost for good.
    pub fn swallowing(&self) -> usize {
        self.swallowing.load(Ordering::SeqCst)
    }
}

/// Counts a connection from the first byte it has lost until it is closed.
struct Loss {
    swallowing: Arc<AtomicUsize>,
    suffered: AtomicUsize,
    listens: AtomicBool,
}

impl Loss {
    fn new(swallowing: Arc<AtomicUsize>) -> Self {
        Self { swallowing, suffered: AtomicUsize::new(0), listens: AtomicBool::new(false) }
    }

    /// Whether a listening connection has become deaf; what is said now may be what makes it listen.
    fn is_deaf(&self, weather: Weather, said: &[u8]) -> bool {
        let deaf = weather.deaf && self.listens.load(Ordering::SeqCst);
        if said.windows(6).any(|word| word == b"LISTEN") {
            self.listens.store(true, Ordering::SeqCst);
        }
        deaf
    }

    fn suffer(&self) {
        if self.suffered.fetch_add(1, Ordering::SeqCst) == 0 {
            self.swallowing.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        if self.suffered.load(Ordering::SeqCst) > 0 {
            self.swallowing.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    age: u64,
    loss: &Loss,
) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        if weather.wait_for(|now| now.fair || now.age != age).await.is_err() || read == 0 {
            return;
        }
        let now = *weather.borrow();
        if loss.is_deaf(now, &bytes[..read]) {
            loss.suffer();
        } else if now.age == age {
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        } else if now.told {
            return;
        } else {
            loss.suffer();
        }
    }
}
