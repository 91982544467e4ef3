//! The wire format of Protocol Buffers, as far as ONNX uses it: fields one after the other, each with a number.
//! Reading checks every length against what is left.

use super::OnnxError;

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// A whole number, of 64 bits at most.
    Varint(u64),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// A text, bytes, a message, or numbers one after the other.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32([u8; 4]),
}

/// The fields of a message, in the order of its bytes.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

pub(super) fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { rest: bytes }
}

impl<'a> Fields<'a> {
    /// The next field with its number; nothing at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Content<'a>)>, OnnxError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = varint(&mut self.rest)?;
        let content = match tag & 7 {
            0 => Content::Varint(varint(&mut self.rest)?),
            1 => Content::Fixed64(array(&mut self.rest)?),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).map_err(|_| OnnxError::Truncated)?;
                Content::Bytes(take(&mut self.rest, length)?)
            }
            5 => Content::Fixed32(array(&mut self.rest)?),
            _ => return Err(OnnxError::Foreign),
        };
        Ok(Some((tag >> 3, content)))
    }
}

impl<'a> Content<'a> {
    pub fn bytes(self) -> Result<&'a [u8], OnnxError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32(_) => Err(OnnxError::Foreign),
        }
    }

    pub fn text(self) -> Result<String, OnnxError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| OnnxError::Foreign)
    }

    pub fn int(self) -> Result<i64, OnnxError> {
        match self {
            Self::Varint(value) => Ok(value as i64),
            Self::Bytes(_) | Self::Fixed64(_) | Self::Fixed32(_) => Err(OnnxError::Foreign),
        }
    }

    /// Adds one whole number, or those that are packed here.
    pub fn ints(self, into: &mut Vec<i64>) -> Result<(), OnnxError> {
        match self {
            Self::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    into.push(varint(&mut bytes)? as i64);
                }
            }
            Self::Varint(value) => into.push(value as i64),
            Self::Fixed64(_) | Self::Fixed32(_) => return Err(OnnxError::Foreign),
        }
        Ok(())
    }

    /// Adds one number of 32 bits, or those that are packed here.
    pub fn floats(self, into: &mut Vec<f64>) -> Result<(), OnnxError> {
        match self {
            Self::Bytes(bytes) => into.extend(singles(bytes)?),
            Self::Fixed32(bytes) => into.push(f64::from(f32::from_le_bytes(bytes))),
            Self::Fixed64(_) | Self::Varint(_) => return Err(OnnxError::Foreign),
        }
        Ok(())
    }

    /// Adds one number of 64 bits, or those that are packed here.
    pub fn doubles(self, into: &mut Vec<f64>) -> Result<(), OnnxError> {
        match self {
            Self::Bytes(bytes) => into.extend(doubles(bytes)?),
            Self::Fixed64(bytes) => into.push(f64::from_le_bytes(bytes)),
            Self::Fixed32(_) | Self::Varint(_) => return Err(OnnxError::Foreign),
        }
        Ok(())
    }
}

/// Numbers of 32 bits one after the other.
pub(super) fn singles(bytes: &[u8]) -> Result<Vec<f64>, OnnxError> {
    let numbers = whole::<4>(bytes)?;
    Ok(numbers.map(|number| f64::from(f32::from_le_bytes(number))).collect())
}

/// Numbers of 64 bits one after the other.
pub(super) fn doubles(bytes: &[u8]) -> Result<Vec<f64>, OnnxError> {
    Ok(whole::<8>(bytes)?.map(f64::from_le_bytes).collect())
}

/// Whole numbers of 64 bits one after the other.
pub(super) fn longs(bytes: &[u8]) -> Result<Vec<i64>, OnnxError> {
    Ok(whole::<8>(bytes)?.map(i64::from_le_bytes).collect())
}

fn whole<const N: usize>(bytes: &[u8]) -> Result<impl Iterator<Item = [u8; N]> + '_, OnnxError> {
    let (numbers, rest) = bytes.as_chunks::<N>();
    if rest.is_empty() { Ok(numbers.iter().copied()) } else { Err(OnnxError::Truncated) }
}

fn varint(rest: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = array(rest)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(OnnxError::Foreign)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], OnnxError> {
    let (taken, left) = rest.split_at_checked(length).ok_or(OnnxError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], OnnxError> {
    take(rest, N)?.try_into().map_err(|_| OnnxError::Truncated)
}
