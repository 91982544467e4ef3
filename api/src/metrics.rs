//! `/metrics`: the log and its readers in numbers, in the text format of Prometheus.
//!
//! Nothing here is personal or names a database or its users, and nothing needs a sign-in; who runs the service for the
//! world keeps the path inside at the proxy. While the database is away, what the process knows by itself is told.

use std::fmt::{Display, Write};

use actix_web::{HttpResponse, get, web};
use almanac_actors::supervisor::ActorState;

use crate::health::{self, LogHealth};
use crate::state::State;

/// Version 0.0.4 of the text format, which every scraper reads.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The log and its readers in numbers, in the text format of Prometheus.
#[utoipa::path(
    tag = "health",
    responses((status = 200, description = "The numbers", body = String, content_type = "text/plain"))
)]
#[get("/metrics")]
pub async fn get_metrics(state: web::Data<State>) -> HttpResponse {
    let log = health::log(&state).await;
    let mut page = Page::default();
    let faults = health::faults_beside(&state, &log);
    page.one("almanac_ready", "Whether the service can do its work.", i32::from(faults.is_empty()));
    page.one("almanac_database_up", "Whether the database answers.", i32::from(log.is_ok()));
    page.one(
        "almanac_log_head_heard",
        "The last sealed ordinal this process has heard of.",
        *state.parts.database.head().borrow(),
    );
    if let Ok(log) = &log {
        of_sealing(&mut page, log);
        of_subscriptions(&mut page, log);
    }
    of_actors(&mut page, &state);
    HttpResponse::Ok().content_type(MEDIA_TYPE).body(page.0)
}

fn of_sealing(page: &mut Page, log: &LogHealth) {
    page.one("almanac_log_head", "The last sealed ordinal.", log.standing.head);
    page.one("almanac_log_generation", "How many leaders there have been.", log.standing.generation);
    page.one(
        "almanac_log_sound",
        "Whether the last inspection found nothing.",
        i32::from(log.standing.finding.is_none()),
    );
    if let Some(inspected) = log.standing.inspected {
        page.one(
            "almanac_log_inspected_seconds",
            "How long ago the log was inspected.",
            inspected.as_secs_f64(),
        );
    }
    let waiting_ms = log.stall.as_ref().map_or(0, |stall| stall.waiting_ms);
    page.one(
        "almanac_log_unsealed_seconds",
        "The age of the oldest event that waits for its ordinal; 0 where none does.",
        waiting_ms as f64 / 1_000.0,
    );
    page.family(
        "almanac_log_blocking_pid",
        "The server process that holds sealing up; absent where none does.",
    );
    if let Some(pid) = log.stall.as_ref().and_then(|stall| stall.blocking_pid) {
        page.sample("almanac_log_blocking_pid", &[], pid);
    }
    page.one("almanac_log_leader", "Whether a node leads.", i32::from(log.leader.is_some()));
    if let Some(leader) = log.leader {
        page.one("almanac_log_leader_pid", "The server process of the leader's lock.", leader.pid);
        page.one(
            "almanac_log_leader_silent_seconds",
            "How long ago the leader last showed that it lives.",
            leader.silent.as_secs_f64(),
        );
    }
}

fn of_subscriptions(page: &mut Page, log: &LogHealth) {
    let version = |version: i32| version.to_string();
    page.family("almanac_subscription_ordinal", "The last ordinal a subscription has applied.");
    for one in &log.projections {
        let labels = [("subscription", one.name.as_str()), ("version", &version(one.version))];
        page.sample("almanac_subscription_ordinal", &labels, one.ordinal);
    }
    page.family("almanac_subscription_lag", "Sealed events a subscription has not applied.");
    for one in &log.projections {
        let labels = [("subscription", one.name.as_str()), ("version", &version(one.version))];
        page.sample("almanac_subscription_lag", &labels, one.lag);
    }
    page.family("almanac_subscription_stopped", "Whether a subscription has met an event it cannot apply.");
    for one in &log.projections {
        let labels = [("subscription", one.name.as_str()), ("version", &version(one.version))];
        page.sample("almanac_subscription_stopped", &labels, i32::from(one.state == "stopped"));
    }
    page.family(
        "almanac_subscription_parked",
        "Events a subscription has set aside because it cannot apply them.",
    );
    for one in &log.projections {
        let labels = [("subscription", one.name.as_str()), ("version", &version(one.version))];
        page.sample("almanac_subscription_parked", &labels, one.parked);
    }
}

fn of_actors(page: &mut Page, state: &State) {
    let reports = state.actors.reports();
    page.family("almanac_actor_failed", "Whether an actor of this process was given up.");
    for report in &reports {
        page.sample(
            "almanac_actor_failed",
            &[("actor", &report.name)],
            i32::from(report.state == ActorState::Failed),
        );
    }
    page.family("almanac_actor_held", "Whether an actor of this process waits for somebody to look.");
    for report in &reports {
        page.sample(
            "almanac_actor_held",
            &[("actor", &report.name)],
            i32::from(report.state == ActorState::Held),
        );
    }
    page.family("almanac_actor_restarts", "How often an actor of this process was built again.");
    for report in &reports {
        page.sample("almanac_actor_restarts", &[("actor", &report.name)], report.restarts);
    }
}

/// What is sent, line by line.
#[derive(Default)]
struct Page(String);

impl Page {
    fn one(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help);
        self.sample(name, &[], value);
    }

    fn family(&mut self, name: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} gauge"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_a_scraper_reads() {
        let mut page = Page::default();
        page.one("a_head", "The head.", 3);
        page.family("a_lag", "The lag.");
        page.sample("a_lag", &[("of", "x\"y\\z"), ("version", "1")], 0.5);
        assert_eq!(
            page.0,
            "# HELP a_head The head.\n# TYPE a_head gauge\na_head 3\n\
             # HELP a_lag The lag.\n# TYPE a_lag gauge\na_lag{of=\"x\\\"y\\\\z\",version=\"1\"} 0.5\n"
        );
    }
}
