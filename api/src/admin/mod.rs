//! `/admin`: what only an administrator sees.

pub mod actors;
pub mod events;
pub mod ingestions;
pub mod log;
pub mod projections;
pub mod stories;
pub mod trials;
