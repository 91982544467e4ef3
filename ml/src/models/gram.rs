//! What least squares needs to know of the rows before each cutoff, for all cutoffs of a walk-forward in about one pass.
//!
//! Features are standardised by the training rows' own mean and population standard deviation and clipped to ±5. The
//! clipping stands in the way of one running sum of products: it depends on the cutoff's mean and standard
//! deviation. But few rows are ever clipped. Rows that lie well inside for the first cutoff are summed once, in units
//! of the first cutoff's mean and deviation, and the sums moved to each cutoff's units by algebra. The others are
//! kept aside and added for each cutoff one by one, clipped. Afterwards it is checked that no row counted as inside
//! is clipped at a cutoff; where one could be, the work is done again for that cutoff with a narrower inside.

use super::moments::Moments;
use super::{CLIP, FitError, Linear, Task, require};

/// How far inside counts as well inside, in standard deviations; tried in this order. With the last one every row is
/// kept aside, which is always right and merely slower.
const INSIDE: [f64; 4] = [4.0, 3.0, 2.0, -1.0];
/// The same for tables that come one after the other: narrower, as the first of them may not be like all.
const GATHERED_INSIDE: f64 = 3.0;
/// Rows brought into row-major order at a time, so that they stay in the processor's cache.
const TILE: usize = 128;
/// A deviation this much smaller than the mean is the rounding error of a constant.
const CONSTANT: f64 = 1e-13;

/// Sums over the training rows of one cutoff, each variable less its mean.
pub(super) struct Gram {
    /// Per feature, the mean of the training rows.
    pub mean: Vec<f64>,
    /// Per feature, their population standard deviation; 1 where it was 0.
    pub std: Vec<f64>,
    /// Training rows.
    pub rows: f64,
    z: Moments,
}

impl Gram {
    /// The sum of the products of two standardised features; the label is the last variable.
    pub fn product(&self, a: usize, b: usize) -> f64 {
        self.z.product(a, b) - self.z.sum[a] * self.z.sum[b] / self.rows
    }

    /// The number of features, and the place of the label.
    pub fn label(&self) -> usize {
        self.mean.len()
    }

    /// The model with these weights that is right on average over the training rows.
    ///
    /// # Errors
    /// When a weight is not finite.
    pub fn linear(&self, coefficient: Vec<f64>) -> Result<Linear, FitError> {
        if coefficient.iter().any(|weight| !weight.is_finite()) {
            return Err(FitError::Singular);
        }
        let explained: f64 =
            coefficient.iter().zip(&self.z.sum).map(|(weight, sum)| weight * sum / self.rows).sum();
        let intercept = self.z.sum[self.label()] / self.rows - explained;
        Ok(Linear { mean: self.mean.clone(), std: self.std.clone(), coefficient, intercept })
    }
}

/// The rows linear models need: a few for each weight.
pub(super) fn needed_rows(features: usize) -> usize {
    5 * (features + 1)
}

