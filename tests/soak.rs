//! The service killed again and again under load, and nodes restarted one after the other.
//!
//! Bounded as part of the other tests; long with `make soak`, which says how long by these variables:
//! `ALMANAC_TEST_KILLS` (how often the process is killed), `ALMANAC_TEST_SECONDS` (how long two nodes are restarted), and
//! `ALMANAC_TEST_SEED` (which kills, printed by each run).

#![allow(clippy::expect_used, reason = "a helper of a test fails its test by panicking")]

mod soak {
    mod kills;
    mod nodes;
    mod world;
}
