//! Where the rows lay that a model learned from.

/// Per feature, mean and population standard deviation of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: Vec<f64>,
    /// The deviation; 1 where it was 0.
    pub std: Vec<f64>,
}

impl Spread {
    /// Mean and deviation of some rows of a column.
    pub(crate) fn of_column(column: &[f64], rows: &[u32]) -> (f64, f64) {
        let count = rows.len().max(1) as f64;
        let values = || rows.iter().map(|&row| column[row as usize]);
        let mean = values().sum::<f64>() / count;
        let std = (values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt();
        (mean, if std > 0.0 { std } else { 1.0 })
    }
}
