//! Accounts, watchlists and webhook endpoints.

use almanac_domain::account::{Account, AccountCommand};
use almanac_domain::webhook_endpoint::{WebhookEndpoint, WebhookEndpointCommand};
use almanac_projections::{accounts, watchlists, webhook_endpoints};
use almanac_store::log::Extras;
use serde_json::json;
use uuid::Uuid;

use crate::market::model;
use crate::story::{AAA, ALICE, ALICES_LIST, BOB, BOBS_LIST, CAROL, HOOK, Story};

#[tokio::test]
async fn an_account_is_shown_with_its_address_its_role_and_its_wishes() {
    let story = Story::told().await;
    let alice = accounts::find(story.pool(), ALICE).await.unwrap().unwrap();
    let shown = serde_json::to_value(&alice).unwrap();
    let expected = json!({ "id": ALICE, "email": "alice@example.com", "admin": true, "session_mail": true });
    assert_eq!(shown, expected);
    assert!(!alice.suspended);
    assert!(!accounts::find(story.pool(), CAROL).await.unwrap().unwrap().session_mail);
    let admins = accounts::admins(story.pool()).await.unwrap();
    assert_eq!(admins.iter().map(|admin| admin.id).collect::<Vec<_>>(), [ALICE]);
    assert_eq!(accounts::count(story.pool()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_suspended_account_is_shown_as_suspended() {
    let mut story = Story::told().await;
    story.does::<Account>(CAROL, AccountCommand::Suspend).await;
    story.catch_up().await;
    assert!(accounts::find(story.pool(), CAROL).await.unwrap().unwrap().suspended);
}

#[tokio::test]
async fn an_erased_account_is_gone_before_its_event_is_even_applied() {
    let mut story = Story::told().await;
    let extras = Extras::none().forget_vault_of(CAROL);
    story.does_with::<Account>(CAROL, AccountCommand::Erase, extras).await;
    assert_eq!(accounts::find(story.pool(), CAROL).await.unwrap(), None);
    story.catch_up().await;
    assert_eq!(accounts::find(story.pool(), CAROL).await.unwrap(), None);
    assert_eq!(accounts::count(story.pool()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_watchlist_shows_its_present_name_its_instruments_and_their_newest_predictions() {
    let story = Story::told().await;
    let lists = watchlists::of_account(story.pool(), ALICE, Some(&model())).await.unwrap();
    let [list] = lists.as_slice() else { panic!("{lists:?}") };
    assert_eq!((list.id, list.name.as_str()), (ALICES_LIST, "My favourites"));
    let [watched] = list.instruments.as_slice() else { panic!("{list:?}") };
    assert_eq!(watched.instrument.id, AAA);
    let latest: Vec<_> = watched.latest.iter().map(|made| (made.horizon.sessions(), made.version)).collect();
    assert_eq!(latest, [(1, 2), (5, 1)]);
    let shown = serde_json::to_value(watched).unwrap();
    assert_eq!(shown["symbol"], "AAA");
    assert_eq!(watchlists::owner(story.pool(), ALICES_LIST).await.unwrap(), Some(ALICE));
    assert_eq!(watchlists::instruments_of(story.pool(), ALICES_LIST).await.unwrap(), [AAA]);
}

#[tokio::test]
async fn the_lists_and_endpoints_of_an_erased_account_are_gone() {
    let story = Story::told().await;
    assert_eq!(watchlists::of_account(story.pool(), BOB, None).await.unwrap(), []);
    assert_eq!(watchlists::owner(story.pool(), BOBS_LIST).await.unwrap(), None);
    assert_eq!(watchlists::instruments_of(story.pool(), BOBS_LIST).await.unwrap(), Vec::<Uuid>::new());
    assert_eq!(webhook_endpoints::of_account(story.pool(), BOB).await.unwrap(), []);
    // The log still knows that the list held two instruments until its owner left.
    let added = "select count(*) from events where aggregate_id = $1 and event_type = 'AddedToWatchlist'";
    let added: i64 =
        sqlx::query_scalar(added).bind(BOBS_LIST.to_string()).fetch_one(story.pool()).await.unwrap();
    assert_eq!(added, 2);
}

#[tokio::test]
async fn an_endpoint_is_shown_to_its_owner_only() {
    let story = Story::told().await;
    let own = webhook_endpoints::of_account(story.pool(), ALICE).await.unwrap();
    let [endpoint] = own.as_slice() else { panic!("{own:?}") };
    assert_eq!((endpoint.id, endpoint.url.as_str()), (HOOK, "https://example.com/hook"));
    assert!(endpoint.enabled && endpoint.disabled_reason.is_none());
    assert_eq!(endpoint.event_types.len(), 4);
    assert_eq!(webhook_endpoints::find(story.pool(), ALICE, HOOK).await.unwrap().as_ref(), Some(endpoint));
    assert_eq!(webhook_endpoints::find(story.pool(), CAROL, HOOK).await.unwrap(), None);
}

#[tokio::test]
async fn a_disabled_endpoint_says_why_and_its_secret_is_in_no_debug_text() {
    let mut story = Story::told().await;
    let disable = WebhookEndpointCommand::DisableEndpoint { by: None, reason: "gone".into() };
    story.does::<WebhookEndpoint>(HOOK, disable).await;
    story.catch_up().await;
    let endpoint = webhook_endpoints::find(story.pool(), ALICE, HOOK).await.unwrap().unwrap();
    assert_eq!((endpoint.enabled, endpoint.disabled_reason.as_deref()), (false, Some("gone")));
    let target = webhook_endpoints::target(story.pool(), HOOK).await.unwrap().unwrap();
    assert_eq!((target.owner, target.enabled, target.secret.as_str()), (ALICE, false, "whsec_c2VjcmV0"));
    assert!(!format!("{target:?}").contains("c2VjcmV0"));
}
