//! `almanac verify`: whether the log is what was sealed and published.

use std::fs;
use std::path::{Path, PathBuf};

use almanac_store::archive::{Archive, ArchiveError};
use almanac_store::transparency::verify::{self, Given, Report};
use almanac_store::transparency::{Evidence, VerifierKey};
use clap::Args;
use serde_json::{Value, json};

use super::logs::{Reached, Source, Tampering, bar, failure, show};
use super::outside::Outside;
use super::{Failure, Place, say, say_json};

/// Reads every event again and compares it with its digest, the tree over all of them, and the published heads, those in
/// object storage included. Read models, the vault and the outboxes are no part of the log and are not looked at. Ends
/// with 0 where everything is sound, with 1 where something was tampered with, with 2 where it could not be verified.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    place: Place,
    /// Verify an export instead of the database, in a folder or in object storage (s3://, gs://, az://, file://); needs no
    /// database.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "proof")]
    export: Option<String>,
    /// Verify the proof of a prediction, as the service gives it out; needs neither database nor configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint")]
    proof: Option<PathBuf>,
    /// The key that is trusted to sign heads of this log: NAME+HASH+KEY.
    #[arg(long, value_name = "VKEY")]
    key: Option<VerifierKey>,
    /// A signed head that was published: in a mail, an object, by the service. Can be given more than once.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Hold the log only against the heads and the key that its own database names, not against those in object storage and
    /// in the key file.
    #[arg(long, conflicts_with_all = ["export", "proof"])]
    database_only: bool,
    /// Print the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if let Some(proof) = &self.proof {
            return self.proof(proof);
        }
        let notes = self.checkpoint.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        let given = Given { key: self.key.clone(), notes };
        match &self.export {
            Some(place) => {
                let source = Source::open(place, &self.place).await?;
                self.export(source.folder(), given).await
            }
            None => self.database(given).await,
        }
    }

    async fn database(&self, given: Given) -> Result<(), Failure> {
        let (config, _) = self.place.config(vec![])?;
        let outside = if self.database_only { Outside::default() } else { Outside::of(&config).await };
        let Given { key, mut notes } = given;
        notes.extend(outside.heads.iter().cloned());
        let given = Given { key: key.or_else(|| outside.key.clone()), notes };
        let reached = Reached::as_it_is(&config).await?;
        let bar = bar(self.json);
        bar.set_message("verifying");
        let report = verify::database(&reached.database, given, |progress| {
            show(&bar, progress.done, progress.total.unwrap_or(progress.done));
        })
        .await;
        bar.finish_and_clear();
        reached.leave().await?;
        self.tell("database", 1, &report?, &[], &outside)
    }

    async fn export(&self, folder: &Path, given: Given) -> Result<(), Failure> {
        let archive = Archive::open(folder).map_err(failure)?;
        let manifest = archive.manifest();
        let (start, first) = (archive.start().map_err(failure)?, manifest.after.size + 1);
        let key = match (given.key, &manifest.verifier_key) {
            (None, Some(theirs)) => {
                Some(theirs.parse().map_err(|bad| Tampering(format!("the manifest: {bad}")))?)
            }
            (key, _) => key,
        };
        let given = Given { key, ..given };
        let (bar, of) = (bar(self.json), manifest.head.size.unsigned_abs());
        bar.set_message("verifying");
        let mut damages = damaged_files(&archive)?;
        let checkpoints = archive.checkpoints().map_err(failure)?;
        // Also what is in damaged files, to find the place.
        let batches = archive.batches_though_damaged();
        let report =
            verify::part(batches, start, given, checkpoints, |progress| show(&bar, progress.done, of)).await;
        bar.finish_and_clear();
        let report = match report {
            Ok(report) => report,
            Err(ArchiveError::Damaged(damage)) => {
                // The file is named by its place already.
                damages.retain(|named| !named.starts_with(&damage.file));
                damages.insert(0, damage.to_string());
                return self.unreadable(&damages);
            }
            Err(error) => return Err(failure(error)),
        };
        if report.root != manifest.head.root.0 {
            damages.push("manifest.json: the events do not have the root it names".to_owned());
        }
        self.tell("export", first, &report, &damages, &Outside::default())
    }

    /// Some event could not be read at all.
    fn unreadable(&self, damages: &[String]) -> Result<(), Failure> {
        if self.json {
            say_json(&json!({ "verified": "export", "sound": false, "damaged": damages }))?;
        }
        Err(Tampering(damages.join("; ")).into())
    }

    /// `first` is the first event that was read.
    fn tell(
        &self,
        verified: &str,
        first: i64,
        report: &Report,
        damages: &[String],
        outside: &Outside,
    ) -> Result<(), Failure> {
        let sound = report.is_sound() && damages.is_empty();
        let trusted = self.key.as_ref().or(outside.key.as_ref());
        if self.json {
            let mut said = serde_json::to_value(report)?;
            if let Value::Object(members) = &mut said {
                members.insert("verified".to_owned(), json!(verified));
                members.insert("first".to_owned(), json!(first));
                members.insert("sound".to_owned(), json!(sound));
                members.insert("damaged".to_owned(), json!(damages));
                members.insert("key_is_trusted".to_owned(), json!(trusted.is_some()));
                members.insert("heads_in_storage".to_owned(), json!(outside.heads.len()));
                members.insert("unheard".to_owned(), json!(outside.unheard));
            }
            say_json(&said)?;
        }
        if !sound {
            return Err(Tampering(words(report, damages)).into());
        }
        if self.json {
            return Ok(());
        }
        let (root, checked) = (hex::encode(report.root), report.checkpoints.checked);
        if first > 1 {
            say(&format!("The events {first} to {} are what was sealed; root {root}", report.events))?;
            say(
                "Those before are not in this export: they are known by their digests only, and were not read",
            )?;
        } else {
            say(&format!("{} events are what was sealed; root {root}", report.events))?;
        }
        for unheard in &outside.unheard {
            say(&format!("Not looked at: {unheard}"))?;
        }
        let from_storage = match outside.heads.len() {
            0 => String::new(),
            heads => format!(" ({heads} of them from object storage)"),
        };
        match (checked, trusted) {
            (0, _) if first > 1 => {
                say("No published head covers any of them: that they belong to the log cannot be shown")
            }
            (0, _) => say("No head of this log was published: that nothing was rewritten cannot be shown"),
            (_, Some(key)) => {
                say(&format!("{checked} published heads fit it{from_storage}, signed by {key}"))
            }
            (_, None) => say(&format!(
                "{checked} published heads fit it{from_storage}, signed by the key the log itself names: give the one you trust with --key"
            )),
        }
    }

    fn proof(&self, path: &Path) -> Result<(), Failure> {
        let evidence: Evidence = serde_json::from_str(&read(path)?)
            .map_err(|error| format!("{} is not a proof: {error}", path.display()))?;
        let proven = evidence.verify(self.key.as_ref());
        if self.json {
            say_json(&match &proven {
                Ok(proven) => json!({
                    "verified": "proof",
                    "sound": true,
                    "events": proven.events,
                    "size": proven.head.size,
                    "root": hex::encode(proven.head.root),
                    "key": proven.key,
                    "key_is_trusted": proven.key_is_trusted,
                }),
                Err(refused) => json!({ "verified": "proof", "sound": false, "reason": refused.to_string() }),
            })?;
        }
        let proven = proven.map_err(|refused| Tampering(refused.to_string()))?;
        if self.json {
            return Ok(());
        }
        say(&format!(
            "{} events are in the log of {} events that {} has signed",
            proven.events, proven.head.size, proven.key
        ))?;
        if !proven.key_is_trusted {
            say("That is the key the proof itself names: give the one you trust with --key")?;
        }
        Ok(())
    }
}

/// The segments whose bytes are not what was written.
fn damaged_files(archive: &Archive) -> Result<Vec<String>, Failure> {
    let mut damages = Vec::new();
    for segment in &archive.manifest().segments {
        match archive.check(segment) {
            Ok(()) => {}
            Err(ArchiveError::Damaged(damage)) => damages.push(damage.to_string()),
            Err(error) => return Err(failure(error)),
        }
    }
    Ok(damages)
}

/// What is wrong, on one line, the first place first.
fn words(report: &Report, damages: &[String]) -> String {
    let first = report.first_bad.iter().map(|bad| match bad.until {
        None => format!("event {}: {}", bad.ordinal, bad.what),
        Some(until) => format!("events {} to {until}: {}", bad.ordinal, bad.what),
    });
    let more = (report.flaw_count > 1).then(|| format!("{} flaws in all", report.flaw_count));
    let heads = report.checkpoints.failures.iter().take(3).map(|failure| {
        let size = failure.size.map(|size| format!(" of {size} events")).unwrap_or_default();
        format!("the published head{size}: {}", failure.reason)
    });
    first.chain(more).chain(heads).chain(damages.iter().cloned()).collect::<Vec<_>>().join("; ")
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
