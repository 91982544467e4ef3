//! The web source against a real server that misbehaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use almanac_actors::ingestion::{IngestReport, ingest_batch};
use almanac_actors::settings::HttpSettings;
use almanac_actors::sources::http::Http;
use almanac_actors::sources::{MarketData, SourceError, Wanted};
use almanac_domain::values::Mode;
use chrono::TimeDelta;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{CALENDAR, World, day, events};

/// What the server says.
pub struct Answer {
    head: String,
    body: String,
    /// The body ends before its announced length.
    cut: bool,
    silent: bool,
}

impl Answer {
    pub fn csv(body: impl Into<String>) -> Self {
        Self { head: "200 OK\r\nContent-Type: text/csv".into(), body: body.into(), cut: false, silent: false }
    }

    fn with(head: &str, body: &str) -> Self {
        Self { head: head.into(), ..Self::csv(body) }
    }
}

/// An HTTP server on loopback that answers by symbol and by how often it was asked for it.
pub struct Server {
    address: String,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Server {
    pub async fn start(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let (counts, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counts, answer) = (Arc::clone(&counts), Arc::clone(&answer));
                tokio::spawn(async move {
                    let _ = serve(stream, &counts, answer.as_ref()).await;
                });
            }
        });
        Self { address, asked }
    }

    pub fn template(&self) -> String {
        format!("http://{}/{{symbol}}?from={{from}}&to={{to}}", self.address)
    }

    fn times_asked(&self, symbol: &str) -> usize {
        self.asked.lock().unwrap().get(symbol).copied().unwrap_or_default()
    }
}

async fn serve(
    mut stream: TcpStream,
    counts: &Mutex<HashMap<String, usize>>,
    answer: &(dyn Fn(&str, usize) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(());
        }
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let symbol = path.trim_start_matches('/').split('?').next().unwrap_or_default().to_owned();
    let times = {
        let mut counts = counts.lock().unwrap();
        let times = counts.entry(symbol.clone()).or_default();
        *times += 1;
        *times
    };
    let answer = answer(&symbol, times);
    if answer.silent {
        std::future::pending::<()>().await;
    }
    let length = answer.body.len() + if answer.cut { 100 } else { 0 };
    let head = format!("HTTP/1.1 {}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n", answer.head);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(answer.body.as_bytes()).await?;
    stream.shutdown().await
}

const GOOD: &str =
    "Date,Open,High,Low,Close,Volume\n2024-01-04,10,11,9,10.5,1000\n2024-01-05,10.5,11,10,10.8,900\n";

fn settings(server: &Server, symbols: &[&str]) -> HttpSettings {
    let symbols = symbols.iter().map(|symbol| symbol.parse().unwrap()).collect();
    let mut settings = HttpSettings::new(server.template(), symbols, day("2024-01-02"));
    settings.timeout = Duration::from_millis(300);
    settings.waiting_budget = Duration::from_secs(3);
    settings
}

fn wanted() -> Wanted {
    let until = day("2024-01-05");
    Wanted { after: None, until, now: CALENDAR.closes_at(until) }
}

/// Asks for one symbol that is answered like this, and once more for a good one after it.
async fn asked(answer: fn(usize) -> Answer) -> (Option<SourceError>, usize) {
    let server = Server::start(move |symbol, times| match symbol {
        "GOOD" => Answer::csv(GOOD),
        _ => answer(times),
    })
    .await;
    let source = Http::new(settings(&server, &["BAD", "GOOD"])).unwrap();
    let mut batches = source.fetch(&wanted()).await.unwrap();
    let batch = batches.remove(0);
    assert!(batch.bars.iter().any(|part| part.label == "GOOD"), "one bad symbol holds up no other");
    (batch.failures.into_iter().next().map(|(_, error)| error), server.times_asked("BAD"))
}

#[tokio::test]
async fn fault_26_every_way_to_fail_is_named_and_tried_as_often_as_it_makes_sense() {
    let (error, times) = asked(|_| Answer::with("404 Not Found", "")).await;
    assert_eq!((error, times), (Some(SourceError::NotFound), 1));
    let (error, times) = asked(|_| Answer::with("500 Internal Server Error", "oh")).await;
    assert_eq!((error, times), (Some(SourceError::Status(500)), 3));
    let (error, times) = asked(|_| Answer::with("200 OK\r\nContent-Type: text/html", "<html>hello")).await;
    assert_eq!((error, times), (Some(SourceError::Html), 1));
    let (error, times) = asked(|_| Answer::csv("<!DOCTYPE html><html>hello</html>")).await;
    assert_eq!((error, times), (Some(SourceError::Html), 1));
    let (error, times) = asked(|_| Answer { cut: true, ..Answer::csv(GOOD) }).await;
    assert_eq!((error, times), (Some(SourceError::Truncated), 3));
    let (error, times) = asked(|_| Answer { silent: true, ..Answer::csv("") }).await;
    assert_eq!((error, times), (Some(SourceError::Timeout { seconds: 0 }), 3));
}

