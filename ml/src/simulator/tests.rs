#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Instant;

use rust_decimal::prelude::ToPrimitive;
use sha2::{Digest, Sha256};

use super::*;
use crate::headlines::decode_csv;

/// The demo's market.
fn market() -> Market {
    Market::new(&Settings::default())
}

fn all_bars(market: &Market) -> Vec<SimulatedBar> {
    market.sessions().iter().flat_map(|session| market.bars_on(*session)).copied().collect()
}

/// Log returns of each company with splits and dividends undone, by session.
fn adjusted_returns(market: &Market) -> Vec<BTreeMap<Session, f64>> {
    let mut returns = vec![BTreeMap::new(); market.companies().len()];
    let mut before: BTreeMap<usize, f64> = BTreeMap::new();
    for session in market.sessions() {
        for bar in market.bars_on(*session) {
            let (mut shares, mut cash) = (1.0, 0.0);
            for action in market.actions_on(*session).iter().filter(|action| action.company == bar.company) {
                match &action.happening {
                    Happening::Acted(CorporateAction::Split { ratio }) => shares = ratio.to_f64().unwrap(),
                    Happening::Acted(CorporateAction::Dividend { amount }) => cash = amount.to_f64(),
                    Happening::Delisted => {}
                }
            }
            let worth = (bar.close + cash) * shares;
            if let Some(close) = before.insert(bar.company, bar.close) {
                returns[bar.company].insert(*session, (worth / close).ln());
            }
        }
    }
    returns
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let (x, y) = (mean(pairs.iter().map(|pair| pair.0)), mean(pairs.iter().map(|pair| pair.1)));
    let product = |f: fn(f64, f64) -> f64| mean(pairs.iter().map(|pair| f(pair.0 - x, pair.1 - y)));
    product(|a, b| a * b) / (product(|a, _| a * a) * product(|_, b| b * b)).sqrt()
}

#[test]
fn every_bar_is_possible() {
    let bars = all_bars(&market());
    assert!(bars.len() > 30 * 1_300);
    for bar in bars {
        assert!(bar.low > 0.0 && bar.low <= bar.open.min(bar.close), "{bar:?}");
        assert!(bar.high >= bar.open.max(bar.close) && bar.volume > 0, "{bar:?}");
    }
}

#[test]
fn sessions_follow_the_calendar() {
    let market = market();
    let (first, last) = (market.sessions()[0], *market.sessions().last().unwrap());
    let expected: Vec<Session> = Calendar::UnitedStates.sessions(first, last).collect();
    assert_eq!(market.sessions(), expected);
    assert_eq!(market.sessions().len(), 1_512);
    assert!(market.bars_on(first.pred_opt().unwrap()).is_empty());
}

#[test]
fn a_seed_gives_the_same_market_and_another_seed_another() {
    let of_seed = |seed| csv::bars(&Market::new(&Settings::of_years(8, 1, seed)), market().sessions());
    assert_eq!(of_seed(5), of_seed(5));
    assert_ne!(of_seed(5), of_seed(6));
}

#[test]
fn the_market_of_a_seed_is_the_one_that_earlier_releases_made() {
    // A demo continues after an upgrade only if its past stays as it was. Whoever changes this digest ends that.
    let market = Market::new(&Settings::of_years(12, 5, 20));
    let sessions = market.sessions();
    let mut digest = Sha256::new();
    for file in
        [csv::bars(&market, sessions), csv::actions(&market, sessions), csv::headlines(&market, sessions)]
    {
        digest.update(file);
    }
    assert_eq!(
        hex::encode(digest.finalize()),
        "f9aebc3ba0d50f3d9b6fdf5193bde5c2591f648be9a31613d8a2640f1ef9c55e"
    );
}

#[test]
fn more_sessions_never_change_earlier_ones() {
    let long = Market::new(&Settings { sessions: 1_300, ..Settings::default() });
    let mut short = Market::new(&Settings { sessions: 900, ..Settings::default() });
    let past = short.clone();
    short.extend(400);
    for market in [&short, &past] {
        let sessions = market.sessions();
        assert_eq!(csv::bars(market, sessions), csv::bars(&long, sessions));
        assert_eq!(csv::actions(market, sessions), csv::actions(&long, sessions));
        assert_eq!(csv::headlines(market, sessions), csv::headlines(&long, sessions));
    }
    assert_eq!(short.sessions(), long.sessions());
}

