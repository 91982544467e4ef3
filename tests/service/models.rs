//! `almanac model`: versions looked at, decided about, trained again, and brought in from elsewhere.

use std::path::Path;
use std::process::{Command, Output};

use almanac_tests::{Folder, binary};
use serde_json::Value;

fn almanac(program: &[&str], data_dir: &Path, arguments: &[&str]) -> Output {
    let mut words = program.iter().map(ToString::to_string).chain([binary().display().to_string()]);
    Command::new(words.next().expect("a program"))
        .args(words)
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env("ALMANAC_DATA_DIR", data_dir)
        .env("ALMANAC_MODE", "replayed")
        .env("ALMANAC_FAMILY", "ridge")
        .output()
        .expect("the binary runs")
}

/// Runs a verb that ends with this code; what it said last, and what it said on standard error.
fn ends_with(code: i32, folder: &Folder, arguments: &[&str]) -> (String, String) {
    said(code, &almanac(&[], folder.path(), arguments), arguments)
}

fn said(code: i32, output: &Output, arguments: &[&str]) -> (String, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    (text, errors)
}

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let (text, _) = ends_with(0, folder, &[arguments, &["--json"]].concat());
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ml/tests/fixtures/onnx").join(name);
    path.to_str().expect("a readable path").to_owned()
}

/// Six invented companies over three years, and two versions of which the second has another seed.
fn two_versions(name: &str) -> Folder {
    let (folder, market) = (Folder::new(name), Folder::new(&format!("{name}-market")));
    let to = market.path().to_str().expect("a readable path");
    ends_with(0, &folder, &["simulate", "--instruments", "6", "--years", "3", "--seed", "7", "--out", to]);
    ends_with(0, &folder, &["ingest", market.path().join("bars.csv").to_str().expect("readable")]);
    ends_with(0, &folder, &["train"]);
    ends_with(0, &folder, &["train", "--seed", "9"]);
    folder
}

#[test]
fn versions_are_listed_compared_promoted_and_rolled_back_and_refusals_end_with_one() {
    let folder = two_versions("model-verbs");
    let listed = json(&folder, &["model", "list"]);
    assert_eq!((&listed[0]["name"], &listed[0]["champion"]), (&"us-daily".into(), &1.into()));
    assert_eq!(listed[0]["versions"].as_array().map(Vec::len), Some(2));
    let (table, _) = ends_with(0, &folder, &["model", "list"]);
    assert!(table.starts_with("us-daily: version 1 publishes\nVERSION  STATUS"), "{table}");

    let (shown, _) = ends_with(0, &folder, &["model", "show", "2"]);
    for words in ["family.alpha 1000.0", "x86-64-v", "rmse_return", "ModelVersionRegistered"] {
        assert!(shown.contains(words) || std::env::consts::ARCH != "x86_64", "{words}: {shown}");
    }
    let compared = json(&folder, &["model", "compare", "1", "2"]);
    assert_eq!(compared["same_data"], true);
    assert!(compared["evaluated"].as_array().is_some_and(|pairs| pairs.len() >= 26), "{compared}");
    ends_with(0, &folder, &["model", "compare", "1", "2"]);

    // The gate has put it on trial by itself.
    json(&folder, &["model", "trial", "close", "--reason", "a person wants to see it"]);
    let on_trial = json(&folder, &["model", "trial", "open", "2", "--reason", "another seed"]);
    let trials = json(&folder, &["model", "trial", "list"]);
    assert_eq!(
        (&trials[0]["id"], &trials[0]["opened_by"]),
        (&on_trial["id"], &"operator".into()),
        "{trials}"
    );
    let (_, refused) = ends_with(1, &folder, &["model", "trial", "open", "2", "--reason", "twice"]);
    assert!(refused.contains("stays as it is"), "{refused}");
    json(&folder, &["model", "trial", "close", "--reason", "enough"]);
    let (_, refused) = ends_with(1, &folder, &["model", "trial", "close", "--reason", "twice"]);
    assert!(refused.contains("no version of us-daily is on trial"), "{refused}");

    let decided = json(&folder, &["model", "promote", "2", "--reason", "another seed"]);
    assert_eq!(decided["champion"], 2);
    let (_, refused) = ends_with(1, &folder, &["model", "promote", "2", "--reason", "again"]);
    assert!(refused.contains("version 2 is the champion already"), "{refused}");
    let (_, refused) = ends_with(1, &folder, &["model", "retire", "2", "--reason", "old"]);
    assert!(refused.contains("promote another version first"), "{refused}");
    let shown = json(&folder, &["model", "show", "2"]);
    assert_eq!(
        shown["timeline"].as_array().and_then(|timeline| timeline.last()).map(|last| &last["by"]),
        Some(&"operator".into()),
        "{shown}"
    );
    assert_eq!(json(&folder, &["model", "rollback", "--reason", "back"])["champion"], 1);
    json(&folder, &["model", "quarantine", "2", "--reason", "not to be trusted"]);
    let (_, refused) = ends_with(1, &folder, &["model", "quarantine", "2", "--reason", "again"]);
    assert!(refused.contains("version 2 is in quarantine until a person"), "{refused}");
    let decided = json(&folder, &["model", "promote", "2", "--reason", "it is understood by now"]);
    assert_eq!(decided["champion"], 2, "a person may: {decided}");
    json(&folder, &["model", "rollback", "--reason", "back once more"]);
    json(&folder, &["model", "retire", "2", "--reason", "for good"]);
    let (_, refused) = ends_with(1, &folder, &["model", "promote", "2", "--reason", "after all"]);
    assert!(refused.contains("version 2 is no longer in service"), "{refused}");
    let (_, refused) = ends_with(1, &folder, &["model", "show", "7"]);
    assert!(refused.contains("the model us-daily has no version 7"), "{refused}");
    ends_with(2, &folder, &["model", "promote", "2", "--reason", ""]);
}

