//! Files in, bars out: good rows are kept, bad ones named.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use almanac_ml::bars::{CodecError, decode_csv, decode_parquet, encode_parquet, read_parquet};
use almanac_ml::{Bar, Bars, Decoded, FindingKind, Rules};
use chrono::{Datelike, NaiveDate, Weekday};

const HEADER: &str = "symbol,date,open,high,low,close,volume";

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn is_weekday(date: NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

fn rules() -> Rules<'static> {
    Rules { latest_session: date("2024-01-12"), is_session: &is_weekday }
}

fn decode(rows: &str) -> Decoded {
    decode_csv(format!("{HEADER}\n{rows}").as_bytes(), None, &rules()).unwrap()
}

/// (kind, row, quarantined) of each finding.
fn found(decoded: &Decoded) -> Vec<(FindingKind, usize, bool)> {
    decoded.findings.iter().map(|finding| (finding.kind, finding.row, finding.quarantined)).collect()
}

/// Two good rows around a third one, and what is said about that one.
fn verdict_on(row: &str) -> (FindingKind, bool, usize) {
    let decoded = decode(&format!("A,2024-01-02,10,11,9,10,100\n{row}\nA,2024-01-04,10,11,9,10,100\n"));
    assert_eq!(decoded.findings.len(), 1, "{:?}", decoded.findings);
    let finding = &decoded.findings[0];
    assert_eq!(finding.row, 3, "{finding:?}");
    (finding.kind, finding.quarantined, decoded.bars.len())
}

#[test]
fn each_bad_row_is_named_and_left_out_and_the_others_stay() {
    use FindingKind as K;
    for (row, kind) in [
        ("A,2024-01-03,10,9,11,10,100", K::HighBelowLow),
        ("A,2024-01-03,10,11,9,-10,100", K::NonPositivePrice),
        ("A,2024-01-03,0,11,9,10,100", K::NonPositivePrice),
        ("A,2024-01-03,10,11,9,10,-1", K::NegativeVolume),
        ("A,2024-01-03,10,11,9,NaN,100", K::NotANumber),
        ("A,2024-01-03,10,11,9,inf,100", K::NotANumber),
        ("A,2024-01-03,ten,11,9,10,100", K::NotANumber),
        ("A,2024-01-03,10,11,9,10,1e300", K::VolumeOverflow),
        ("A,2024-01-03,10,11,9,10,99999999999999999999", K::VolumeOverflow),
        ("A,2024-01-03,10,11,9,,100", K::MissingPrice),
        ("A,2024-01-03,10,11,9,10,", K::MissingVolume),
        ("A,2024-01-06,10,11,9,10,100", K::NotASession),
        ("A,2024-01-15,10,11,9,10,100", K::FutureDate),
        ("A,2024-02-30,10,11,9,10,100", K::UnreadableRow),
        ("A,2024-01-03,10,11", K::UnreadableRow),
        (",2024-01-03,10,11,9,10,100", K::UnreadableRow),
        ("<p>Bad Gateway</p>", K::UnreadableRow),
        ("A,\"2024-01-03,10,11,9,10,100", K::UnreadableRow),
    ] {
        assert_eq!(verdict_on(row), (kind, true, 2), "{row}");
    }
}

#[test]
fn rows_that_are_odd_but_usable_are_named_and_kept() {
    use FindingKind as K;
    assert_eq!(verdict_on("A,2024-01-03,,,,10,100"), (K::MissingPrice, false, 3));
    assert_eq!(verdict_on("A,2024-01-03,10,10.5,9.5,11,100"), (K::CloseOutsideRange, false, 3));
    let decoded = decode("A,2024-01-03,10,10.5,9.5,11,100\nA,2024-01-04,9,10.5,9.5,10,100\n");
    assert_eq!(
        (decoded.bars.high[0].to_bits(), decoded.bars.low[1].to_bits()),
        (11.0_f64.to_bits(), 9.0_f64.to_bits())
    );
}

