//! The command line: what a script sees.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use almanac_tests::{Folder, binary};
use serde_json::Value;

fn almanac(data_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env("ALMANAC_DATA_DIR", data_dir)
        .env("ALMANAC_MODE", "replayed")
        .env("ALMANAC_FAMILY", "ridge")
        .output()
        .expect("the binary runs")
}

fn json_of(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
}

fn refusal_of(output: &Output) -> String {
    assert!(!output.status.success(), "this should have been refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn simulated_prices_go_in_and_predictions_come_out() {
    let (folder, market) = (Folder::new("cli"), Folder::new("cli-market"));
    let to = market.path().to_str().expect("a readable path");
    let simulated = almanac(
        folder.path(),
        &["simulate", "--instruments", "6", "--years", "3", "--seed", "7", "--out", to],
    );
    assert!(simulated.status.success(), "{}", String::from_utf8_lossy(&simulated.stderr));
    let bars = market.path().join("bars.csv");
    let ingested = json_of(&almanac(folder.path(), &["ingest", bars.to_str().expect("readable"), "--json"]));
    assert_eq!(ingested["recorded"][0]["instruments"], 6);
    let again = json_of(&almanac(folder.path(), &["ingest", bars.to_str().expect("readable"), "--json"]));
    assert_eq!(again["known_already"], true, "the same file again changes nothing: {again}");

    let trained = json_of(&almanac(folder.path(), &["train", "--json"]));
    assert_eq!(trained["version"], 1);
    assert!(trained["verdicts"].as_array().is_some_and(|verdicts| verdicts.len() == 3), "{trained}");
    let report = market.path().join("report.html");
    let evaluate = ["evaluate", "--version", "1", "--json", "--report", report.to_str().expect("readable")];
    let evaluated = json_of(&almanac(folder.path(), &evaluate));
    assert_eq!(evaluated["verdicts"], trained["verdicts"], "the same plan on the same data");
    let page = std::fs::read_to_string(&report).expect("the report");
    assert!(
        page.contains("<svg")
            && page.contains("us-daily as version 1 was trained")
            && !page.contains("<script")
    );
    let unknown = refusal_of(&almanac(folder.path(), &["evaluate", "--version", "2"]));
    assert!(unknown.contains("`us-daily` has no version 2"), "evaluating registered a version: {unknown}");
    let unknown = refusal_of(&almanac(folder.path(), &["evaluate", "--family", "prophet"]));
    assert!(unknown.contains("family"), "{unknown}");

    let predicted = json_of(&almanac(folder.path(), &["predict", "--json"]));
    let (published, abstained) = (predicted["published"].as_u64(), predicted["abstained"].as_u64());
    assert_eq!(published.zip(abstained).map(|(published, abstained)| published + abstained), Some(18));
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let (folder, files) = (Folder::new("cli-bad"), Folder::new("cli-bad-files"));
    let good = {
        let mut text = String::from("symbol,date,open,high,low,close,volume\n");
        for day in 2..=5 {
            let _infallible = writeln!(text, "ABC,2024-01-{day:02},10,11,9,10.5,1000");
        }
        text
    };
    for (name, text, words) in [
        ("no-close.csv", "symbol,date,open,high,low,volume\nABC,2024-01-02,1,1,1,5\n".to_owned(), "close"),
        ("empty.csv", String::new(), "empty"),
        ("page.csv", "<!DOCTYPE html><html><body>Not found</body></html>".to_owned(), "html"),
    ] {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("written");
        let output = almanac(folder.path(), &["ingest", path.to_str().expect("readable"), "--json"]);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "{name} is refused: {said}");
        assert!(said.to_lowercase().contains(words), "{name}: {said}");
    }
    let path = files.path().join("good.csv");
    std::fs::write(&path, good.replace("2024-01-04,10,11,9", "2024-01-04,10,9,11")).expect("written");
    let report = json_of(&almanac(folder.path(), &["ingest", path.to_str().expect("readable"), "--json"]));
    assert_eq!(report["recorded"][0]["rows"], 3, "good rows are kept: {report}");
    assert_eq!(report["recorded"][0]["quarantined"], 1);
    assert!(report.to_string().contains("high_below_low"), "{report}");
    let too_early = refusal_of(&almanac(folder.path(), &["train"]));
    assert!(!too_early.is_empty() && !too_early.contains("panicked"), "{too_early}");
}

#[test]
fn an_unknown_setting_is_refused_by_name() {
    let folder = Folder::new("cli-config");
    std::fs::write(folder.path().join("almanac.toml"), "lisen = \"127.0.0.1:1\"\n").expect("written");
    let said = refusal_of(&almanac(folder.path(), &["check-config"]));
    assert!(said.contains("lisen") && said.contains("listen"), "{said}");
}

#[test]
fn the_committed_openapi_document_is_the_one_the_binary_prints() {
    let folder = Folder::new("cli-openapi");
    let printed = almanac(folder.path(), &["openapi"]);
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
    let committed = std::fs::read_to_string(committed).expect("openapi/openapi.json");
    assert_eq!(String::from_utf8_lossy(&printed.stdout), committed, "run `make generate`");
}