#[test]
fn family_and_horizons_are_chosen_on_the_command_line_and_only_those_there_are() {
    let (folder, market) = (Folder::new("model-plan"), Folder::new("model-plan-market"));
    let to = market.path().to_str().expect("a readable path");
    ends_with(0, &folder, &["simulate", "--instruments", "6", "--years", "3", "--seed", "7", "--out", to]);
    ends_with(0, &folder, &["ingest", market.path().join("bars.csv").to_str().expect("readable")]);
    let plan = ["--family", "drift", "--horizon", "5", "--horizon", "1", "--horizon", "5"];
    let trained = json(&folder, &[&["train"], plan.as_slice()].concat());
    assert_eq!(trained["verdicts"].as_array().map(Vec::len), Some(2), "{trained}");
    let version = &json(&folder, &["model", "show", "1"])["version"];
    assert_eq!((&version["family"], &version["horizons"]), (&"drift".into(), &serde_json::json!([1, 5])));
    let evaluated = json(&folder, &["evaluate", "--family", "instrument_drift", "--horizon", "3"]);
    assert_eq!(
        (&evaluated["plan"]["family"], &evaluated["plan"]["horizons"]),
        (&"instrument_drift".into(), &serde_json::json!([3]))
    );
    let usual = json(&folder, &["evaluate", "--horizon", "1"]);
    assert_eq!(usual["plan"]["family"], "ridge", "the configured one: {usual}");

    for verb in ["train", "evaluate"] {
        let (help, _) = ends_with(0, &folder, &[verb, "--help"]);
        assert!(help.contains("--horizon <SESSIONS>") && help.contains("instrument_drift"), "{help}");
        for (flag, value, words) in [
            ("--family", "prophet", "[possible values: zero, drift, "),
            ("--family", "onnx", "invalid value 'onnx'"),
            ("--horizon", "0", "invalid value '0' for '--horizon <SESSIONS>'"),
            ("--horizon", "61", "invalid value '61'"),
            ("--horizon", "a week", "a horizon is a number of sessions"),
        ] {
            let (_, refused) = ends_with(2, &folder, &[verb, flag, value]);
            assert!(refused.contains(words), "{verb} {flag} {value}: {refused}");
        }
    }
    let (_, refused) = ends_with(2, &folder, &["evaluate", "--version", "1", "--horizon", "1"]);
    assert!(refused.contains("cannot be used with"), "{refused}");
    let listed = json(&folder, &["model", "list"]);
    assert_eq!(listed[0]["versions"].as_array().map(Vec::len), Some(1), "nothing else was registered");
}

