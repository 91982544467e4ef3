//! The real binary in a real process: started, killed at any instant, started again.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// A folder of a test's own, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder that any user may enter: PostgreSQL runs as somebody else when the tests run as root.
    pub fn new(name: &str) -> Self {
        Self::at(&std::env::temp_dir().join(format!("almanac-test-{name}-{}", std::process::id())))
    }

    /// The same at a place of the caller's choice.
    pub fn at(path: &Path) -> Self {
        let path = path.to_owned();
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
    errors: Option<JoinHandle<String>>,
    /// Where it listens, such as `http://127.0.0.1:40321`.
    pub address: String,
    /// The e-mail addresses and passwords it printed, the administrator's last.
    pub sign_ins: Vec<(String, String)>,
}

impl Almanac {
    /// Starts `almanac <arguments>` and waits until it has printed its address and, as the demo does, its sign-ins.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        // Only the demo prints sign-ins in this form.
        let many = if arguments.first() == Some(&"demo") { 2 } else { 0 };
        Self::ready_with(many, arguments, environment)
    }

    /// The same for a process that may die before; none when it has.
    pub fn try_start(arguments: &[&str], environment: &[(&str, &str)]) -> Option<Self> {
        match Self::once_ready(2, arguments, environment) {
            Ok(almanac) => Some(almanac),
            // A signal: it was to die. Whoever gives up by itself has failed.
            Err((status, _)) if status.code().is_none() => None,
            Err((status, said)) => panic!("almanac ended with {status}:\n{said}"),
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it was started").is_some()
    }

    /// Starts `almanac serve` with these roles on the database at `url`, all nodes on one data folder.
    pub fn node(url: &str, folder: &Folder, roles: &str, environment: &[(&str, &str)]) -> Self {
        Self::node_in(url, folder.path(), roles, environment)
    }

    /// The same by the path of the folder.
    pub fn node_in(url: &str, folder: &Path, roles: &str, environment: &[(&str, &str)]) -> Self {
        let (arguments, environment) = of_node(url, folder, roles, environment);
        Self::ready_with(0, &arguments, &environment)
    }

    /// Starts `almanac serve` with a database of its own in `folder`.
    pub fn own(folder: &Folder) -> Self {
        let path = folder.path().to_str().expect("a readable path");
        Self::ready_with(0, &["serve", "--data-dir", path, "--listen", "127.0.0.1:0"], &[])
    }

    /// The same as [`Almanac::node`] for a node that is to die by itself, and waits until it has.
    pub fn doomed_node(url: &str, folder: &Folder, roles: &str, environment: &[(&str, &str)]) {
        let (arguments, environment) = of_node(url, folder.path(), roles, environment);
        let mut child = spawn(&arguments, &environment);
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("it was started").is_none() {
            if Instant::now() > deadline {
                let _dead = child.kill();
                let _reaped = child.wait();
                panic!("it lives on after {PATIENCE:?}: {environment:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        let _cut_off = child.stderr.take().expect("piped").read_to_string(&mut said);
        let status = child.wait().expect("it is gone");
        assert_eq!(status.code(), None, "it was to be killed, and ended with {status}: {said}");
    }

    fn ready_with(many: usize, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::once_ready(many, arguments, environment)
            .unwrap_or_else(|(_, said)| panic!("almanac did not get ready:\n{said}"))
    }

    /// Waits until it is ready; otherwise how it ended and what it said.
    fn once_ready(
        many: usize,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, (ExitStatus, String)> {
        let mut child = spawn(arguments, environment);
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
                if Instant::now() >= deadline {
                    let _dead = child.kill();
                }
                let status = child.wait().expect("it is gone");
                return Err((status, errors.join().unwrap_or_default()));
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            address =
                address.or(words.iter().find(|word| word.starts_with("http://")).map(ToString::to_string));
            if let [.., email, "password", password] = words.as_slice() {
                sign_ins.push(((*email).to_owned(), (*password).to_owned()));
            }
            if let Some(address) = address.as_ref().filter(|_| sign_ins.len() >= many) {
                return Ok(Self { address: address.clone(), child, errors: Some(errors), sign_ins });
            }
        }
    }

    /// Waits until it has ended by itself, and gives what it wrote to standard error.
    pub fn last_words(mut self) -> String {
        let _status = self.child.wait().expect("it is gone");
        self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default()
    }

    /// The administrator's e-mail address and password.
    pub fn administrator(&self) -> (&str, &str) {
        let (email, password) = self.sign_ins.last().expect("the demo prints its sign-ins");
        (email, password)
    }

    /// Kills it without a word, as a power cut would.
    pub fn kill(mut self) {
        // It may have ended by itself a moment ago.
        let _gone = self.child.kill();
        self.child.wait().expect("it is gone");
    }

    /// Waits until it has died by itself.
    ///
    /// # Panics
    /// When it lives longer than [`PATIENCE`].
    pub async fn dies(mut self) {
        let began = Instant::now();
        while self.child.try_wait().expect("it can be asked").is_none() {
            assert!(began.elapsed() < PATIENCE, "it lives");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks it to stop, as an operator would, and waits until it has; true when it ended well.
    pub fn stop(mut self) -> bool {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(asked.success());
        self.child.wait().expect("it is gone").success()
    }
}

fn spawn(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    Command::new(binary())
        .args(arguments)
        .env_remove("DATABASE_URL")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

type Words<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>);

fn of_node<'a>(
    url: &'a str,
    folder: &'a Path,
    roles: &'a str,
    environment: &[(&'a str, &'a str)],
) -> Words<'a> {
    let path = folder.to_str().expect("a readable path");
    let arguments = vec!["serve", "--data-dir", path, "--listen", "127.0.0.1:0", "--roles", roles];
    (arguments, [&[("DATABASE_URL", url)], environment].concat())
}

impl Drop for Almanac {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
