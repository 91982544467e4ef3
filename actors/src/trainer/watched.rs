//! Heavy work on a thread of its own that somebody on the command line waits for.

use std::sync::Arc;
use std::time::Duration;

use super::Watch;
use crate::trade::TradeError;

/// How long a look waits for the end before it tells how far the work is.
const LOOK: Duration = Duration::from_millis(100);

/// Does `work` on a blocking thread and tells `progress` of each of its steps.
pub(super) async fn watched<R: Send + 'static>(
    work: impl FnOnce(&Watch) -> R + Send + 'static,
    progress: &mut (dyn FnMut(almanac_ml::Progress) + Send),
) -> Result<R, TradeError> {
    let watch = Arc::<Watch>::default();
    let mut work = {
        let watch = Arc::clone(&watch);
        tokio::task::spawn_blocking(move || work(&watch))
    };
    let mut told = None;
    loop {
        let done = tokio::time::timeout(LOOK, &mut work).await;
        let now = watch.now();
        if now != told {
            told = now;
            now.into_iter().for_each(&mut *progress);
        }
        if let Ok(done) = done {
            return done.map_err(TradeError::broken("the work broke off"));
        }
    }
}
