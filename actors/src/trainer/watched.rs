//! Heavy work on a thread of its own that somebody on the command line waits for.

use std::sync::Arc;
use std::time::Duration;

use almanac_ml::Progress;

use super::Watch;
use crate::trade::TradeError;

/// How long a look waits for the end before it tells how far the work is.
const LOOK: Duration = Duration::from_millis(100);

/// Does `work` on a blocking thread and tells `progress` of each of its steps.
pub(super) async fn watched<R: Send + 'static>(
    work: impl FnOnce(&Watch) -> R + Send + 'static,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<R, TradeError> {
    let watch = Arc::<Watch>::default();
    let mut work = {
        let watch = Arc::clone(&watch);
        tokio::task::spawn_blocking(move || work(&watch))
    };
    let mut steps = Steps::new(progress);
    loop {
        let done = tokio::time::timeout(LOOK, &mut work).await;
        steps.tell(watch.now());
        if let Ok(done) = done {
            return done.map_err(TradeError::broken("the work broke off"));
        }
    }
}

/// Tells somebody of each step once.
pub(super) struct Steps<'a> {
    told: Option<Progress>,
    progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl<'a> Steps<'a> {
    /// Nothing has been told yet.
    pub(super) fn new(progress: &'a mut (dyn FnMut(Progress) + Send)) -> Self {
        Self { told: None, progress }
    }

    /// Tells how far the work is now, unless that was told before.
    pub(super) fn tell(&mut self, now: Option<Progress>) {
        if now != self.told {
            self.told = now;
            now.into_iter().for_each(&mut *self.progress);
        }
    }
}

#[cfg(test)]
mod tests {
    use almanac_ml::Stage;

    use super::*;

    fn step(step: usize) -> Progress {
        Progress { stage: Stage::Features, step, steps: 3 }
    }

    #[test]
    fn each_step_is_told_once_and_nothing_before_the_first() {
        let mut told = Vec::new();
        let mut tell = |progress: Progress| told.push(progress.step);
        let mut steps = Steps::new(&mut tell);
        for now in [None, Some(step(1)), Some(step(1)), Some(step(2)), Some(step(2))] {
            steps.tell(now);
        }
        assert_eq!(told, [1, 2]);
    }
}
