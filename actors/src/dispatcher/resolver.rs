//! Looks a host's name up and lets a connection go only where the guard allows. The addresses that were checked are
//! the addresses connected to: there is no second look-up in which a name could mean something else.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::url_guard::{Reach, check_address};

/// Asks the machine's own resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Asks another resolver and refuses the name when any of its addresses may not be reached: a name with mixed
/// answers is one that somebody prepared.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    pub(super) asked: Arc<dyn Resolve>,
    pub(super) reach: Reach,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (asking, reach) = (self.asked.resolve(name), self.reach);
        Box::pin(async move {
            let found: Vec<SocketAddr> = asking.await?.collect();
            for address in &found {
                check_address(address.ip(), reach)
                    .map_err(|refused| Box::new(refused) as Box<dyn Error + Send + Sync>)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::net::IpAddr;
    use std::sync::Mutex;

    use super::*;

    /// Gives one answer after the other, whatever it is asked.
    struct Rebinding(Mutex<Vec<Vec<IpAddr>>>);

    impl Resolve for Rebinding {
        fn resolve(&self, _: Name) -> Resolving {
            let answer = self.0.lock().unwrap().remove(0);
            let found = answer.into_iter().map(|address| SocketAddr::new(address, 0));
            Box::pin(async move { Ok(Box::new(found) as Addrs) })
        }
    }

    #[tokio::test]
    async fn fault_39_a_name_that_changes_its_meaning_is_checked_each_time_it_is_looked_up() {
        let public: IpAddr = [93, 184, 215, 14].into();
        let inside: IpAddr = [127, 0, 0, 1].into();
        let answers = vec![vec![public], vec![inside], vec![public, inside], vec![public]];
        let asked = Arc::new(Rebinding(Mutex::new(answers)));
        let guarded = GuardedResolver { asked, reach: Reach::PublicHttps };
        let mut seen = Vec::new();
        for _ in 0..4 {
            let answer = guarded.resolve("rebinding.example".parse().unwrap()).await;
            seen.push(answer.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>()).ok());
        }
        assert_eq!(seen, [Some(vec![public]), None, None, Some(vec![public])]);
    }
}