/// One for each cutoff.
///
/// # Errors
/// When there are too few rows before the first cutoff.
pub(super) fn grams(task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Gram>, FitError> {
    let Some(&earliest) = cutoffs.first() else { return Ok(Vec::new()) };
    let entry = entries(task, cutoffs);
    let first = entry.iter().filter(|&&entry| entry == 0).count();
    require(first, needed_rows(task.features.names().len()), earliest)?;
    let frame = Frame::of_first_cutoff(task, &entry);
    let mut grams: Vec<Option<Gram>> = cutoffs.iter().map(|_| None).collect();
    for inside in INSIDE {
        let found = moved(&Sums::collect(task, &entry, cutoffs.len(), &frame, inside), &frame, inside);
        // Each cutoff by itself: later values move no bit of what was learned before.
        grams.iter_mut().zip(found).for_each(|(gram, found)| *gram = gram.take().or(found));
        if grams.iter().all(Option::is_some) {
            break;
        }
    }
    grams.into_iter().collect::<Option<_>>().ok_or(FitError::Singular)
}

/// The sums of one cutoff over tables that come one after the other, so that they need never be in memory together. The
/// first table sets the frame.
pub(super) struct Gathered {
    frame: Frame,
    sums: Sums,
}

impl Gathered {
    /// Begins with a first table.
    ///
    /// # Errors
    /// When it has too few rows to set the frame.
    pub fn begin(task: &Task<'_>, cutoff: i32) -> Result<Self, FitError> {
        let entry = entries(task, &[cutoff]);
        let rows = entry.iter().filter(|&&entry| entry == 0).count();
        require(rows, needed_rows(task.features.names().len()), cutoff)?;
        let frame = Frame::of_first_cutoff(task, &entry);
        let sums = Sums::collect(task, &entry, 1, &frame, GATHERED_INSIDE);
        Ok(Self { frame, sums })
    }

    /// Adds another table with the same columns.
    pub fn add(&mut self, task: &Task<'_>, cutoff: i32) {
        let entry = entries(task, &[cutoff]);
        self.sums.absorb(Sums::collect(task, &entry, 1, &self.frame, GATHERED_INSIDE));
    }

    /// The sums over all tables; nothing where the first was so unlike the others that rows were counted as inside which
    /// would have to be clipped.
    pub fn gram(&self) -> Option<Gram> {
        moved(&self.sums, &self.frame, GATHERED_INSIDE).pop().flatten()
    }
}

/// The sums in the units of each cutoff, or nothing where a row counted as inside may have to be clipped.
fn moved(sums: &Sums, frame: &Frame, inside: f64) -> Vec<Option<Gram>> {
    let width = frame.mean.len();
    let mut kept = Moments::new(width + 1);
    let mut whole = Moments::new(width + 1);
    let mut grams = Vec::with_capacity(sums.inside.len());
    for cutoff in 0..sums.inside.len() {
        kept.absorb(&sums.inside[cutoff]);
        whole.absorb(&sums.inside[cutoff]);
        whole.absorb(&sums.aside_moments[cutoff]);
        let units = Units::of(&whole, frame);
        if inside >= 0.0 && !units.hold(inside) {
            grams.push(None);
            continue;
        }
        let mut z = units.rescaled(&kept);
        for aside in &sums.aside[..=cutoff] {
            add_clipped(&mut z, aside, &units);
        }
        grams.push(Some(Gram { mean: units.mean, std: units.std, rows: z.rows as f64, z }));
    }
    grams
}

/// Per row, the cutoff from which on it is learned; the largest number where never.
fn entries(task: &Task<'_>, cutoffs: &[i32]) -> Vec<u32> {
    (0..task.features.len())
        .map(|row| {
            let entry = if task.labelled(row) { task.entry(row, cutoffs) } else { cutoffs.len() };
            if entry < cutoffs.len() { entry as u32 } else { u32::MAX }
        })
        .collect()
}

/// Mean and deviation of the first cutoff's rows: the units all rows are summed in.
struct Frame {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Frame {
    fn of_first_cutoff(task: &Task<'_>, entry: &[u32]) -> Self {
        let rows = entry.iter().filter(|&&entry| entry == 0).count() as f64;
        let of_column = |column: &[f64]| {
            let chosen =
                || column.iter().zip(entry).filter(|(_, entry)| **entry == 0).map(|(value, _)| value);
            let mean = chosen().sum::<f64>() / rows;
            let variance = chosen().map(|value| (value - mean) * (value - mean)).sum::<f64>() / rows;
            (mean, deviation(mean, variance.sqrt()))
        };
        let (mean, std) =
            (0..task.features.names().len()).map(|feature| of_column(task.features.column(feature))).unzip();
        Self { mean, std }
    }
}

/// A deviation of zero becomes one, so that a constant feature stays at zero.
fn deviation(mean: f64, std: f64) -> f64 {
    if std > CONSTANT * mean.abs() { std } else { 1.0 }
}

/// Sums over the rows entering at each cutoff, in the frame's units, the label as the last variable.
struct Sums {
    inside: Vec<Moments>,
    /// The rows that may be clipped, row-major.
    aside: Vec<Vec<f64>>,
    aside_moments: Vec<Moments>,
}

impl Sums {
    /// Adds the rows another has seen.
    fn absorb(&mut self, other: Self) {
        let moments = |mine: &mut [Moments], theirs: &[Moments]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.absorb(theirs));
        };
        moments(&mut self.inside, &other.inside);
        moments(&mut self.aside_moments, &other.aside_moments);
        self.aside.iter_mut().zip(other.aside).for_each(|(mine, theirs)| mine.extend(theirs));
    }

    fn collect(task: &Task<'_>, entry: &[u32], cutoffs: usize, frame: &Frame, inside: f64) -> Self {
        let width = frame.mean.len() + 1;
        let mut sums = Self {
            inside: vec![Moments::new(width); cutoffs],
            aside: vec![Vec::new(); cutoffs],
            aside_moments: vec![Moments::new(width); cutoffs],
        };
        let mut tile = vec![0.0; TILE * width];
        // Neighbouring rows mostly enter at the same cutoff; they are gathered and added together.
        let mut together: Vec<f64> = Vec::with_capacity(TILE * width);
        let mut current = 0_usize;
        for start in (0..entry.len()).step_by(TILE) {
            let rows = start..entry.len().min(start + TILE);
            for feature in 0..width - 1 {
                let (mean, scale) = (frame.mean[feature], 1.0 / frame.std[feature]);
                let column = &task.features.column(feature)[rows.clone()];
                for (place, value) in column.iter().enumerate() {
                    tile[place * width + feature] = (value - mean) * scale;
                }
            }
            for row in rows.clone().filter(|&row| entry[row] != u32::MAX) {
                let values = &mut tile[(row - start) * width..(row - start + 1) * width];
                values[width - 1] = task.labels.value(row);
                let cutoff = entry[row] as usize;
                if values[..width - 1].iter().any(|value| value.abs() > inside) {
                    sums.aside[cutoff].extend_from_slice(values);
                    continue;
                }
                if cutoff != current {
                    sums.inside[current].add(&together);
                    together.clear();
                    current = cutoff;
                }
                together.extend_from_slice(values);
            }
            sums.inside[current].add(&together);
            together.clear();
        }
        for (moments, rows) in sums.aside_moments.iter_mut().zip(&sums.aside) {
            moments.add(rows);
        }
        sums
    }
}

