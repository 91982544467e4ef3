//! The small files beside the bars: `actions.csv` and `instruments.csv`.

use almanac_domain::instrument::CorporateAction;
use almanac_domain::values::{Price, Session};

use crate::sources::{Action, Company, Happening, SourceError};

/// `symbol,date,kind,value`: `split` with new shares for one old, `dividend` with the amount for one share, `delisting`
/// without a value, dated with the last session.
pub(super) fn read_actions(path: &str, bytes: &[u8]) -> Result<Vec<Action>, SourceError> {
    rows(path, bytes, ["symbol", "date", "kind", "value"])?
        .map(|(line, [symbol, date, kind, value])| {
            let wrong = |what: &str| malformed(path, format!("line {line}: {what}"));
            let session: Session = date.parse().map_err(|_| wrong("the date is not YYYY-MM-DD"))?;
            let happening = match kind.as_str() {
                "split" => Happening::Acted(CorporateAction::Split {
                    ratio: value.parse().map_err(|_| wrong("the ratio is not a number"))?,
                }),
                "dividend" => Happening::Acted(CorporateAction::Dividend {
                    amount: Price::new(value.parse().map_err(|_| wrong("the amount is not a number"))?),
                }),
                "delisting" => Happening::Delisted,
                _ => return Err(wrong("the kind is none of split, dividend, delisting")),
            };
            Ok(Action { symbol: symbol.to_uppercase(), session, happening })
        })
        .collect()
}

/// `symbol,name,sector`; other columns are not read.
pub(super) fn read_companies(path: &str, bytes: &[u8]) -> Result<Vec<Company>, SourceError> {
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(rows(path, bytes, ["symbol", "name", "sector"])?
        .map(|(_, [symbol, name, sector])| Company {
            symbol: symbol.to_uppercase(),
            name: known(name),
            sector: known(sector),
        })
        .collect())
}

/// The wanted columns of each row with its line number. Fields with commas are not foreseen in these files, except
/// between quotation marks.
fn rows<const N: usize>(
    path: &str,
    bytes: &[u8],
    wanted: [&str; N],
) -> Result<impl Iterator<Item = (usize, [String; N])>, SourceError> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(path, "not UTF-8 text".to_owned()))?;
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().enumerate().map(|(place, line)| (place + 1, fields(line)));
    let header = lines.next().map(|(_, header)| header).unwrap_or_default();
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(wanted) {
        *place = header
            .iter()
            .position(|field| field.eq_ignore_ascii_case(name))
            .ok_or_else(|| malformed(path, format!("the column `{name}` is missing")))?;
    }
    let rows: Vec<_> = lines
        .filter(|(_, fields)| fields.iter().any(|field| !field.is_empty()))
        .map(|(line, fields)| (line, places.map(|place| fields.get(place).cloned().unwrap_or_default())))
        .collect();
    Ok(rows.into_iter())
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for character in line.trim().chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

fn malformed(path: &str, detail: String) -> SourceError {
    SourceError::Malformed { path: path.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn actions_are_read_in_any_order_of_columns() {
        let text = b"date,symbol,value,kind\n2020-08-31,abc,4,split\n2020-02-07,ABC,0.77,dividend\n2021-01-05,XYZ,,delisting\n";
        let actions = read_actions("actions.csv", text).unwrap();
        assert_eq!(actions.len(), 3);
        assert_eq!(actions[0].symbol, "ABC");
        assert!(matches!(actions[0].happening, Happening::Acted(CorporateAction::Split { .. })));
        assert_eq!(actions[2].happening, Happening::Delisted);
    }

    #[test]
    fn an_unreadable_action_is_named_by_its_line() {
        let refused = read_actions("actions.csv", b"symbol,date,kind,value\nABC,2020-08-31,split,four\n");
        assert_eq!(refused.unwrap_err().to_string(), "`actions.csv`: line 2: the ratio is not a number");
    }

    #[test]
    fn a_company_may_have_a_comma_in_its_name() {
        let text = b"symbol,name,sector,exchange\nABC,\"Alpha, Beta & Co\",,XNYS\n";
        let companies = read_companies("instruments.csv", text).unwrap();
        assert_eq!(companies[0].name.as_deref(), Some("Alpha, Beta & Co"));
        assert_eq!(companies[0].sector, None);
    }
}
