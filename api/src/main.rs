//! The one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    almanac_api::cli::run()
}
