//! `almanac simulate`: a seeded market as CSV, for whoever wants to try the service on files of their own.

use std::fs;
use std::path::{Path, PathBuf};

use almanac_domain::values::Session;
use almanac_ml::simulator::{MOST_COMPANIES, Market, Settings, csv};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde_json::json;

use super::{Failure, say, say_json};

/// Writes a simulated market as CSV. Its companies are invented; its prices are nobody's.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// How many companies.
    #[arg(long, default_value_t = 30, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST_COMPANIES as u64))]
    instruments: usize,
    /// How many years.
    #[arg(long, default_value_t = 6, value_parser = RangedU64ValueParser::<usize>::new().range(1..=50))]
    years: usize,
    /// The same seed gives the same market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder to write bars.csv, headlines.csv, actions.csv and instruments.csv into.
    #[arg(long, value_name = "DIR", default_value = "./simulated")]
    out: PathBuf,
    /// Print the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Simulate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let market = Market::new(&Settings::of_years(self.instruments, self.years, self.seed));
        let sessions: Vec<Session> = market.sessions().to_vec();
        fs::create_dir_all(&self.out).map_err(|error| at(&self.out, &error))?;
        for (name, text) in [
            ("bars.csv", csv::bars(&market, &sessions)),
            ("headlines.csv", csv::headlines(&market, &sessions)),
            ("actions.csv", csv::actions(&market, &sessions)),
            ("instruments.csv", csv::instruments(&market)),
        ] {
            let path = self.out.join(name);
            fs::write(&path, text).map_err(|error| at(&path, &error))?;
        }
        let (first, last) = (sessions.first(), sessions.last());
        if self.json {
            let folder = self.out.display().to_string();
            return say_json(
                &json!({ "folder": folder, "sessions": sessions.len(), "first": first, "last": last }),
            );
        }
        say(&format!(
            "A simulated market of {} companies over {} sessions is in {}",
            self.instruments,
            sessions.len(),
            self.out.display()
        ))
    }
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    format!("{}: {error}", path.display()).into()
}
