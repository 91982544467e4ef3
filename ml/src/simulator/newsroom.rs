//! Invented headlines whose tone is weakly linked with the day's return.

use almanac_domain::calendar::Calendar;
use almanac_domain::values::Session;
use chrono::{DateTime, TimeDelta, Utc};

use super::draws::Draws;
use super::stock::{Occasion, TYPICAL_SIGMA, Trading};

/// Headlines on an ordinary day of one stock: about two a week.
const CHANCE_OF_A_HEADLINE: f64 = 0.4;
/// Share of headlines that take no side.
const NEUTRAL_SHARE: f64 = 0.3;
/// How strongly the tone follows the day's return, counted in typical standard deviations.
const TONE_SLOPE: f64 = 0.8;

const GOOD: [&str; 14] = [
    "{name} wins {amount} million dollar contract",
    "{name} shares climb as analysts turn more confident",
    "Broker upgrades {name} on stronger demand",
    "{name} raises its outlook for the year",
    "{name} expands into new markets after record orders",
    "{name} announces {amount} million dollar share buyback",
    "Investors cheer margin gains at {name}",
    "{name} rallies as costs fall faster than planned",
    "{name} settles patent dispute on favourable terms",
    "Strong bookings lift {name}",
    "{name} lands partnership with a leading supplier",
    "Price target for {name} increased to {amount}",
    "{name} reduces debt ahead of schedule",
    "Regulator approves latest product of {name}",
];

const BAD: [&str; 14] = [
    "{name} loses {amount} million dollar contract",
    "{name} shares slip as analysts turn more cautious",
    "Broker downgrades {name} on weaker demand",
    "{name} cuts its outlook for the year",
    "{name} recalls product after complaints",
    "{name} faces lawsuit over {amount} million dollar deal",
    "Investors worry about shrinking margins at {name}",
    "{name} tumbles as costs rise faster than planned",
    "Regulator opens probe into {name}",
    "Weak bookings weigh on {name}",
    "{name} delays opening of its newest plant",
    "Price target for {name} lowered to {amount}",
    "{name} warns of supply shortages",
    "Key executive quits {name} unexpectedly",
];

const NEUTRAL: [&str; 9] = [
    "{name} to present at industry conference",
    "{name} names new head of operations",
    "{name} schedules annual meeting of shareholders",
    "What to know about {name} this week",
    "{name} opens office in the capital",
    "{name} files quarterly report",
    "Interview: the chief engineer of {name}",
    "{name} moves headquarters across town",
    "{name} completes change of its accounting system",
];

/// Writes the headlines of one company.
#[derive(Debug, Clone)]
pub(super) struct Newsroom(Draws);

impl Newsroom {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(Draws::new(seed, stream))
    }

    /// The headlines about one session of one company, with their times of publication: before the opening,
    /// while it trades, or in the hours after the close.
    pub(super) fn write(
        &mut self,
        session: Session,
        name: &str,
        day: &Trading,
    ) -> Option<(DateTime<Utc>, String)> {
        let writes = self.0.chance(CHANCE_OF_A_HEADLINE);
        let text = match day.occasion {
            Occasion::Takeover => Some(format!(
                "{name} agrees to be acquired at a premium, shares to be delisted on completion"
            )),
            Occasion::Results if day.total_return > 0.0 => {
                Some(format!("{name} quarterly profit beats estimates"))
            }
            Occasion::Results => Some(format!("{name} quarterly profit misses estimates")),
            Occasion::Ordinary => writes.then(|| self.ordinary(name, day.total_return)),
        };
        text.map(|text| (self.time(session, day.occasion), text))
    }

    fn ordinary(&mut self, name: &str, total_return: f64) -> String {
        let strength = (total_return / TYPICAL_SIGMA).clamp(-3.0, 3.0);
        let good = 1.0 / (1.0 + libm::exp(-TONE_SLOPE * strength));
        let templates: &[&str] = if self.0.chance(NEUTRAL_SHARE) {
            &NEUTRAL
        } else if self.0.chance(good) {
            &GOOD
        } else {
            &BAD
        };
        let amount = 5 * (2 + self.0.below(58));
        self.0.pick(templates).replace("{name}", name).replace("{amount}", &amount.to_string())
    }

    fn time(&mut self, session: Session, occasion: Occasion) -> DateTime<Utc> {
        let (opens, closes) =
            (Calendar::UnitedStates.opens_at(session), Calendar::UnitedStates.closes_at(session));
        let part = self.0.uniform();
        let within = self.0.uniform();
        let minutes = |length: f64| TimeDelta::minutes((length * within) as i64);
        // What moved the opening was known before it.
        if occasion != Occasion::Ordinary || part < 0.25 {
            opens - TimeDelta::minutes(5) - minutes(150.0)
        } else if part < 0.8 {
            opens + minutes((closes - opens).num_minutes() as f64)
        } else {
            closes + TimeDelta::minutes(5) + minutes(175.0)
        }
    }
}
