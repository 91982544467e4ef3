//! A small HTTP receiver on loopback that misbehaves on request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the receiver does with every request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers this, head and body as they stand, and closes the connection.
    Answer(String),
    /// Takes the request and never answers.
    BlackHole,
    /// Takes the connection and says nothing, not even a TLS handshake.
    Mute,
    /// Answers one byte of the head after the other, a long time apart.
    SlowLoris,
    /// Answers 200 with a body that never ends.
    EndlessBody,
    /// Answers 200 with this many headers.
    Headers(usize),
}

impl Behaviour {
    /// Answers with this status, these headers (each ending in a line break) and a short body.
    pub fn status(status: &str, headers: &str) -> Self {
        Self::Answer(format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: 5\r\nconnection: close\r\n\r\nnoted"
        ))
    }
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    pub fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }
}

struct State {
    behaviour: Mutex<Behaviour>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
}

/// The receiver; dropping it closes its port.
pub struct Receiver {
    pub port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (behaviour, requests) = (Mutex::new(behaviour), Mutex::default());
        let state = Arc::new(State { behaviour, requests, connections: AtomicUsize::new(0) });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&shared);
                // A client that goes away ends its conversation, which is no failure of the receiver.
                tokio::spawn(async move { drop(serve(stream, &state).await) });
            }
        });
        Self { port, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks", self.port)
    }

    pub fn will(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let behaviour = state.behaviour.lock().unwrap().clone();
    let mut stream = BufReader::new(stream);
    if matches!(behaviour, Behaviour::Mute) {
        return std::future::pending().await;
    }
    let request = read(&mut stream).await?;
    state.requests.lock().unwrap().push(request);
    match behaviour {
        Behaviour::Answer(answer) => stream.write_all(answer.as_bytes()).await,
        Behaviour::BlackHole | Behaviour::Mute => std::future::pending().await,
        Behaviour::SlowLoris => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        Behaviour::EndlessBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'a'; 4096]).await?;
            }
        }
        Behaviour::Headers(count) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            for number in 0..count {
                stream.write_all(format!("x-{number}: y\r\n").as_bytes()).await?;
            }
            stream.write_all(b"\r\n").await
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    let length = headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Request { path, headers, body })
}
