//! Every reaction names its cause: from any event one reaches all that led to it and all that came of it.

use std::collections::{BTreeMap, HashMap};

use almanac_projections::stories::{self, StoryNode};
use almanac_store::log::Recorded;

use crate::world::{PATIENCE, World, events};

fn cause_of(event: &Recorded) -> Option<&str> {
    event.metadata.get("causation_id")?.as_str()
}

/// What may cause an event of this type; nothing where it is how a story begins.
fn expected(event_type: &str) -> &'static [&'static str] {
    match event_type {
        "InstrumentListed"
        | "CorporateActionRecorded"
        | "InstrumentDelisted"
        | "BarsIngested"
        | "HeadlinesIngested" => &[],
        "TrainingRequested" => &["BarsIngested"],
        "TrainingStarted" => &["TrainingRequested"],
        "ModelVersionRegistered" => &["TrainingStarted"],
        "TrainingCompleted" | "ModelVersionPromoted" | "TrialOpened" => &["ModelVersionRegistered"],
        "RoundOpened" => &["BarsIngested", "ModelVersionPromoted"],
        "RoundCompleted" => &["RoundOpened"],
        // In shadow it answers the round that is complete.
        "PredictionPublished" | "PredictionAbstained" => &["RoundOpened", "RoundCompleted"],
        "PredictionScored" | "PredictionVoided" => &["PredictionPublished"],
        other => panic!("nobody has said what causes {other}"),
    }
}

/// The types of the events from a root to the one that was asked for.
fn path(nodes: &[StoryNode]) -> Option<Vec<&str>> {
    nodes.iter().find_map(|node| {
        let rest = if node.selected { Some(vec![]) } else { path(&node.children) };
        rest.map(|rest| [vec![node.event.event_type.as_str()], rest].concat())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn from_bars_to_scores_every_event_says_what_it_came_of_and_the_story_tells_it() {
    let (mut world, sessions) = World::simulated(6).await;
    world.settings.training.retrain_every = 3;
    let (_parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    for session in &sessions[sessions.len() - 6..] {
        world.close(*session);
        running.run_until_idle(PATIENCE).await.unwrap();
    }
    running.stop().await;

    let log = events(world.database.database()).await;
    let by_key: HashMap<String, &Recorded> = log.iter().map(|event| (event.key.to_string(), event)).collect();
    let mut links: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in &log {
        let expected = expected(&event.event_type);
        let Some(cause) = cause_of(event) else {
            assert!(expected.is_empty(), "{} names no cause", event.key);
            continue;
        };
        let cause = by_key[cause];
        assert!(expected.contains(&&*cause.event_type), "{} of {}", event.event_type, cause.event_type);
        assert!(cause.ordinal < event.ordinal, "{} came before its cause", event.key);
        assert_eq!(event.correlation_id(), cause.correlation_id(), "{} belongs elsewhere", event.key);
        if event.event_type == "PredictionScored" {
            assert_eq!(event.key.aggregate_id, cause.key.aggregate_id);
        }
        *links.entry((&cause.event_type, &event.event_type)).or_default() += 1;
    }
    for link in [
        ("BarsIngested", "RoundOpened"),
        ("BarsIngested", "TrainingRequested"),
        ("ModelVersionRegistered", "ModelVersionPromoted"),
        ("ModelVersionRegistered", "TrialOpened"),
        ("RoundCompleted", "PredictionPublished"),
        ("PredictionPublished", "PredictionScored"),
    ] {
        assert!(links.contains_key(&link), "{link:?} did not happen: {links:?}");
    }
    // What comes of one batch of bars belongs together, whatever made it known.
    let first_bars = log.iter().find(|event| event.event_type == "BarsIngested").unwrap();
    for event in log.iter().filter(|event| event.event_type == "InstrumentListed") {
        assert_eq!(event.correlation_id(), first_bars.correlation_id());
    }

    let score = log.iter().find(|event| event.event_type == "PredictionScored").unwrap();
    let story = stories::of(world.database.pool(), score.event_id).await.unwrap().unwrap();
    assert_eq!(
        path(&story.root).unwrap(),
        [
            "BarsIngested",
            "TrainingRequested",
            "TrainingStarted",
            "ModelVersionRegistered",
            "ModelVersionPromoted",
            "RoundOpened",
            "PredictionPublished",
            "PredictionScored"
        ]
    );
}
