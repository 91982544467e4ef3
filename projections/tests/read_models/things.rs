//! Instruments, ingestions, training runs, and the log itself.

use almanac_domain::instrument::CorporateAction;
use almanac_domain::values::Mode;
use almanac_projections::{event_log, ingestions, instruments, training_runs};
use uuid::Uuid;

use crate::market::{BARS, FIRST, SECOND, model, session};
use crate::story::{AAA, BBB, CCC, Story, day};

fn ids(items: &[instruments::Instrument]) -> Vec<Uuid> {
    items.iter().map(|instrument| instrument.id).collect()
}

#[tokio::test]
async fn instruments_are_found_by_the_beginning_of_their_present_symbol_or_within_their_name() {
    let story = Story::told().await;
    let found =
        async |text| ids(&instruments::search(story.pool(), Some(text), None, 10).await.unwrap().items);
    assert_eq!(found("aa").await, [AAA]);
    assert_eq!(found("BBX").await, [BBB]);
    assert_eq!(found("BBB").await, Vec::<Uuid>::new());
    assert_eq!(found("et").await, [BBB]);
    assert_eq!(found(" ").await, [AAA, BBB, CCC]);
    assert_eq!(found("%").await, Vec::<Uuid>::new());
    let gone = instruments::find(story.pool(), CCC).await.unwrap().unwrap();
    assert_eq!((gone.delisted, gone.last_session), (true, Some(day(2024, 1, 4))));
}

#[tokio::test]
async fn the_pages_of_the_instruments_hold_each_of_them_once() {
    let story = Story::told().await;
    let first = instruments::search(story.pool(), None, None, 2).await.unwrap();
    assert_eq!(ids(&first.items), [AAA, BBB]);
    let cursor = first.next.unwrap().parse().unwrap();
    let second = instruments::search(story.pool(), None, Some(&cursor), 2).await.unwrap();
    assert_eq!((ids(&second.items), second.next), (vec![CCC], None));
}

#[tokio::test]
async fn a_listing_carries_the_splits_the_halt_and_the_end() {
    let story = Story::told().await;
    let listings = instruments::listings(story.pool()).await.unwrap();
    let [split, halted, gone] = listings.as_slice() else { panic!("{listings:?}") };
    let [action] = split.actions.as_slice() else { panic!("{split:?}") };
    assert_eq!(action.action, CorporateAction::Split { ratio: 2.into() });
    assert_eq!(action.effective, day(2022, 6, 1));
    assert_eq!((halted.id, halted.halted_from), (BBB, Some(day(2024, 1, 9))));
    assert_eq!((gone.id, gone.delisted_after), (CCC, Some(day(2024, 1, 4))));
    let exchange = "XNYS".parse().unwrap();
    let listed = async |symbol: &str| {
        let found = instruments::listed_as(story.pool(), &exchange, &symbol.parse().unwrap()).await.unwrap();
        found.map(|listing| listing.id)
    };
    assert_eq!(listed("BBX").await, Some(BBB));
    assert_eq!(listed("CCC").await, None);
    let one = instruments::listings_by_ids(story.pool(), &[BBB]).await.unwrap();
    assert_eq!(one, std::slice::from_ref(halted));
}

#[tokio::test]
async fn a_batch_that_failed_and_then_came_is_one_recorded_batch() {
    let story = Story::told().await;
    let batch = ingestions::find(story.pool(), BARS).await.unwrap().unwrap();
    assert_eq!((batch.state.as_str(), batch.kind.as_str(), batch.failure), ("recorded", "bars", None));
    assert_eq!((batch.rows, batch.quarantined, batch.findings.len()), (3000, 1, 1));
    let list = ingestions::list(story.pool(), None, 2).await.unwrap();
    assert_eq!((list.items.len(), list.next.is_some()), (2, true));
    let rest = ingestions::list(story.pool(), list.next.unwrap().parse().ok(), 2).await.unwrap();
    assert_eq!(rest.items.iter().map(|batch| batch.id).collect::<Vec<_>>(), [BARS]);
}

