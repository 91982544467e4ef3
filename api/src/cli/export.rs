//! `almanac export`: the sealed log as files.

use std::path::Path;

use almanac_store::archive::{ExportWish, Exported, Format, Progress, export, export_to};
use clap::Args;
use clap::builder::RangedI64ValueParser;
use serde_json::json;

use super::logs::{Reached, Staging, bar, failure, show, storage};
use super::{Failure, Place, say, say_json};

/// Writes the sealed log into a folder, or goes on with the export that is there. Ends with 1 where an event is not what
/// was sealed, with 2 where the export could not be made.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    place: Place,
    /// Where to: a folder, or a place in object storage (s3://, gs://, az://, file://).
    #[arg(value_name = "DIR|URL")]
    to: String,
    /// How events are written: jsonl or parquet [default: as in the folder, or jsonl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The first event to export [default: as in the folder, or 1]
    #[arg(long, value_name = "ORDINAL", value_parser = RangedI64ValueParser::<i64>::new().range(1..))]
    from: Option<i64>,
    /// Print the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (config, _) = self.place.config(vec![])?;
        let reached = Reached::as_it_is(&config).await?;
        let bar = bar(self.json);
        bar.set_message("exporting");
        let wish = ExportWish { format: self.format, from: self.from, ..ExportWish::default() };
        let mut shown = |progress: Progress| {
            show(&bar, progress.done.unsigned_abs(), progress.of.unsigned_abs());
        };
        let done = match storage(&self.to, &config)? {
            Some(objects) => {
                let staging = Staging::new(&config)?;
                export_to(&reached.database, &objects, staging.folder(), &wish, &mut shown).await
            }
            None => export(&reached.database, Path::new(&self.to), &wish, &mut shown).await,
        };
        bar.finish_and_clear();
        reached.leave().await?;
        self.tell(&done.map_err(failure)?)
    }

    fn tell(&self, done: &Exported) -> Result<(), Failure> {
        let Exported { manifest, events, bytes, checkpoints } = done;
        let folder = &self.to;
        if self.json {
            return say_json(&json!({
                "folder": folder,
                "format": manifest.format,
                "first": manifest.after.size + 1,
                "size": manifest.head.size,
                "root": manifest.head.root,
                "segments": manifest.segments.len(),
                "checkpoints": checkpoints,
                "verifier_key": manifest.verifier_key,
                "exported": { "events": events, "bytes": bytes },
            }));
        }
        let root = hex::encode(manifest.head.root.0);
        say(&format!("{events} events exported into {folder} ({} MB)", bytes.div_ceil(1_000_000)))?;
        say(&format!(
            "It holds the log up to event {}, root {root}, {checkpoints} checkpoints",
            manifest.head.size
        ))?;
        say(
            "Personal data, claims and objects are not in the log: keep a copy of the database and of object storage too",
        )
    }
}
