//! Turns the pieces of a session's mail into its two bodies. The templates lie in `templates/`; what is put into the
//! HTML one is escaped.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// Everything the templates of a session's mail say; numbers are written already.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SessionPage {
    pub(super) subject: String,
    /// What a mail client shows beside the subject.
    pub(super) preview: String,
    pub(super) session: String,
    pub(super) model: String,
    pub(super) version: u32,
    /// Set unless the data and the clock are real.
    pub(super) mode_title: Option<&'static str>,
    pub(super) mode_words: Option<&'static str>,
    pub(super) stocks: Vec<Stock>,
    pub(super) track_record_url: String,
    pub(super) unsubscribe_url: Option<String>,
    /// The newest signed head of the log, for the reader to keep.
    pub(super) checkpoint: Option<String>,
}

/// One watched stock.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Stock {
    pub(super) symbol: String,
    pub(super) name: Option<String>,
    pub(super) close: Option<String>,
    pub(super) url: String,
    pub(super) lines: Vec<Line>,
}

/// One horizon of a stock: a forecast, or the reason why there is none.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    pub(super) horizon: String,
    pub(super) forecast: Option<ForecastWords>,
    pub(super) abstention: Option<String>,
    pub(super) record: String,
}

/// A forecast in words.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ForecastWords {
    pub(super) expected: String,
    /// `up` or `down`: the class that colours the expected move.
    pub(super) direction: &'static str,
    pub(super) low: String,
    pub(super) high: String,
    pub(super) low_price: String,
    pub(super) high_price: String,
    pub(super) probability_up: String,
    /// Not said of forecasts from before it was written down.
    pub(super) volatility: Option<String>,
    /// Not said where too few stocks were forecast.
    pub(super) fifths: Option<String>,
}

/// The two bodies of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bodies {
    pub(super) html: String,
    pub(super) text: String,
}

/// The templates, parsed once.
#[derive(Debug)]
pub(super) struct Templates(Environment<'static>);

impl Templates {
    pub(super) fn new() -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template("session.html", include_str!("templates/session.html"))?;
        environment.add_template("session.txt", include_str!("templates/session.txt"))?;
        Ok(Self(environment))
    }

    pub(super) fn session(&self, page: &SessionPage) -> Result<Bodies, minijinja::Error> {
        let render = |name| self.0.get_template(name)?.render(Serde(page));
        Ok(Bodies { html: render("session.html")?, text: render("session.txt")? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn page() -> SessionPage {
        let forecast = ForecastWords {
            expected: "+0.42%".into(),
            direction: "up",
            low: "−1.80%".into(),
            high: "+2.63%".into(),
            low_price: "98.20".into(),
            high_price: "102.63".into(),
            probability_up: "54%".into(),
            volatility: Some("1.7%".into()),
            fifths: Some("21%, 19%, 18%, 20%, 22%".into()),
        };
        let line = |horizon: &str, forecast, abstention| Line {
            horizon: horizon.into(),
            forecast,
            abstention,
            record: "No forecast of this stock at this horizon has been scored yet.".into(),
        };
        SessionPage {
            subject: "AAA: forecasts after 4 March 2024".into(),
            preview: "AAA +0.42%".into(),
            session: "Monday, 4 March 2024".into(),
            model: "us-daily".into(),
            version: 3,
            mode_title: Some("Simulated."),
            mode_words: Some("This market does not exist."),
            stocks: vec![Stock {
                symbol: "AAA".into(),
                name: Some("Anvils & <b>Arrows</b>".into()),
                close: Some("100.00".into()),
                url: "https://almanac.example/instruments/1".into(),
                lines: vec![
                    line("1 session ahead", Some(forecast), None),
                    line("5 sessions ahead", None, Some("too few bars".into())),
                ],
            }],
            track_record_url: "https://almanac.example/track-record".into(),
            unsubscribe_url: Some("https://almanac.example/unsubscribe?token=a.b".into()),
            checkpoint: Some("example.org\n3\nBwcH+/c=\n\n\u{2014} example.org x08go/ZJ=\n".into()),
        }
    }

    #[test]
    fn both_bodies_say_the_same_numbers() {
        let bodies = Templates::new().unwrap().session(&page()).unwrap();
        for said in [
            "+0.42%",
            "−1.80%",
            "+2.63%",
            "98.20",
            "102.63",
            "54%",
            "1.7%",
            "21%, 19%, 18%, 20%, 22%",
            "100.00",
            "us-daily",
            "too few bars",
            "Simulated.",
        ] {
            assert!(bodies.html.contains(said), "the HTML lacks {said}");
            assert!(bodies.text.contains(said), "the text lacks {said}:\n{}", bodies.text);
        }
    }

    #[test]
    fn a_name_cannot_become_markup() {
        let bodies = Templates::new().unwrap().session(&page()).unwrap();
        assert!(bodies.html.contains("Anvils &amp; &lt;b&gt;Arrows&lt;"), "{}", bodies.html);
        assert!(bodies.text.contains("Anvils & <b>Arrows</b>"));
    }

    #[test]
    fn a_mail_carries_the_signed_head_of_the_log_as_it_is() {
        let bodies = Templates::new().unwrap().session(&page()).unwrap();
        let note = page().checkpoint.unwrap();
        assert!(bodies.text.contains(&note), "{}", bodies.text);
        let html = bodies.html.replace("&#x2f;", "/").replace("&#x3d;", "=").replace("&#x2b;", "+");
        assert!(html.contains(&note), "{html}");
        let without = SessionPage { checkpoint: None, ..page() };
        let bodies = Templates::new().unwrap().session(&without).unwrap();
        assert!(!bodies.text.contains("signed head") && !bodies.html.contains("signed head"));
    }

    #[test]
    fn a_live_mail_carries_no_banner() {
        let mut live = page();
        (live.mode_title, live.mode_words) = (None, None);
        let bodies = Templates::new().unwrap().session(&live).unwrap();
        assert!(!bodies.html.contains("class=\"note\"") && !bodies.text.contains("Simulated"));
    }
}