#[test]
fn an_exact_duplicate_is_left_out_and_of_differing_ones_the_last_is_kept() {
    let decoded = decode(
        "A,2024-01-02,10,11,9,10,100\nA,2024-01-02,10,11,9,10,100\nA,2024-01-03,10,11,9,10,100\nA,2024-01-03,10,11,9,10,200\n",
    );
    assert_eq!(found(&decoded), [(FindingKind::Duplicate, 3, true), (FindingKind::Duplicate, 4, true)]);
    assert_eq!(decoded.findings[0].detail, "the same as row 2");
    assert_eq!(decoded.findings[1].detail, "replaced by row 5, which differs");
    assert_eq!(decoded.bars.volume, [100.0, 200.0]);
}

#[test]
fn rows_out_of_order_are_sorted_and_said_once_per_symbol() {
    let decoded = decode(
        "B,2024-01-04,3,3,3,3,1\nA,2024-01-03,10,11,9,10,100\nB,2024-01-03,2,2,2,2,1\nB,2024-01-02,2,2,2,2,1\n",
    );
    assert_eq!(found(&decoded), [(FindingKind::LargeMove, 2, false), (FindingKind::OutOfOrder, 4, false)]);
    assert_eq!(decoded.bars.keys, ["A", "B"]);
    assert_eq!(decoded.bars.close, [10.0, 2.0, 2.0, 3.0]);
}

#[test]
fn a_fall_to_a_tenth_that_stays_is_suspected_to_be_a_split_and_kept() {
    let decoded =
        decode("A,2024-01-02,100,101,99,100,1\nA,2024-01-03,10,10.1,9.9,10,1\nA,2024-01-04,10,11,9,10,1\n");
    assert_eq!(found(&decoded), [(FindingKind::SuspectedSplit, 3, false)]);
    assert!(decoded.findings[0].detail.contains("10:1"), "{}", decoded.findings[0].detail);
    assert_eq!(decoded.bars.len(), 3);
}

#[test]
fn columns_are_found_in_any_order_and_case_and_a_file_of_one_symbol_needs_no_symbol_column() {
    let yahoo = "\u{feff}Date,Open,High,Low,Close,Adj Close,Volume\r\n2024-01-02,10,11,9,10.5,7,100\r\n";
    let stooq = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\nX,D,20240102,000000,10,11,9,10.5,100\n";
    let odd = "Volume,CLOSE,low,High,open,Date,Symbol\n100,10.5,9,11,10,2024-01-02,X\n";
    for file in [yahoo, stooq, odd] {
        let decoded = decode_csv(file.as_bytes(), Some("X"), &rules()).unwrap();
        assert_eq!(decoded.findings, []);
        assert_eq!(decoded.bars.key_of(0), "X");
        let bar =
            Bar { session: date("2024-01-02"), open: 10.0, high: 11.0, low: 9.0, close: 10.5, volume: 100.0 };
        assert_eq!(decoded.bars.bar(0), bar);
    }
}

#[test]
fn na_and_nan_are_tickers() {
    let decoded = decode("NA,2024-01-02,10,11,9,10,100\nNAN,2024-01-02,10,11,9,10,100\n");
    assert_eq!((decoded.bars.keys, decoded.findings), (vec!["NA".to_owned(), "NAN".to_owned()], vec![]));
}