#[tokio::test]
async fn the_batches_of_a_dataset_are_those_known_by_then_and_of_the_mode() {
    let story = Story::told().await;
    let pool = story.pool();
    let batches = ingestions::bar_batches(pool, Mode::Simulated, i64::MAX).await.unwrap();
    let [early, late] = batches.as_slice() else { panic!("{batches:?}") };
    assert_eq!((early.id, early.last_session, late.last_session), (BARS, session(FIRST), session(SECOND)));
    let before = ingestions::bar_batches(pool, Mode::Simulated, late.ordinal - 1).await.unwrap();
    assert_eq!(before, std::slice::from_ref(early));
    assert_eq!(ingestions::bar_batches(pool, Mode::Live, i64::MAX).await.unwrap(), []);
    assert_eq!(ingestions::headline_batches(pool, Mode::Simulated, i64::MAX).await.unwrap().len(), 1);
    let last = ingestions::last_bars_session(pool, Mode::Simulated).await.unwrap();
    assert_eq!(last, Some(session(SECOND)));
    assert_eq!(ingestions::last_bars_session(pool, Mode::Live).await.unwrap(), None);
}

#[tokio::test]
async fn a_training_run_shows_what_became_of_it_and_what_has_not_ended_is_due() {
    let story = Story::told().await;
    let runs = training_runs::list(story.pool(), Some(&model()), None, 10).await.unwrap().items;
    let states: Vec<&str> = runs.iter().map(|run| run.state.as_str()).collect();
    assert_eq!(states, ["running", "cancelled", "failed", "completed"]);
    let [_, _, failed, completed] = runs.as_slice() else { panic!("{runs:?}") };
    assert_eq!(failed.failure.as_deref(), Some("leak_found: a feature knew the future"));
    assert_eq!(
        (completed.version, completed.rows, completed.reason.as_str()),
        (Some(1), Some(3000), "first_version")
    );
    assert!(completed.ended_at.is_some());
    assert_eq!(training_runs::find(story.pool(), completed.id).await.unwrap().as_ref(), Some(completed));
    let due = training_runs::due(story.pool()).await.unwrap();
    let [due] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!((due.id, due.running, due.plan.family.as_str()), (runs[0].id, true, "onnx"));
}

#[tokio::test]
async fn a_run_that_brings_in_a_model_names_its_files_and_is_no_training_of_the_schedule() {
    let story = Story::told().await;
    let runs = training_runs::list(story.pool(), Some(&model()), None, 10).await.unwrap().items;
    let [brought_in, trained, ..] = runs.as_slice() else { panic!("{runs:?}") };
    let shown = brought_in.import.as_ref().unwrap();
    assert_eq!(shown.learnt_through, Some(day(2023, 12, 29)));
    assert_eq!(shown.files.iter().map(|file| file.horizon.sessions()).collect::<Vec<_>>(), [1, 5]);
    let due = training_runs::due(story.pool()).await.unwrap();
    let files = due[0].import.clone().unwrap().files;
    for (file, shown) in files.iter().zip(&shown.files) {
        assert_eq!((&file.object.sha256, file.object.bytes), (&shown.sha256, shown.bytes));
    }
    assert_eq!(trained.import, None);
    assert_eq!(training_runs::last_of(story.pool(), &model()).await.unwrap().unwrap().id, trained.id);
}

#[tokio::test]
async fn the_log_is_listed_newest_first_up_to_an_ordinal() {
    let story = Story::told().await;
    let head = story.catch_up().await;
    let log = event_log::state(story.pool()).await.unwrap();
    assert_eq!((log.head, log.last_at), (head, Some(story.now())));
    let page = event_log::list(story.pool(), 5, None, None, 3).await.unwrap();
    let ordinals: Vec<i64> = page.items.iter().map(|event| event.ordinal).collect();
    assert_eq!((ordinals, page.next.as_deref()), (vec![5, 4, 3], Some("3")));
    let opened = event_log::list(story.pool(), head, Some("AccountOpened"), None, 9).await.unwrap().items;
    assert_eq!(opened.len(), 3);
    assert_eq!(opened[2].at, log.first_at.unwrap());
}

#[tokio::test]
async fn an_event_that_is_not_applied_yet_shows_as_a_lag() {
    let mut story = Story::told().await;
    story.opens_account(Uuid::from_u128(0xda7e), "dave@example.com").await;
    story.database.seal().await;
    let projections = event_log::projections(story.pool()).await.unwrap();
    assert_eq!(projections.len(), almanac_projections::all().len());
    assert!(projections.iter().all(|projection| projection.lag == 1 && projection.state == "running"));
}
