//! Sums of values and of their products over rows: all that least squares needs to know.

/// Number of rows, sums and sums of products of `width` variables.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    pub width: usize,
    pub rows: usize,
    pub sum: Vec<f64>,
    /// Row-major; only the lower triangle (column <= row) is kept up.
    product: Vec<f64>,
}

impl Moments {
    pub fn new(width: usize) -> Self {
        Self { width, rows: 0, sum: vec![0.0; width], product: vec![0.0; width * width] }
    }

    /// Sums computed elsewhere; of `product` (row-major) the lower triangle counts.
    pub fn from_sums(rows: usize, sum: Vec<f64>, product: Vec<f64>) -> Self {
        Self { width: sum.len(), rows, sum, product }
    }

    /// The sum of the products of two variables.
    pub fn product(&self, a: usize, b: usize) -> f64 {
        self.product[a.max(b) * self.width + a.min(b)]
    }

    /// Adds rows that lie one after the other. Four at a time, as loading and storing the sums costs more than the
    /// arithmetic; the order of additions is fixed by the rows alone.
    pub fn add(&mut self, rows: &[f64]) {
        let width = self.width;
        self.rows += rows.len() / width;
        let blocks = rows.chunks_exact(4 * width);
        let rest = blocks.remainder();
        for block in blocks {
            let (a, others) = block.split_at(width);
            let (b, others) = others.split_at(width);
            let (c, d) = others.split_at(width);
            for (j, sum) in self.sum.iter_mut().enumerate() {
                *sum += (a[j] + b[j]) + (c[j] + d[j]);
            }
            for i in 0..width {
                let (ai, bi, ci, di) = (a[i], b[i], c[i], d[i]);
                let out = &mut self.product[i * width..=i * width + i];
                let (a, b, c, d) = (&a[..=i], &b[..=i], &c[..=i], &d[..=i]);
                for j in 0..=i {
                    out[j] += (ai * a[j] + bi * b[j]) + (ci * c[j] + di * d[j]);
                }
            }
        }
        for row in rest.chunks_exact(width) {
            for (sum, value) in self.sum.iter_mut().zip(row) {
                *sum += value;
            }
            for i in 0..width {
                for j in 0..=i {
                    self.product[i * width + j] += row[i] * row[j];
                }
            }
        }
    }

    /// Adds the rows another has seen.
    pub fn absorb(&mut self, other: &Self) {
        self.rows += other.rows;
        for (mine, theirs) in self.sum.iter_mut().zip(&other.sum) {
            *mine += theirs;
        }
        for (mine, theirs) in self.product.iter_mut().zip(&other.product) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products_are_those_of_the_rows_however_they_come() {
        let rows: Vec<f64> = (0..7 * 3).map(|i| f64::from(i * i % 11)).collect();
        let mut at_once = Moments::new(3);
        at_once.add(&rows);
        let mut parts = Moments::new(3);
        parts.add(&rows[..6]);
        let mut others = Moments::new(3);
        others.add(&rows[6..]);
        parts.absorb(&others);
        assert_eq!((at_once.rows, parts.rows), (7, 7));
        for a in 0..3 {
            let sum: f64 = rows.chunks(3).map(|row| row[a]).sum();
            assert!((at_once.sum[a] - sum).abs() < 1e-12 && (parts.sum[a] - sum).abs() < 1e-12);
            for b in 0..3 {
                let product: f64 = rows.chunks(3).map(|row| row[a] * row[b]).sum();
                assert!((at_once.product(a, b) - product).abs() < 1e-12);
                assert!((parts.product(b, a) - product).abs() < 1e-12);
            }
        }
    }
}
