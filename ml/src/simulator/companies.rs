//! Invented companies. Their tickers are five consonants, a shape that no listed share is known by here.

use std::collections::BTreeSet;

use super::draws::Draws;

/// The sectors, each with what its companies call themselves and how strongly it moves with the market.
const SECTORS: [(&str, [&str; 4], f64); 8] = [
    ("Technology", ["Systems", "Software", "Semiconductors", "Networks"], 1.25),
    ("Health Care", ["Therapeutics", "Diagnostics", "Medical", "Biologics"], 0.85),
    ("Financials", ["Bancorp", "Insurance", "Capital", "Financial"], 1.1),
    ("Industrials", ["Engineering", "Logistics", "Aerospace", "Machinery"], 1.05),
    ("Consumer", ["Foods", "Brands", "Stores", "Leisure"], 0.8),
    ("Energy", ["Petroleum", "Energy", "Pipelines", "Drilling"], 1.0),
    ("Materials", ["Chemicals", "Metals", "Paper", "Minerals"], 1.0),
    ("Utilities", ["Power", "Water", "Gas", "Grid"], 0.55),
];

const FIRST: [&str; 40] = [
    "Brint", "Caldr", "Drund", "Elvr", "Fjord", "Glenm", "Hartw", "Ivrand", "Jostr", "Kelvr", "Lorng",
    "Mondr", "Nerst", "Ostrav", "Pelgr", "Quorn", "Rusk", "Sondr", "Tarnw", "Ulvest", "Verst", "Wendr",
    "Xandr", "Yarl", "Zelk", "Ambr", "Borsk", "Crast", "Dvorn", "Ekstr", "Falk", "Grond", "Holst", "Jask",
    "Kostr", "Lindv", "Morv", "Norrl", "Palst", "Ravn",
];

const SECOND: [&str; 40] = [
    "holm", "avik", "emont", "ister", "oway", "undra", "eford", "alind", "ogate", "imere", "enfell", "arrow",
    "olvar", "astide", "ebrook", "ingham", "orant", "ulmar", "adell", "evane", "ishaw", "ombe", "ander",
    "ewick", "orsund", "alux", "ivar", "etton", "omark", "uvane", "agrove", "eltham", "ibourne", "osgard",
    "aport", "elund", "irath", "oleigh", "anthe", "ekirk",
];

/// Consonants a ticker may end in: the final letters that mark funds, foreign shares and bankruptcy are left out.
const ENDINGS: &[u8] = b"BCDGHJKLMNPRSTVWZ";

/// Trading places of the invented companies.
const EXCHANGES: [&str; 2] = ["XNYS", "XNAS"];

/// As many companies as have names and tickers of their own.
pub const MOST_COMPANIES: usize = 5_000;

/// An invented company whose share the simulator trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// The ticker symbol.
    pub symbol: String,
    /// The company's name.
    pub name: String,
    /// The sector's name.
    pub sector: &'static str,
    /// The market identifier code of its exchange.
    pub exchange: &'static str,
}

/// How many sectors there are.
pub(super) const SECTOR_COUNT: usize = SECTORS.len();

/// The usual loading on the market of the sector at `index`.
pub(super) fn market_loading(index: usize) -> f64 {
    SECTORS[index].2
}

/// Founds `count` companies with different names and symbols; the sector of the n-th is `n % SECTOR_COUNT`.
pub(super) fn found(count: usize, draws: &mut Draws) -> Vec<Company> {
    let (mut names, mut symbols) = (BTreeSet::new(), BTreeSet::new());
    (0..count)
        .map(|number| {
            let (sector, trades, _) = &SECTORS[number % SECTOR_COUNT];
            loop {
                let stem = format!("{}{}", draws.pick(&FIRST), draws.pick(&SECOND));
                let name = format!("{stem} {}", draws.pick(trades));
                let symbol = ticker(&stem, &symbols);
                if let Some(symbol) = symbol
                    && names.insert(name.clone())
                {
                    symbols.insert(symbol.clone());
                    break Company { symbol, name, sector, exchange: draws.pick(&EXCHANGES) };
                }
            }
        })
        .collect()
}

/// Five consonants of `stem` that nobody uses yet; the last two give way when the natural choice is taken.
fn ticker(stem: &str, taken: &BTreeSet<String>) -> Option<String> {
    let mut letters: Vec<u8> =
        stem.bytes().map(|b| b.to_ascii_uppercase()).filter(|b| !b"AEIOUY".contains(b)).collect();
    letters.extend_from_slice(b"LRND");
    letters.truncate(5);
    let natural = [letters[3], letters[4]];
    let fourth = std::iter::once(&natural[0]).chain(ENDINGS);
    fourth
        .flat_map(|fourth| std::iter::once(&natural[1]).chain(ENDINGS).map(move |fifth| (fourth, fifth)))
        .filter(|(_, fifth)| ENDINGS.contains(fifth))
        .map(|(fourth, fifth)| {
            let bytes = [letters[0], letters[1], letters[2], *fourth, *fifth];
            bytes.iter().map(|b| char::from(*b)).collect::<String>()
        })
        .find(|symbol| !taken.contains(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use almanac_domain::values::Symbol;

    #[test]
    fn thousands_of_companies_have_names_and_tickers_of_their_own() {
        let companies = found(MOST_COMPANIES, &mut Draws::new(1, 0));
        let symbols: BTreeSet<&str> = companies.iter().map(|company| company.symbol.as_str()).collect();
        let names: BTreeSet<&str> = companies.iter().map(|company| company.name.as_str()).collect();
        assert_eq!((symbols.len(), names.len()), (MOST_COMPANIES, MOST_COMPANIES));
        assert!(symbols.iter().all(|symbol| symbol.len() == 5 && symbol.parse::<Symbol>().is_ok()));
        assert!(symbols.iter().all(|symbol| !symbol.contains(['A', 'E', 'I', 'O', 'U'])));
    }
}
