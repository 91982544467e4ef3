//! Shapes of values: what two have together, which number of one belongs to which of the other, and how one is read anew.

use super::OnnxError;

/// No value of a model of a few features has more numbers than this.
pub(super) const MOST_NUMBERS: usize = 1 << 20;

/// The shape two values have together: sizes from the last on are equal, or one of them is 1.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, OnnxError> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], at: usize| (at + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let together = |at: usize| match (size(a, at), size(b, at)) {
        (a, b) if a == b || b == 1 => Ok(a),
        (1, b) => Ok(b),
        _ => Err(OnnxError::malformed("two values do not fit together")),
    };
    let shape: Vec<usize> = (0..rank).map(together).collect::<Result<_, _>>()?;
    let size = shape.iter().try_fold(1_usize, |size, &next| size.checked_mul(next));
    if size.is_some_and(|size| size <= MOST_NUMBERS) {
        Ok(shape)
    } else {
        Err(OnnxError::unsupported("a value has too many numbers"))
    }
}

/// For each number of the shape `whole`, the place of its number in the shape `part`.
pub(super) fn places(part: &[usize], whole: &[usize]) -> Vec<u32> {
    let size: usize = whole.iter().product();
    let before = whole.len() - part.len();
    let place = |mut at: usize| {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..whole.len()).rev() {
            let here = at % whole[axis];
            at /= whole[axis];
            if let Some(axis) = axis.checked_sub(before) {
                place += if part[axis] == 1 { 0 } else { here * stride };
                stride *= part[axis];
            }
        }
        place as u32
    };
    (0..size).map(place).collect()
}

/// The shape that is wanted: 0 keeps a size, -1 takes what is left.
pub(super) fn reshaped(wanted: &[i64], shape: &[usize], size: usize) -> Option<Vec<usize>> {
    if wanted.len() > 8 || wanted.iter().filter(|&&size| size == -1).count() > 1 {
        return None;
    }
    let mut sizes = Vec::with_capacity(wanted.len());
    for (at, &size) in wanted.iter().enumerate() {
        sizes.push(match size {
            -1 => 1,
            0 => *shape.get(at)?,
            size => usize::try_from(size).ok()?,
        });
    }
    let known = sizes.iter().try_fold(1_usize, |known, &size| known.checked_mul(size))?;
    if let Some(open) = wanted.iter().position(|&size| size == -1) {
        sizes[open] = size.checked_div(known)?;
    }
    let all = sizes.iter().try_fold(1_usize, |all, &size| all.checked_mul(size))?;
    (all == size).then_some(sizes)
}
