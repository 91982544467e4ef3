//! Models made by Python give what ONNX Runtime gives; what is no such model is refused by name and never panics; and
//! one that is brought in is looked at like one that was trained here.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use almanac_ml::artefact::digest;
use almanac_ml::bars::decode_csv;
use almanac_ml::evaluation::Verdict;
use almanac_ml::models::{Fitted, Onnx, Spread};
use almanac_ml::simulator::{Market, Settings};
use almanac_ml::{
    Artefact, ArtefactError, ImportError, ImportSpec, Inputs, Outcome, Panel, Rules, Trained, forecast,
    import,
};
use chrono::NaiveDate;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    rows: Vec<Vec<f64>>,
    models: BTreeMap<String, Vec<f64>>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

fn expected() -> Expected {
    serde_json::from_slice(&fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

fn spread() -> Spread {
    Spread { mean: vec![0.0; 19], std: vec![1.0; 19] }
}

fn read(bytes: &[u8]) -> Result<Onnx, String> {
    Onnx::new(bytes.to_vec(), spread()).map_err(|error| error.to_string())
}

#[test]
fn models_of_scikit_learn_and_lightgbm_give_what_onnx_runtime_gives() {
    let Expected { rows, models } = expected();
    assert!(models.len() >= 16, "the fixtures are there");
    for (name, outcomes) in models {
        let onnx = read(&file(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        // ONNX Runtime adds numbers of 32 bits in an order of its own.
        let tolerance = if name.ends_with("_double") { 1e-12 } else { 1e-5 };
        for (row, expected) in rows.iter().zip(outcomes) {
            let found = onnx.predict(row);
            let difference = (found - expected).abs() / expected.abs().max(0.01);
            assert!(difference < tolerance, "{name}: {found} {expected}");
        }
    }
}

#[test]
fn rows_are_computed_as_if_each_were_alone_and_contributions_lead_there_from_the_mean() {
    let Expected { rows, models } = expected();
    let flat: Vec<f64> = rows.iter().flatten().copied().collect();
    for name in models.keys() {
        let onnx = read(&file(name)).unwrap();
        for (row, together) in rows.iter().zip(onnx.predict_rows(&flat, 19)) {
            assert_eq!(together.to_bits(), onnx.predict(row).to_bits(), "{name}");
        }
    }
    let (onnx, row) = (read(&file("ridge_double")).unwrap(), &rows[0]);
    let parts = onnx.contributions(row);
    let explained: f64 = parts.iter().sum();
    assert!((onnx.predict(row) - onnx.base() - explained).abs() < 1e-12, "a sum is explained in full");
}

#[test]
fn what_is_not_done_here_is_refused_by_its_name() {
    let reasons = [
        ("outside_data", "a constant lies in another file"),
        ("custom_operator", "the operation com.example.Forecast is not known here"),
        ("unknown_operator", "the operation LSTM is not known here"),
        ("later_operators", "version 99 of the operators of ai.onnx"),
        ("fixed_rows", "a fixed number of rows"),
        ("other_features", "it looks at 7 features, not at the 19 there are"),
        ("many_numbers", "it gives 19 numbers"),
        ("wide", "too many numbers"),
        ("graph_inside", "a node holds a graph"),
        ("tree_circle", "a tree"),
        ("tree_feature_beyond", "a tree looks at a feature there is not"),
        ("tree_nowhere", "a branch that leads nowhere"),
        ("tree_two_targets", "its trees give 2 numbers for a row"),
    ];
    for (name, reason) in reasons {
        let refused = read(&file(&format!("refused_{name}"))).expect_err(name);
        assert!(refused.contains(reason), "{name}: {refused}");
    }
    assert_eq!(read(b"\x80\x04\x95pickle").unwrap_err(), "the file is no ONNX model");
    assert_eq!(read(b"").unwrap_err(), "the file is no ONNX model");
}

#[test]
fn fault_31_cut_off_and_corrupt_files_are_refused_or_give_numbers_and_never_panic() {
    let row = &expected().rows[3];
    for name in ["ridge", "scaled_elastic_net_double", "network", "tree", "vote", "layers", "lightgbm_split"]
    {
        let whole = file(name);
        let forecast = read(&whole).unwrap().predict(row);
        for length in (0..whole.len()).step_by(whole.len() / 400 + 1) {
            // Between two fields at the end a file may be cut without a loss.
            if let Ok(onnx) = read(&whole[..length]) {
                assert_eq!(onnx.predict(row).to_bits(), forecast.to_bits(), "{name}: {length} bytes");
                assert!(whole.len() - length < 60, "{name}: {length} bytes");
            }
        }
        for place in (0..whole.len()).step_by(whole.len() / 1500 + 1) {
            for value in [0, 1, 0x7f, 0xff, whole[place] ^ 0x10] {
                let mut corrupt = whole.clone();
                corrupt[place] = value;
                if let Ok(onnx) = read(&corrupt) {
                    onnx.predict(row);
                }
            }
        }
    }
}

fn market() -> Panel {
    market_of(12)
}

fn market_of(companies: usize) -> Panel {
    let market = Market::new(&Settings::of_years(companies, 3, 9));
    let text = almanac_ml::simulator::csv::bars(&market, market.sessions());
    let rules = Rules { latest_session: *market.sessions().last().unwrap(), is_session: &|_| true };
    Panel::new(decode_csv(text.as_bytes(), None, &rules).unwrap().bars)
}

fn brought(
    panel: &Panel,
    files: &[(usize, Vec<u8>)],
    through: Option<NaiveDate>,
) -> Result<Trained, ImportError> {
    let spec = ImportSpec { learnt_through: through, seed: 1, code_version: "test".to_owned() };
    let as_of = panel.latest_session().unwrap();
    import(&Inputs::of(panel), files, &spec, as_of, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn an_imported_model_is_scored_on_sessions_it_cannot_have_seen_and_forecasts_like_any_other() {
    let panel = market();
    let sessions = panel.sessions();
    let through = sessions[sessions.len() - 300];
    let files = [(5, file("gradient_boosting")), (1, file("ridge"))];
    let trained = brought(&panel, &files, Some(through)).unwrap();
    let [one, five] = &trained.evaluation.horizons[..] else { panic!("two horizons") };
    assert_eq!((one.horizon, five.horizon), (1, 5));
    assert!(trained.evaluation.test_start > through);
    let first_unseen = through.succ_opt().unwrap();
    assert!(one.quarters.iter().all(|quarter| quarter.start >= first_unseen), "nothing before is scored");
    assert!(one.model.distribution.is_some(), "its uncertainty is learned from its own errors");
    assert_ne!(one.against_drift.verdict, Verdict::Better, "it was learned from other numbers");
    assert!(trained.leak_report.passed());

    // The artefact holds the files byte for byte, and opens under its digest alone.
    let bytes = trained.artefact.to_bytes();
    let opened = Artefact::open(&bytes, &digest(&bytes)).unwrap();
    assert_eq!(opened, trained.artefact);
    let Fitted::Onnx(onnx) = &opened.models[0].fitted else { panic!("an imported model") };
    assert_eq!(onnx.file(), file("ridge"));
    let mut corrupt = bytes.clone();
    let place = bytes.len() / 2;
    corrupt[place] ^= 1;
    assert!(matches!(Artefact::open(&corrupt, &digest(&bytes)), Err(ArtefactError::WrongDigest { .. })));
    assert_eq!(
        brought(&panel, &files, Some(through)).unwrap().artefact.to_bytes(),
        bytes,
        "twice the same bytes"
    );

    let forecasts = forecast(&opened, &Inputs::of(&panel), panel.latest_session().unwrap()).unwrap();
    let predicted = forecasts.iter().filter(|it| matches!(it.outcome, Outcome::Predicted(_))).count();
    assert!(predicted >= 20, "{predicted} of {}", forecasts.len());
    for made in &forecasts {
        if let Outcome::Predicted(predicted) = &made.outcome {
            assert!(predicted.quantiles.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}

#[test]
fn corrupt_and_foreign_files_inside_an_artefact_are_refused_under_any_digest() {
    let panel = market();
    let bytes = brought(&panel, &[(1, file("tree"))], None).unwrap().artefact.to_bytes();
    let start = bytes.windows(64).position(|window| window == &file("tree")[..64]).unwrap();
    for place in (start..start + file("tree").len()).step_by(37) {
        let mut corrupt = bytes.clone();
        corrupt[place] ^= 0x10;
        assert!(Artefact::open(&corrupt, &digest(&corrupt)).is_err(), "{place}");
    }
    for length in (0..bytes.len()).step_by(bytes.len() / 200 + 1) {
        assert!(Artefact::open(&bytes[..length], &digest(&bytes[..length])).is_err());
    }
}

#[test]
fn models_that_give_no_returns_or_have_nothing_to_be_scored_on_are_not_brought_in() {
    let panel = market();
    let refusal =
        |files: &[(usize, Vec<u8>)], through| brought(&panel, files, through).unwrap_err().to_string();
    let last = panel.latest_session().unwrap();
    let words = refusal(&[(1, file("ridge"))], Some(last));
    assert!(words.contains("nothing to score"), "{words}");
    let few = panel.sessions()[panel.sessions().len() - 12];
    let words = refusal(&[(1, file("ridge"))], Some(few));
    assert!(words.contains("to calibrate on"), "{words}");
    assert!(refusal(&[], None).contains("one file for each horizon"));
    assert!(refusal(&[(1, file("ridge")), (1, file("tree"))], None).contains("one file for each horizon"));
    assert!(refusal(&[(1, b"pickle".to_vec())], None).starts_with("horizon 1: the file is no ONNX model"));
    // The closes themselves, instead of what they will have changed by.
    let words = refusal(&[(1, file("levels"))], None);
    assert!(words.contains("times as large as returns"), "{words}");
}

#[test]
fn a_result_too_good_to_be_true_stands_in_the_report_of_an_imported_model() {
    // Enough of them to be ranked.
    let panel = market_of(40);
    let honest = brought(&panel, &[(1, file("ridge"))], None).unwrap();
    assert_eq!(honest.leak_report.suspicions, Vec::<String>::new());
    // A world in which most of yesterday's move is taken back today, so that a look at it ranks all stocks.
    let mut bars = panel.bars().clone();
    let before = bars.close.clone();
    for row in 2..bars.len() {
        if bars.key[row] == bars.key[row - 2] {
            bars.close[row] *= (before[row - 2] / before[row - 1]).powf(0.8);
        }
    }
    let found = brought(&Panel::new(bars), &[(1, file("ridge"))], None).unwrap().leak_report.suspicions;
    assert!(found.iter().any(|words| words.contains("rank correlation")), "{found:?}");
}