#[tokio::test]
async fn fault_26_retry_after_is_respected_within_the_budget_and_no_longer() {
    let relents = |times| match times {
        1 => Answer::with("429 Too Many Requests\r\nRetry-After: 1", ""),
        _ => Answer::csv(GOOD),
    };
    let began = std::time::Instant::now();
    assert_eq!(asked(relents).await, (None, 2));
    assert!(began.elapsed() >= Duration::from_secs(1));
    let (error, times) = asked(|_| Answer::with("429 Too Many Requests", "")).await;
    assert_eq!(
        (error, times),
        (Some(SourceError::TooManyRequests), 3),
        "without Retry-After by our own back-off"
    );
    let began = std::time::Instant::now();
    let (error, times) = asked(|_| Answer::with("429 Too Many Requests\r\nRetry-After: 3600", "")).await;
    assert_eq!((error, times), (Some(SourceError::TooManyRequests), 1));
    assert!(began.elapsed() < Duration::from_secs(60), "an hour is not waited for");
}

#[tokio::test]
async fn fault_26_an_answer_without_end_is_not_read() {
    let server = Server::start(|_, _| Answer::csv(GOOD.repeat(100))).await;
    let source = Http::new(HttpSettings { most_bytes: 1_000, ..settings(&server, &["LONG"]) }).unwrap();
    let batch = source.fetch(&wanted()).await.unwrap().remove(0);
    assert_eq!(batch.failures[0].1, SourceError::TooLarge { most_bytes: 1_000 });
}

#[tokio::test]
async fn fault_26_a_source_that_fails_again_and_again_is_left_alone_and_then_asked_again() {
    let server = Server::start(|_, times| match times {
        1..=3 => Answer::with("400 Bad Request", ""),
        _ => Answer::csv(GOOD),
    })
    .await;
    let symbols = ["A", "B", "C", "D"];
    let source = Http::new(HttpSettings { breaker_after: 2, ..settings(&server, &symbols) }).unwrap();
    let batch = source.fetch(&wanted()).await.unwrap().remove(0);
    assert_eq!(batch.failures.len(), 2, "the breaker opens at the second");
    assert_eq!(server.times_asked("C"), 0);
    let soon = Wanted { now: wanted().now + TimeDelta::minutes(11), ..wanted() };
    assert!(matches!(source.fetch(&soon).await, Err(SourceError::LeftAlone { .. })));
    let mut later = wanted();
    let mut good = 0;
    for _ in 0..10 {
        later.now += TimeDelta::minutes(16);
        for batch in source.fetch(&later).await.unwrap_or_default() {
            good += batch.bars.len();
            batch.bars.iter().for_each(|part| source.settled(&part.label));
        }
    }
    assert_eq!(good, 4, "in the end everybody was given");
    later.now += TimeDelta::minutes(16);
    assert!(source.fetch(&later).await.unwrap().is_empty(), "and is not asked for the same session again");
}

#[tokio::test]
async fn an_answer_that_was_not_recorded_is_asked_for_again_with_its_whole_history() {
    let from = Arc::new(Mutex::new(Vec::new()));
    let server = {
        let from = Arc::clone(&from);
        Server::start(move |path, _| {
            from.lock().unwrap().push(path.to_owned());
            Answer::csv(GOOD)
        })
        .await
    };
    let mut settings = settings(&server, &["GOOD"]);
    settings.template = server.template().replace("?from={from}&to={to}", "-{from}");
    let source = Http::new(settings).unwrap();
    let mut question = Wanted { after: Some(day("2024-01-04")), ..wanted() };
    for _ in 0..2 {
        assert_eq!(source.fetch(&question).await.unwrap()[0].bars.len(), 1);
        question.now += TimeDelta::minutes(11);
    }
    source.settled("GOOD");
    assert!(source.fetch(&question).await.unwrap().is_empty(), "recorded now");
    question.until = day("2024-01-08");
    source.fetch(&question).await.unwrap();
    assert_eq!(*from.lock().unwrap(), ["GOOD-2024-01-02", "GOOD-2024-01-02", "GOOD-2023-12-29"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_26_wrong_columns_are_recorded_as_a_failure_and_the_good_symbol_is_ingested() {
    let world = World::at_the_close_of(day("2024-01-05"), Mode::Live).await;
    let (parts, running) = world.keep_the_log().await;
    let server = Server::start(|symbol, _| match symbol {
        "GOOD" => Answer::csv(GOOD),
        "GONE" => Answer::csv("Date,Open,High,Low,Volume\n2024-01-05,10,11,9,1000\n"),
        _ => Answer::csv("Exceeded the daily hits limit"),
    })
    .await;
    let source = Http::new(settings(&server, &["GONE", "LIMIT", "GOOD"])).unwrap();
    let batch = source.fetch(&wanted()).await.unwrap().remove(0);
    let mut report = IngestReport::default();
    ingest_batch(&parts, &source, batch, &mut report, &mut |_| {}).await.unwrap();
    let failures: Vec<_> = report.failures.iter().map(|it| (it.label.as_str(), it.reason.as_str())).collect();
    assert_eq!(failures, [("GONE", "missing_column"), ("LIMIT", "missing_column")]);
    assert!(report.failures[0].detail.contains("`close`"), "{}", report.failures[0].detail);
    assert_eq!((report.recorded[0].rows, report.listed), (2, 1));
    running.run_until_idle(crate::world::PATIENCE).await.unwrap();
    let log = events(world.database.database()).await;
    let mut names: Vec<_> = log.iter().map(|event| event.event_type.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["BarsIngested", "IngestionFailed", "IngestionFailed", "InstrumentListed"]);
    assert!(names.iter().all(|name| *name != "InstrumentDelisted"), "an outage never becomes a delisting");
    running.stop().await;
}