/// Mean and deviation of one cutoff's training rows: the units its model works in.
struct Units {
    mean: Vec<f64>,
    std: Vec<f64>,
    /// The same in the frame's units.
    shift: Vec<f64>,
    scale: Vec<f64>,
}

impl Units {
    fn of(whole: &Moments, frame: &Frame) -> Self {
        let rows = whole.rows as f64;
        let width = frame.mean.len();
        let (mut mean, mut std) = (Vec::with_capacity(width), Vec::with_capacity(width));
        let (mut shift, mut scale) = (Vec::with_capacity(width), Vec::with_capacity(width));
        for feature in 0..width {
            let centre = whole.sum[feature] / rows;
            let spread = (whole.product(feature, feature) / rows - centre * centre).max(0.0).sqrt();
            let true_mean = frame.mean[feature] + frame.std[feature] * centre;
            let true_std = deviation(true_mean, frame.std[feature] * spread);
            mean.push(true_mean);
            std.push(true_std);
            shift.push(centre);
            scale.push(true_std / frame.std[feature]);
        }
        Self { mean, std, shift, scale }
    }

    /// Whether every row within ±`inside` of the frame is within ±[`CLIP`] here.
    fn hold(&self, inside: f64) -> bool {
        self.shift.iter().zip(&self.scale).all(|(shift, scale)| inside + shift.abs() <= CLIP * scale)
    }

    /// The sums of (u − shift) / scale, from those of u.
    fn rescaled(&self, sums: &Moments) -> Moments {
        let label = self.shift.len();
        let rows = sums.rows as f64;
        let shift = |a: usize| if a == label { 0.0 } else { self.shift[a] };
        let scale = |a: usize| if a == label { 1.0 } else { self.scale[a] };
        let moved = |a: usize| sums.sum[a] - rows * shift(a);
        let mut product = vec![0.0; (label + 1) * (label + 1)];
        for a in 0..=label {
            for b in 0..=a {
                let centred = sums.product(a, b) - shift(a) * sums.sum[b] - shift(b) * moved(a);
                product[a * (label + 1) + b] = centred / (scale(a) * scale(b));
            }
        }
        let sum = (0..=label).map(|a| moved(a) / scale(a)).collect();
        Moments::from_sums(sums.rows, sum, product)
    }
}

/// Adds rows given in the frame's units, clipped, to sums in a cutoff's units.
fn add_clipped(sums: &mut Moments, rows: &[f64], units: &Units) {
    let width = sums.width;
    let mut block = Vec::with_capacity(TILE * width);
    for rows in rows.chunks(TILE * width) {
        block.clear();
        for row in rows.chunks_exact(width) {
            let (label, features) = (row[width - 1], &row[..width - 1]);
            let standardised = features.iter().zip(&units.shift).zip(&units.scale);
            block.extend(
                standardised.map(|((value, shift), scale)| ((value - shift) / scale).clamp(-CLIP, CLIP)),
            );
            block.push(label);
        }
        sums.add(&block);
    }
}