#[test]
fn volatility_clusters_and_tails_are_fat() {
    let returns = adjusted_returns(&market());
    let clustering = mean(returns.iter().map(|series| {
        let sizes: Vec<f64> = series.values().map(|r| r.abs()).collect();
        correlation(&sizes.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>())
    }));
    let kurtosis = mean(returns.iter().map(|series| {
        let centre = mean(series.values().copied());
        let moment = |power| mean(series.values().map(|r| (r - centre).powi(power)));
        moment(4) / moment(2).powi(2)
    }));
    assert!(clustering > 0.1, "autocorrelation of |r| {clustering}");
    assert!(kurtosis > 3.5, "kurtosis {kurtosis}");
}

#[test]
fn returns_are_of_the_size_of_real_ones_and_hardly_drift() {
    let returns: Vec<f64> =
        adjusted_returns(&market()).iter().flat_map(|s| s.values().copied().collect::<Vec<_>>()).collect();
    let drift = mean(returns.iter().copied());
    let sigma = mean(returns.iter().map(|r| (r - drift).powi(2))).sqrt();
    assert!((0.012..0.026).contains(&sigma), "daily standard deviation {sigma}");
    assert!(drift.abs() < 0.001, "daily drift {drift}");
}

#[test]
fn shares_move_together() {
    let returns = adjusted_returns(&market());
    let mut correlations = Vec::new();
    for (one, left) in returns.iter().enumerate() {
        for right in &returns[..one] {
            let pairs: Vec<_> = left.iter().filter_map(|(day, r)| Some((*r, *right.get(day)?))).collect();
            correlations.push(correlation(&pairs));
        }
    }
    let average = mean(correlations.iter().copied());
    assert!((0.15..0.6).contains(&average), "mean correlation {average}");
}

#[test]
fn volume_rises_with_the_size_of_the_move() {
    let market = market();
    let returns = adjusted_returns(&market);
    let average = mean((0..market.companies().len()).map(|company| {
        let bars = all_bars(&market).into_iter().filter(|bar| bar.company == company);
        let pairs = bars
            .filter_map(|bar| Some((returns[company].get(&bar.session)?.abs(), (bar.volume as f64).ln())));
        correlation(&pairs.collect::<Vec<_>>())
    }));
    assert!(average > 0.2, "correlation of |r| and log volume {average}");
}

#[test]
fn the_bars_of_a_market_are_all_that_were_traded_each_under_its_symbol() {
    let market = market();
    let (bars, traded) = (market.bars(), all_bars(&market));
    assert_eq!(bars.len(), traded.len());
    for (row, traded) in traded.iter().enumerate().step_by(97) {
        let bar = bars.bar(row);
        assert_eq!(bars.keys[bars.key[row] as usize], market.companies()[traded.company].symbol);
        assert_eq!(
            (bar.session, bar.open, bar.high, bar.low, bar.close, bar.volume),
            (traded.session, traded.open, traded.high, traded.low, traded.close, traded.volume as f64)
        );
    }
}

#[test]
fn a_split_drops_the_price_and_costs_the_holder_nothing() {
    let market = market();
    let returns = adjusted_returns(&market);
    let closes: BTreeMap<(usize, Session), f64> =
        all_bars(&market).iter().map(|bar| ((bar.company, bar.session), bar.close)).collect();
    let mut splits = 0;
    for pair in market.sessions().windows(2) {
        for action in market.actions_on(pair[1]) {
            if let Happening::Acted(CorporateAction::Split { ratio }) = &action.happening {
                let ratio = ratio.to_f64().unwrap();
                let raw = (closes[&(action.company, pair[1])] / closes[&(action.company, pair[0])]).ln();
                assert!((raw + ratio.ln()).abs() < 0.2, "raw return {raw} at {ratio}:1");
                assert!(returns[action.company][&pair[1]].abs() < 0.2);
                splits += 1;
            }
        }
    }
    assert!(splits >= 3, "{splits} splits in six years");
}

