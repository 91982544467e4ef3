//! A small mail server on loopback that speaks SMTP (RFC 5321) and misbehaves on request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What the server does with the next mail it is offered.
#[derive(Debug, Clone, Copy)]
pub enum Reaction {
    /// Answers RCPT with this line.
    AnswerRecipient(&'static str),
    /// Takes the mail, and answers this line after its end.
    AnswerMail(&'static str),
    /// Takes the mail, then drops the connection without an answer.
    DropAfterData,
    /// Takes the mail and never answers.
    HoldAfterData,
}

/// A mail the server has taken.
#[derive(Debug, Clone)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    pub message: String,
}

impl Taken {
    /// A header, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.message.split("\r\n\r\n").next()?.replace("\r\n ", " ");
        head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }

    /// The message with quoted-printable undone, so that its words can be found.
    pub fn readable(&self) -> String {
        let bytes = self.message.replace("=\r\n", "").into_bytes();
        let (mut plain, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
            match (bytes[at], hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
                (b'=', Some(byte)) => {
                    plain.push(byte);
                    at += 3;
                }
                (byte, _) => {
                    plain.push(byte);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&plain).into_owned()
    }
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Reaction>>,
    taken: Mutex<Vec<Taken>>,
    commands: Mutex<Vec<String>>,
    held: Notify,
}

/// The server; dropping it closes its port.
pub struct MailServer {
    pub port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl MailServer {
    /// A server that greets with these extensions, such as `AUTH PLAIN`.
    pub async fn start(extensions: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // A client that goes away ends its conversation, which is no failure of the server.
                tokio::spawn(async move { drop(converse(stream, &state, extensions).await) });
            }
        });
        Self { port, state, task }
    }

    /// What it does with the mails to come; after that it takes them.
    pub fn will(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.state.script.lock().unwrap().extend(reactions);
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap().clone()
    }

    /// Every command it was given, first words only.
    pub fn commands(&self) -> Vec<String> {
        self.state.commands.lock().unwrap().clone()
    }

    /// Until it has taken a mail it will not answer.
    pub async fn held(&self) {
        self.state.held.notified().await;
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(stream: TcpStream, state: &State, extensions: &[&str]) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.test ESMTP\r\n").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        state.commands.lock().unwrap().push(command.clone());
        let path = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer = match command.as_str() {
            "EHLO" => {
                let offered: Vec<String> = extensions.iter().map(|name| format!("250-{name}\r\n")).collect();
                format!("250-mail.test\r\n{}250 8BITMIME", offered.concat())
            }
            "AUTH" => "535 5.7.8 wrong name or password".to_owned(),
            // It says yes, and then talks on in the clear: an attacker who strips the encryption.
            "STARTTLS" => "220 go ahead\r\n250 not encrypted at all".to_owned(),
            "MAIL" => {
                (from, to) = (path(), Vec::new());
                "250 ok".to_owned()
            }
            "RCPT" => {
                let mut script = state.script.lock().unwrap();
                if let Some(Reaction::AnswerRecipient(answer)) = script.front().copied() {
                    script.pop_front();
                    answer.to_owned()
                } else {
                    to.push(path());
                    "250 ok".to_owned()
                }
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut message = Vec::new();
                while !message.ends_with(b"\r\n.\r\n") {
                    message.push(stream.read_u8().await?);
                }
                let message = String::from_utf8_lossy(&message[..message.len() - 3]).into_owned();
                let reaction = state.script.lock().unwrap().pop_front();
                if !matches!(reaction, Some(Reaction::AnswerMail(_))) {
                    let mail = Taken { from: from.clone(), to: to.clone(), message };
                    state.taken.lock().unwrap().push(mail);
                }
                match reaction {
                    None | Some(Reaction::AnswerRecipient(_)) => "250 taken".to_owned(),
                    Some(Reaction::AnswerMail(answer)) => answer.to_owned(),
                    Some(Reaction::DropAfterData) => return Ok(()),
                    Some(Reaction::HoldAfterData) => {
                        state.held.notify_one();
                        stream.read_line(&mut line).await?;
                        return Ok(());
                    }
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}
