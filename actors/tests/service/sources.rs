//! What every source of market data must do.

use std::sync::Arc;

use almanac_actors::settings::HttpSettings;
use almanac_actors::sources::folder::Folder;
use almanac_actors::sources::http::Http;
use almanac_actors::sources::replay::Replay;
use almanac_actors::sources::simulator::Simulator;
use almanac_actors::sources::{Batch, Codec, Happening, MarketData, Wanted};
use almanac_domain::values::Session;
use almanac_ml::bars::{Bars, Rules, decode_csv, decode_parquet};
use almanac_ml::days;
use almanac_ml::simulator::{self, Market, csv};
use almanac_store::testing::ScratchFolder;

use crate::web_source::{Answer, Server};
use crate::world::{CALENDAR, write_market};

/// Two companies, both of which trade from the first session on.
fn settings() -> simulator::Settings {
    simulator::Settings::of_years(2, 1, 9)
}

fn wanted(after: Option<Session>, until: Session) -> Wanted {
    Wanted { after, until, now: CALENDAR.closes_at(until) }
}

fn decoded(batches: &[Batch], until: Session) -> Bars {
    let is_session = |date| CALENDAR.is_session(date);
    let rules = Rules { latest_session: until, is_session: &is_session };
    Bars::merge(batches.iter().flat_map(|batch| &batch.bars).map(|part| {
        let symbol = part.default_symbol.as_deref();
        match part.codec {
            Codec::Csv => decode_csv(&part.bytes, symbol, &rules).unwrap().bars,
            Codec::Parquet => decode_parquet(&part.bytes, &rules).unwrap().bars,
        }
    }))
}

/// The contract: what is wanted comes, readable by the codec and nothing after the wanted session; asking for the next
/// session gives it, whether alone or with what came before; the same question gives the same bytes or nothing.
async fn keeps_the_contract(source: &dyn MarketData, market: &Market, name: &str) {
    let sessions = market.sessions();
    let (first, next) = (sessions[100], sessions[101]);
    assert_eq!(source.name(), name);
    let batches = source.fetch(&wanted(None, first)).await.unwrap();
    let bars = decoded(&batches, next);
    let expected: usize = sessions[..=100].iter().map(|session| market.bars_on(*session).len()).sum();
    assert!(bars.len() >= expected, "{name}: {} of {expected} rows", bars.len());
    assert!(batches.iter().all(|batch| batch.failures.is_empty()));

    let again = source.fetch(&wanted(None, first)).await.unwrap();
    let bytes = |batches: &[Batch]| -> Vec<Vec<u8>> {
        batches.iter().flat_map(|batch| &batch.bars).map(|part| part.bytes.clone()).collect()
    };
    assert!(again.is_empty() || bytes(&again) == bytes(&batches), "{name}: the same question, other bytes");

    batches.iter().flat_map(|batch| &batch.bars).for_each(|part| source.settled(&part.label));
    let later = source.fetch(&wanted(Some(first), next)).await.unwrap();
    let both = Bars::merge([bars, decoded(&later, next)]);
    let of_next = both.session.iter().filter(|day| **day == days::day(next)).count();
    assert_eq!(of_next, market.bars_on(next).len(), "{name}: the next session");
    assert!(both.session.iter().all(|day| *day <= days::day(next)), "{name}: nothing from the future");
}

#[tokio::test]
async fn the_simulator_keeps_the_contract() {
    let source = Simulator::new(settings());
    keeps_the_contract(&source, &Market::new(&settings()), "simulator").await;
}

#[tokio::test]
async fn a_replayed_folder_keeps_the_contract() {
    let (folder, market) = (ScratchFolder::new(), Market::new(&settings()));
    write_market(&folder, &market, market.sessions());
    keeps_the_contract(&Replay::new(&folder, CALENDAR), &market, "folder").await;
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    let (folder, market) = (ScratchFolder::new(), Market::new(&settings()));
    write_market(&folder, &market, &market.sessions()[..=101]);
    keeps_the_contract(&Folder::new(&folder), &market, "folder").await;
}

#[tokio::test]
async fn a_web_service_keeps_the_contract() {
    let market = Arc::new(Market::new(&settings()));
    let symbols = market.companies().iter().map(|company| company.symbol.parse().unwrap()).collect();
    let server = {
        let market = Arc::clone(&market);
        Server::start(move |symbol, _| {
            let text = csv::bars(&market, &market.sessions()[..=101]);
            let lines: Vec<&str> = text
                .lines()
                .enumerate()
                .filter(|(n, line)| *n == 0 || line.starts_with(symbol))
                .map(|(_, line)| line)
                .collect();
            Answer::csv(lines.join("\n"))
        })
        .await
    };
    let settings = HttpSettings::new(server.template(), symbols, market.sessions()[0]);
    keeps_the_contract(&Http::new(settings).unwrap(), &market, "http").await;
}

#[tokio::test]
async fn a_folder_reads_its_small_files_and_skips_what_is_settled() {
    let (folder, market) = (ScratchFolder::new(), Market::new(&simulator::Settings::of_years(3, 2, 9)));
    write_market(&folder, &market, market.sessions());
    std::fs::write(folder.join("notes.md"), "not a table").unwrap();
    let source = Folder::new(&folder);
    let batch = source.read().unwrap();
    assert_eq!((batch.bars.len(), batch.headlines.len(), batch.companies.len()), (1, 1, 3));
    assert!(batch.actions.iter().any(|action| matches!(action.happening, Happening::Acted(_))));
    for label in ["bars.csv", "headlines.csv"] {
        source.settled(label);
    }
    let question = wanted(None, market.sessions()[10]);
    let actions_alone = source.fetch(&question).await.unwrap();
    assert_eq!((actions_alone[0].bars.len(), actions_alone[0].actions_from.len()), (0, 1));
    source.settled("actions.csv");
    assert!(source.fetch(&question).await.unwrap().is_empty());
    let mut text = std::fs::read_to_string(folder.join("bars.csv")).unwrap();
    text.push('\n');
    std::fs::write(folder.join("bars.csv"), text).unwrap();
    let changed = source.fetch(&question).await.unwrap();
    assert_eq!((changed[0].bars.len(), changed[0].headlines.len()), (1, 0), "only what has changed");
    assert!(!changed[0].actions.is_empty(), "beside bars they are read again: they may speak of new shares");
}
