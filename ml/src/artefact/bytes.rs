//! Numbers and texts as bytes and back: little-endian, texts and lists with their length before them. Reading checks
//! every length against what is left, so that foreign bytes end in an error and never in a large allocation.

use super::ArtefactError;

/// Puts values one after the other.
#[derive(Default)]
pub(super) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn int(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    pub fn small(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    pub fn day(&mut self, value: i32) {
        self.raw(&value.to_le_bytes());
    }

    pub fn float(&mut self, value: f64) {
        self.int(value.to_bits());
    }

    pub fn text(&mut self, value: &str) {
        self.int(value.len() as u64);
        self.raw(value.as_bytes());
    }

    pub fn floats(&mut self, values: &[f64]) {
        self.int(values.len() as u64);
        for &value in values {
            self.float(value);
        }
    }
}

/// Takes values off the front.
pub(super) struct Reader<'a> {
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], ArtefactError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ArtefactError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArtefactError> {
        self.raw(N)?.try_into().map_err(|_| ArtefactError::Truncated)
    }

    pub fn byte(&mut self) -> Result<u8, ArtefactError> {
        Ok(self.array::<1>()?[0])
    }

    pub fn int(&mut self) -> Result<u64, ArtefactError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn size(&mut self) -> Result<usize, ArtefactError> {
        usize::try_from(self.int()?).map_err(|_| ArtefactError::Truncated)
    }

    pub fn small(&mut self) -> Result<u32, ArtefactError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn day(&mut self) -> Result<i32, ArtefactError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    /// A finite number; nothing an artefact holds may be anything else.
    pub fn float(&mut self) -> Result<f64, ArtefactError> {
        let value = f64::from_bits(self.int()?);
        if value.is_finite() { Ok(value) } else { Err(ArtefactError::Malformed("a number is not finite")) }
    }

    pub fn text(&mut self) -> Result<String, ArtefactError> {
        let length = self.size()?;
        let bytes = self.raw(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| ArtefactError::Malformed("a text is not utf-8"))
    }

    /// The length of a list whose items take at least `smallest` bytes each.
    pub fn count(&mut self, smallest: usize) -> Result<usize, ArtefactError> {
        let count = self.size()?;
        if count > self.rest.len() / smallest { Err(ArtefactError::Truncated) } else { Ok(count) }
    }

    pub fn floats(&mut self) -> Result<Vec<f64>, ArtefactError> {
        let count = self.count(8)?;
        (0..count).map(|_| self.float()).collect()
    }
}
