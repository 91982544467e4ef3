//! The real binary in a real process: started, killed at any instant, started again.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A folder of a test's own, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder that any user may enter: PostgreSQL runs as somebody else when the tests run as root.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("almanac-test-{name}-{}", std::process::id()));
        let _absent = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder in the temporary folder");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary under test, beside the test binaries.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().nth(2).expect("target/<profile>/deps/test");
    let binary = folder.join("almanac");
    assert!(binary.exists(), "{} is missing: run `cargo build --workspace --all-targets`", binary.display());
    binary
}

/// A running `almanac`.
pub struct Almanac {
    child: Child,
    /// Where it listens, such as `http://127.0.0.1:40321`.
    pub address: String,
    /// The e-mail addresses and passwords it printed, the administrator's last.
    pub sign_ins: Vec<(String, String)>,
}

impl Almanac {
    /// Starts `almanac <arguments>` and waits until it has printed its address and, as the demo does, its sign-ins.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary())
            .args(arguments)
            .env_remove("DATABASE_URL")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (said, hear) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _nobody_listens = said.send(line);
            }
        });
        let mut stderr = child.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _cut_off = stderr.read_to_string(&mut text);
            text
        });
        let deadline = Instant::now() + Duration::from_secs(90);
        let (mut address, mut sign_ins) = (None, vec![]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = hear.recv_timeout(left) else {
                let _dead = child.kill();
                let _reaped = child.wait();
                panic!("almanac did not get ready:\n{}", errors.join().unwrap_or_default());
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            address =
                address.or(words.iter().find(|word| word.starts_with("http://")).map(ToString::to_string));
            if let [.., email, "password", password] = words.as_slice() {
                sign_ins.push(((*email).to_owned(), (*password).to_owned()));
            }
            if let (Some(address), 2..) = (&address, sign_ins.len()) {
                return Self { address: address.clone(), child, sign_ins };
            }
        }
    }

    /// The administrator's e-mail address and password.
    pub fn administrator(&self) -> (&str, &str) {
        let (email, password) = self.sign_ins.last().expect("the demo prints its sign-ins");
        (email, password)
    }

    /// Kills it without a word, as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it is gone");
    }

    /// Asks it to stop, as an operator would, and waits until it has; true when it ended well.
    pub fn stop(mut self) -> bool {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(asked.success());
        self.child.wait().expect("it is gone").success()
    }
}

impl Drop for Almanac {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