#[test]
fn files_that_are_no_table_of_bars_are_refused_in_clear_words() {
    let refused = |file: &str| decode_csv(file.as_bytes(), None, &rules()).unwrap_err();
    assert!(matches!(refused(""), CodecError::Empty));
    assert!(matches!(refused(" \n\n"), CodecError::Empty));
    assert!(matches!(refused(HEADER), CodecError::NoRows));
    assert!(matches!(
        refused("<!DOCTYPE html>\n<html><body>502, Bad Gateway</body></html>"),
        CodecError::Html { .. }
    ));
    assert!(matches!(refused("{\"error\": \"Invalid cookie\"}"), CodecError::Json { .. }));
    assert_eq!(
        refused("symbol,date,open,high,low,volume\nA,2024-01-02,1,1,1,1\n").to_string(),
        "the column `close` is missing; found: symbol, date, open, high, low, volume"
    );
    assert_eq!(
        refused("date,open,high,low,close,volume\n2024-01-02,1,1,1,1,1\n").to_string(),
        "the column `symbol` is missing; found: date, open, high, low, close, volume"
    );
    assert!(matches!(decode_parquet(b"", &rules()).unwrap_err(), CodecError::Empty));
    assert!(matches!(
        decode_parquet(b"PAR1 but not really PAR1", &rules()).unwrap_err(),
        CodecError::BadParquet { .. }
    ));
}

fn sample() -> Bars {
    let mut bars = Bars::default();
    for (key, shift) in [("NA", 0.0), ("ZZ", 5.0), ("ÄÖ", 0.1)] {
        for day in 2..=12 {
            let session = date(&format!("2024-01-{day:02}"));
            let close = 10.0 + shift + f64::from(day) / 3.0;
            let open = if day == 5 { f64::NAN } else { close - 0.1 };
            let bar = Bar {
                session,
                open,
                high: close + 0.2,
                low: close - 0.2,
                close,
                volume: f64::from(day) * 1e9 + 0.5,
            };
            if is_weekday(session) {
                bars.push(key, bar);
            }
        }
    }
    bars
}

#[test]
fn parquet_gives_back_the_same_bits_and_the_same_bars_give_the_same_bytes() {
    let bytes = encode_parquet(&sample()).unwrap();
    assert_eq!(bytes, encode_parquet(&sample()).unwrap());
    assert_eq!(read_parquet(&bytes).unwrap(), sample());
    let decoded = decode_parquet(&bytes, &rules()).unwrap();
    assert_eq!(decoded.bars, sample());
    assert_eq!(
        decoded.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(),
        [FindingKind::MissingPrice; 3]
    );
}

#[test]
fn parquet_from_outside_is_judged_like_csv() {
    let mut bars = sample();
    bars.close[0] = f64::NAN;
    bars.volume[1] = -1.0;
    bars.high[2] = 1.0;
    let decoded = decode_parquet(&encode_parquet(&bars).unwrap(), &rules()).unwrap();
    let quarantined: Vec<_> = decoded
        .findings
        .iter()
        .filter(|finding| finding.quarantined)
        .map(|finding| (finding.kind, finding.row))
        .collect();
    assert_eq!(
        quarantined,
        [(FindingKind::NotANumber, 1), (FindingKind::NegativeVolume, 2), (FindingKind::HighBelowLow, 3)]
    );
    assert_eq!(decoded.bars.len(), sample().len() - 3);
    assert!(
        read_parquet(&encode_parquet(&bars).unwrap()).is_err(),
        "a stored file has no row without a close"
    );
}

#[test]
fn no_truncation_or_corruption_of_a_parquet_file_makes_reading_panic() {
    let bytes = encode_parquet(&sample()).unwrap();
    for length in (0..bytes.len()).step_by(7) {
        assert!(read_parquet(&bytes[..length]).is_err());
    }
    for place in (0..bytes.len()).step_by(11) {
        let mut corrupt = bytes.clone();
        corrupt[place] ^= 0x55;
        let _ = read_parquet(&corrupt);
    }
}

#[test]
fn a_later_batch_replaces_the_rows_of_an_earlier_one() {
    let mut correction = Bars::default();
    let bar = Bar { volume: 7.0, ..sample().bar(3) };
    correction.push("NA", bar);
    correction.push("NEW", bar);
    let merged = Bars::merge([sample(), correction]);
    assert_eq!(merged.len(), sample().len() + 1);
    assert_eq!(merged.keys, ["NA", "NEW", "ZZ", "ÄÖ"]);
    assert_eq!(merged.volume[3].to_bits(), 7.0_f64.to_bits());
}

