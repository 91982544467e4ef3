//! Files from people: good, bad, repeated, corrected.

use almanac_actors::ingestion::{IngestError, IngestReport, ingest_batch, ingest_path};
use almanac_actors::sources::folder::Folder;
use almanac_actors::sources::{MarketData, SourceError, Wanted};
use almanac_domain::clock::Clock;
use almanac_domain::values::Mode;
use almanac_ml::simulator::{Market, Settings};
use almanac_projections::{ingestions, instruments};

use crate::world::{PATIENCE, World, day, events, write_market};

const HEADER: &str = "symbol,date,open,high,low,close,volume\n";

async fn world() -> World {
    World::at_the_close_of(day("2024-01-05"), Mode::Replayed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn good_rows_are_kept_and_bad_ones_quarantined_with_a_name() {
    let world = world().await;
    let (parts, running) = world.keep_the_log().await;
    world.write(
        "bars.csv",
        &format!(
            "{HEADER}ABC,2024-01-04,10,11,9,10.5,1000\nABC,2024-01-05,10.5,9,11,10.8,900\nABC,2024-01-01,1,1,1,1,1\n"
        ),
    );
    let report = ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    assert_eq!((report.recorded[0].rows, report.recorded[0].quarantined, report.listed), (1, 2, 1));
    let names: Vec<_> = report.recorded[0].findings.iter().map(|finding| finding.finding.as_str()).collect();
    assert_eq!(names, ["high_below_low", "not_a_session"]);
    running.run_until_idle(PATIENCE).await.unwrap();
    let shown = ingestions::find(world.database.pool(), report.recorded[0].id).await.unwrap().unwrap();
    let findings = parts.objects.get(&shown.findings_object.unwrap().key).await.unwrap();
    let findings: Vec<almanac_ml::Finding> = serde_json::from_slice(&findings).unwrap();
    assert_eq!(findings.len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_table_is_a_clear_error_and_changes_nothing_else() {
    for (content, reason, words) in [
        ("", "empty", "the file is empty"),
        (HEADER, "no_rows", "no rows"),
        (
            "symbol,date,open,high,low,volume\nABC,2024-01-05,1,1,1,1\n",
            "missing_column",
            "`close` is missing",
        ),
        ("<html><body>Sign in</body></html>", "html", "html page"),
        ("{\"error\": \"limit\"}", "json", "json document"),
    ] {
        let world = world().await;
        let (parts, running) = world.keep_the_log().await;
        world.write("bars.csv", content);
        let error = ingest_path(&parts, &world.inbox().join("bars.csv"), &mut |_| {}).await.unwrap_err();
        let IngestError::Unusable(unusable) = error else { panic!("{error}") };
        assert_eq!(unusable.reason, reason);
        assert!(
            unusable.to_string().starts_with("bars.csv: ") && unusable.detail.contains(words),
            "{unusable}"
        );
        running.run_until_idle(PATIENCE).await.unwrap();
        let log = events(world.database.database()).await;
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].event_type, "IngestionFailed");
        assert_eq!(log[0].payload["IngestionFailed"]["reason"], reason);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_or_holds_no_table_is_said_so() {
    let world = world().await;
    let parts = world.parts();
    let absent = ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(absent, IngestError::Source(SourceError::Unreadable { .. })), "{absent}");
    world.write("readme.md", "hello");
    let nothing = ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(nothing, IngestError::Nothing(_)), "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_again_changes_nothing_and_a_longer_one_adds_only_what_is_new() {
    let world = world().await;
    let (parts, running) = world.keep_the_log().await;
    let first = format!("{HEADER}ABC,2024-01-03,10,11,9,10.5,1000\nABC,2024-01-04,10.5,11,10,10.8,900\n");
    world.write("bars.csv", &first);
    ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    let before = events(world.database.database()).await.len();
    let again = ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    assert!(again.known_already && again.recorded.is_empty());
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(events(world.database.database()).await.len(), before);

    // A day more, and the day before corrected.
    world.write(
        "bars.csv",
        &format!("{}ABC,2024-01-05,10.8,11,10,10.9,800\n", first.replace("10.8,900", "10.7,950")),
    );
    let report = ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    assert_eq!((report.recorded[0].rows, report.listed), (2, 0));
    running.run_until_idle(PATIENCE).await.unwrap();
    let instrument = instruments::listings(world.database.pool()).await.unwrap()[0].id;
    let bars = parts.market.bars(instrument, None, None, 10).await.unwrap().bars;
    let closes: Vec<String> = bars.iter().map(|bar| bar.close.to_string()).collect();
    assert_eq!(closes, ["10.5", "10.7", "10.9"], "the later batch wins");

    // The dataset of then is still what it was.
    let batches = parts.market.view().await.unwrap().batches().to_vec();
    let then = parts.market.view_at(batches[0].ordinal).await.unwrap();
    assert_eq!((then.as_traded().len(), then.batches().len()), (2, 1));
    assert_ne!(then.dataset(), parts.market.view().await.unwrap().dataset());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delisting_that_is_refused_holds_up_nothing_and_actions_may_come_alone() {
    let world = world().await;
    let (parts, running) = world.keep_the_log().await;
    let rows = "ABC,2024-01-04,10,11,9,10.5,1000\nABC,2024-01-05,10.5,11,10,10.8,900\n";
    world.write("bars.csv", &format!("{HEADER}{rows}"));
    world.write("actions.csv", "symbol,date,kind,value\nABC,2023-12-01,delisting,\n");
    let folder = Folder::new(&world.inbox());
    let wanted = Wanted { after: None, until: day("2024-01-05"), now: world.clock.now() };
    let mut report = IngestReport::default();
    let batch = folder.fetch(&wanted).await.unwrap().remove(0);
    ingest_batch(&parts, &folder, batch, &mut report, &mut |_| {}).await.unwrap();
    assert_eq!(report.recorded[0].rows, 2);
    running.run_until_idle(PATIENCE).await.unwrap();
    assert!(folder.fetch(&wanted).await.unwrap().is_empty());

    world.write("actions.csv", "symbol,date,kind,value\nABC,2024-01-05,split,2\n");
    let batch = folder.fetch(&wanted).await.unwrap().remove(0);
    ingest_batch(&parts, &folder, batch, &mut report, &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(instruments::listings(world.database.pool()).await.unwrap()[0].actions.len(), 1);
    assert!(folder.fetch(&wanted).await.unwrap().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_for_each_symbol_is_one_batch_and_a_bad_one_among_them_is_named() {
    let world = world().await;
    let (parts, running) = world.keep_the_log().await;
    let rows =
        "date,open,high,low,close,volume\n2024-01-04,10,11,9,10.5,1000\n2024-01-05,10.5,11,10,10.8,900\n";
    world.write("abc.csv", rows);
    world.write("BRK.B.csv", rows);
    world.write("XYZ.csv", "date,open,high,low,close\n2024-01-04,10,11,9,10.5\n");
    let report = ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    assert_eq!((report.recorded.len(), report.recorded[0].rows, report.listed), (1, 4, 2));
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].label, "XYZ.csv");
    running.run_until_idle(PATIENCE).await.unwrap();
    let listings = instruments::listings(world.database.pool()).await.unwrap();
    let symbols: Vec<_> = listings.iter().map(|listing| listing.symbol.as_str()).collect();
    assert_eq!(symbols, ["ABC", "BRK.B"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn splits_names_headlines_and_a_delisting_come_with_the_bars() {
    let market = Market::new(&Settings::of_years(8, 5, 5));
    let world = World::at_the_close_of(*market.sessions().last().unwrap(), Mode::Simulated).await;
    write_market(&world.inbox(), &market, market.sessions());
    let (parts, running) = world.keep_the_log().await;
    let report = ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    let kinds: Vec<_> = report.recorded.iter().map(|batch| batch.kind).collect();
    assert_eq!(kinds, ["headlines", "bars"], "what makes progress known comes last");
    let listings = instruments::listings(world.database.pool()).await.unwrap();
    assert_eq!(listings.len(), 8);
    assert_eq!(listings.iter().filter(|listing| listing.delisted_after.is_some()).count(), 1);
    assert!(listings.iter().all(|listing| listing.sector.is_some()));
    let actions: usize = listings.iter().map(|listing| listing.actions.len()).sum();
    let happened: usize = market.sessions().iter().map(|session| market.actions_on(*session).len()).sum();
    assert_eq!(actions + 1, happened, "every split and dividend, and the delisting");
    let news = parts.news.latest(listings[0].id, 5).await.unwrap();
    assert!(news.len() == 5 && news.windows(2).all(|pair| pair[0].published_at >= pair[1].published_at));
    let daily = parts.news.daily(listings[0].id).await.unwrap();
    assert_eq!(daily.len(), 1, "files are first seen when they arrive, whatever their headlines say");

    // The whole folder again, as after a restart: nothing doubles, and the delisted share is who it was.
    let before = events(world.database.database()).await.len();
    let mut text = std::fs::read_to_string(world.inbox().join("bars.csv")).unwrap();
    text.push('\n');
    world.write("bars.csv", &text);
    ingest_path(&parts, &world.inbox(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(events(world.database.database()).await.len(), before);
    running.stop().await;
}