#[test]
fn a_version_is_trained_again_to_the_same_bytes_on_one_processor_core_as_on_many() {
    let folder = two_versions("model-rebuild");
    let report = json(&folder, &["model", "rebuild", "1"]);
    assert_eq!(report["outcome"], "same_bytes", "{report}");
    assert_eq!(report["artefact"], report["artefact_again"]);
    assert!(report["bars"].as_u64().is_some_and(|bars| bars > 3000), "{report}");
    let arguments = ["model", "rebuild", "2"];
    let on_one = almanac(&["taskset", "-c", "0"], folder.path(), &arguments);
    let (text, _) = said(0, &on_one, &arguments);
    assert!(text.starts_with("same bytes: version 2 trained again from "), "{text}");
    let (_, refused) = ends_with(1, &folder, &["model", "rebuild", "9"]);
    assert!(refused.contains("the model us-daily has no version 9"), "{refused}");

    // A batch that is gone cannot be made up for, and the verb says that it could not do its work.
    let bars = folder.path().join("objects/bars");
    let object = std::fs::read_dir(&bars).expect("objects").next().expect("one").expect("readable").path();
    std::fs::rename(&object, folder.path().join("kept")).expect("moved");
    let (_, errors) = ends_with(2, &folder, &["model", "rebuild", "1"]);
    assert!(errors.contains("missing from object storage"), "{errors}");
}

#[test]
fn a_model_of_python_is_brought_in_promoted_used_and_made_again() {
    let folder = two_versions("model-import");
    let listed = json(&folder, &["model", "list"]);
    let last = listed[0]["versions"][0]["trained_through"].as_str().expect("a session");
    let (year, day) = last.split_once('-').expect("a date");
    let year: i32 = year.parse().expect("a year");
    let through = format!("{}-{day}", year - 1);
    let (one, five) = (fixture("lightgbm.onnx"), fixture("scaled_elastic_net.onnx"));
    let import = [
        "model",
        "import-onnx",
        &one,
        &five,
        "--horizon",
        "1",
        "--horizon",
        "5",
        "--trained-through",
        &through,
    ];
    let report = json(&folder, &import);
    assert_eq!((&report["version"], &report["repeated"]), (&3.into(), &false.into()));
    assert!(report["scored_from"].as_str() > Some(&through), "{report}");
    assert_eq!(report["suspicions"].as_array().map(Vec::len), Some(0), "{report}");
    assert_eq!(json(&folder, &import)["repeated"], true, "the same files are the same version");
    let version = &json(&folder, &["model", "show", "3"])["version"];
    assert_eq!((&version["status"], &version["family"]), (&"able".into(), &"onnx".into()));
    assert_eq!(
        (&version["origin"]["kind"], &version["origin"]["learnt_through"]),
        (&"imported".into(), &through.as_str().into())
    );

    json(&folder, &["model", "promote", "3", "--reason", "a test"]);
    let predicted = json(&folder, &["predict"]);
    assert_eq!(predicted["version"], 3, "{predicted}");
    assert!(predicted["published"].as_u64().is_some_and(|published| published > 0), "{predicted}");
    let report = json(&folder, &["model", "rebuild", "3"]);
    assert_eq!(report["outcome"], "same_bytes", "{report}");

    let (text, _) = ends_with(0, &folder, &["model", "import-onnx", &fixture("ridge.onnx")]);
    assert!(text.contains("as nobody says through when it was trained"), "{text}");
    let (_, refused) =
        ends_with(1, &folder, &["model", "import-onnx", &fixture("refused_custom_operator.onnx")]);
    assert!(refused.contains("the operation com.example.Forecast is not known here"), "{refused}");
    let (_, refused) =
        ends_with(1, &folder, &["model", "import-onnx", &fixture("refused_outside_data.onnx")]);
    assert!(refused.contains("lies in another file"), "{refused}");
    ends_with(2, &folder, &["model", "import-onnx", &fixture("no-such-file.onnx")]);
}