#[test]
fn bars_get_new_names_and_those_without_one_are_left_out() {
    let renamed = sample().rekey(|symbol| (symbol != "ZZ").then(|| format!("id-{symbol}")));
    assert_eq!(renamed.keys, ["id-NA", "id-ÄÖ"]);
    assert_eq!(renamed.len(), sample().len() / 3 * 2);
    assert_eq!(renamed.bar(renamed.len() - 1), sample().bar(sample().len() - 1));
}

#[test]
fn real_defects_get_their_names() {
    use FindingKind as K;
    let Ok(data) = std::env::var("ALMANAC_REAL_DATA") else {
        eprintln!("skipped: ALMANAC_REAL_DATA does not name the real data");
        return;
    };
    let rules = Rules { latest_session: date("2026-01-02"), is_session: &is_weekday };
    let read = |name: &str| {
        let bytes = std::fs::read(Path::new(&data).join("bad_input").join(name)).unwrap();
        decode_csv(&bytes, Some("X"), &rules)
    };
    let kinds = |name: &str| {
        let mut kinds: Vec<_> =
            read(name).unwrap().findings.into_iter().map(|f| (f.kind, f.quarantined)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    for split in ["AMZN_2022-06-06", "NVDA_2024-06-10"] {
        assert_eq!(kinds(&format!("unadjusted_split_{split}.csv")), [(K::SuspectedSplit, false)]);
    }
    // 3:2 is no whole number, and the jumps of spin-offs are none either; they need a record.
    assert!(!kinds("unadjusted_split_PCAR_2023-02-07.csv").contains(&(K::SuspectedSplit, false)));
    assert_eq!(kinds("unadjusted_split_PCAR_2023-02-07.csv"), [(K::LargeMove, false)]);
    for jump in [
        "bad_print_LNT_2016-05",
        "spinoff_jump_BAX_2015-07",
        "spinoff_jump_EBAY_2015-07",
        "spinoff_jump_NI_2015-07",
    ] {
        let kinds = kinds(&format!("{jump}.csv"));
        assert!(kinds.contains(&(K::LargeMove, false)), "{jump}: {kinds:?}");
        assert!(kinds.iter().all(|&(kind, out)| kind != K::SuspectedSplit && !out), "{jump}: {kinds:?}");
    }
    let print = read("bad_print_LNT_2016-05.csv").unwrap();
    assert!(
        print.findings.iter().any(|finding| finding.detail.contains("bad print")),
        "{:?}",
        print.findings
    );
    assert_eq!(kinds("duplicate_rows.csv"), [(K::Duplicate, true)]);
    assert_eq!(kinds("high_below_low.csv"), [(K::HighBelowLow, true)]);
    assert_eq!(kinds("missing_ohl_rows.csv"), [(K::MissingPrice, false)]);
    assert_eq!(kinds("zero_volume.csv"), [(K::MissingPrice, false)]);
    assert_eq!(kinds("short_history.csv"), []);
    assert_eq!(kinds("gap_DHR_2015-03.csv"), []);
    assert!(matches!(read("json_error_as_csv.csv").unwrap_err(), CodecError::Json { .. }));
    let page = read("html_error_page_in_csv.csv").unwrap();
    assert!(!page.bars.is_empty() && page.findings.iter().all(|finding| finding.kind == K::UnreadableRow));

    let whole = std::fs::read(Path::new(&data).join("sp500_5y.parquet")).unwrap();
    let decoded = decode_parquet(&whole, &rules).unwrap();
    let count = |kind| decoded.findings.iter().filter(|finding| finding.kind == kind).count();
    assert_eq!(decoded.bars.len(), 619_039, "only the row whose high is below its low is left out");
    assert_eq!((count(K::HighBelowLow), count(K::MissingPrice)), (1, 11));
    let stored = encode_parquet(&decoded.bars).unwrap();
    assert_eq!(read_parquet(&stored).unwrap(), decoded.bars);
    eprintln!("{} rows of the real set read, {} findings", decoded.bars.len(), decoded.findings.len());
}