#[test]
fn a_dividend_leaves_the_price_by_its_amount() {
    let market = market();
    let returns = adjusted_returns(&market);
    let dividends = market.sessions().iter().skip(1).flat_map(|session| market.actions_on(*session));
    let on_dividend_days: Vec<f64> = dividends
        .filter(|action| matches!(action.happening, Happening::Acted(CorporateAction::Dividend { .. })))
        .map(|action| returns[action.company][&action.session])
        .collect();
    assert!(on_dividend_days.len() > 200);
    // Were the price not to fall, holders would win the half percent that a usual dividend is.
    let gift = mean(on_dividend_days.iter().copied());
    assert!(gift.abs() < 0.002, "mean return on dividend days {gift}");
}

#[test]
fn one_company_is_delisted_and_one_comes_late() {
    let market = market();
    let (first, last) = (market.sessions()[0], *market.sessions().last().unwrap());
    let trading_on = |day| market.bars_on(day).iter().map(|bar| bar.company).collect::<Vec<_>>();
    let (at_first, at_last) = (trading_on(first), trading_on(last));
    assert_eq!((at_first.len(), at_last.len()), (29, 29));
    assert_ne!(at_first, at_last);
    let gone: Vec<_> = market
        .sessions()
        .iter()
        .flat_map(|session| market.actions_on(*session))
        .filter(|action| action.happening == Happening::Delisted)
        .collect();
    assert_eq!(gone.len(), 1);
    assert!(at_first.contains(&gone[0].company) && !at_last.contains(&gone[0].company));
    assert!(trading_on(gone[0].session).contains(&gone[0].company));
    assert!(!trading_on(Calendar::UnitedStates.next(gone[0].session)).contains(&gone[0].company));
}

#[test]
fn headlines_are_known_by_the_close_and_lean_with_the_return() {
    let market = market();
    let returns = adjusted_returns(&market);
    let mut pairs = Vec::new();
    for session in market.sessions() {
        let closes_at = Calendar::UnitedStates.closes_at(*session);
        for headline in market.headlines_on(*session) {
            assert!(headline.published_at <= closes_at);
            let score = crate::sentiment::score(&headline.text).score;
            pairs.extend(returns[headline.company].get(session).map(|r| (score, *r)));
        }
    }
    let a_week = pairs.len() as f64 / (30.0 * 1_512.0 / 5.0);
    assert!((1.0..4.0).contains(&a_week), "{a_week} headlines a week and company");
    let link = correlation(&pairs);
    assert!((0.1..0.6).contains(&link), "correlation of tone and return {link}");
}

#[test]
fn the_files_are_what_they_say() {
    let market = market();
    let sessions = market.sessions();
    let bars = csv::bars(&market, sessions);
    assert_eq!(bars.lines().count(), 1 + all_bars(&market).len());
    assert!(bars.lines().skip(1).all(|line| line.split(',').count() == 7));
    assert_eq!(csv::instruments(&market).lines().count(), 31);
    assert!(csv::actions(&market, sessions).contains(",delisting,\n"));
    let latest = Calendar::UnitedStates.closes_at(*sessions.last().unwrap());
    let decoded = decode_csv(csv::headlines(&market, sessions).as_bytes(), latest).expect("readable");
    let count: usize = sessions.iter().map(|session| market.headlines_on(*session).len()).sum();
    assert_eq!((decoded.headlines.len(), decoded.findings.len()), (count, 0));
}

#[test]
fn five_years_of_five_hundred_companies_take_seconds() {
    let timed = |settings: &Settings| {
        let begun = Instant::now();
        let bars: usize = Market::new(settings).days.iter().map(|day| day.bars.len()).sum();
        println!("{bars} bars: {:?}", begun.elapsed());
        begun.elapsed()
    };
    timed(&Settings::default());
    // Far above what it takes, for a machine that is busy with other tests.
    assert!(timed(&Settings::of_years(505, 5, 1)).as_secs() < 20);
}
