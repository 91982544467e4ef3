//! When things happen, and the outside world: ingestion, training, prediction, scoring, mails, webhooks.
//!
//! An actor here is a [`trade::Trade`] behind a doorbell: rung, it makes passes until nothing is due. What is due it
//! finds in the log and the tables of `almanac-projections`; what it computes comes from `almanac-ml`; what it does is
//! a command of `almanac-domain`, executed through `almanac-store`. It may not hold the only copy of a fact, may not
//! write SQL, and may not decide what a rule of the domain decides. HTTP status codes and configuration files are not
//! known here: settings come as plain structs ([`settings`]).
//!
//! Start with [`supervisor`], the only file that knows which actors there are, then read one trade, such as
//! [`scorer`], from top to bottom.
//!
//! To add an actor: a file with a type that is a [`trade::Trade`], and one line in `supervisor::graph`. To add a source
//! of market data: a file in [`sources`] with a type that is a [`sources::MarketData`], one line in [`sources::of`], and
//! one in the contract test.

pub mod dispatcher;
pub mod erasure;
pub mod explanations;
pub mod forecaster;
pub mod ingestion;
pub mod ingestor;
pub mod market;
pub mod news;
pub mod notary;
pub mod notifier;
pub mod parts;
pub mod projector;
pub mod rebuilder;
pub mod scheduler;
pub mod scorer;
pub mod sealer;
pub mod settings;
pub mod sources;
pub mod supervisor;
pub mod trade;
pub mod trainer;
pub mod umpire;

pub use parts::Parts;
pub use settings::Settings;
