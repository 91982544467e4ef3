//! Tables for people: columns as wide as their widest cell.

use super::super::{Failure, say};

/// Prints a table with its head; numbers stand to the right.
pub(super) fn print<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    lines(head, rows).iter().try_for_each(|line| say(line))
}

fn lines<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let wide = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(wide);
    let is_number = |column: usize| {
        let numbers = rows.iter().filter(|row| row[column] != NOTHING);
        numbers.clone().count() > 0 && numbers.into_iter().all(|row| row[column].parse::<f64>().is_ok())
    };
    let to_the_right: [bool; N] = std::array::from_fn(is_number);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).zip(to_the_right).map(|((cell, width), right)| {
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let body = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    [line(head)].into_iter().chain(body).collect()
}

/// What stands where there is nothing.
pub(super) const NOTHING: &str = "-";

/// A value, or what stands for none.
pub(super) fn or_nothing(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_to_the_right() {
        let rows = [
            ["ridge".to_owned(), "0.5".to_owned()],
            ["elastic_net".to_owned(), NOTHING.to_owned()],
            ["drift".to_owned(), "10.25".to_owned()],
        ];
        let expected =
            ["FAMILY        RMSE", "ridge          0.5", "elastic_net      -", "drift        10.25"];
        assert_eq!(lines(["FAMILY", "RMSE"], &rows), expected);
    }
}
