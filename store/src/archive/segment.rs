//! Writing and reading one file of events.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::columns;
use super::error::{ArchiveError, Damage};
use super::folder::{self, Digesting};
use super::lines;
use super::manifest::{Format, Segment};
use crate::log::Recorded;

/// A longer line is no event: what the database takes for one value ends at 1 GB, what anybody writes far below.
const LONGEST_LINE: u64 = 256 << 20;

/// A file of events under another name, until it is whole.
pub(super) struct SegmentWriter {
    path: PathBuf,
    segment: Segment,
    out: Out,
}

enum Out {
    Lines { file: BufWriter<Digesting>, line: String },
    Columns(Box<columns::Writer>),
}

impl SegmentWriter {
    /// Begins the file of the events `first` to `last`.
    pub fn begin(folder: &Path, format: Format, first: i64, last: i64) -> Result<Self, ArchiveError> {
        let file = Segment::name(first, last, format);
        let path = folder.join(&file);
        let failed = ArchiveError::io(&path);
        let begun = File::create(folder::draft_of(&path)).map(Digesting::new).and_then(|file| {
            Ok(match format {
                Format::Jsonl => {
                    Out::Lines { file: BufWriter::with_capacity(1 << 18, file), line: String::new() }
                }
                Format::Parquet => Out::Columns(Box::new(columns::Writer::new(file)?)),
            })
        });
        let out = begun.map_err(failed)?;
        Ok(Self { path, segment: Segment { file, first, last, bytes: 0, sha256: String::new() }, out })
    }

    /// The last event it is to hold.
    pub fn last(&self) -> i64 {
        self.segment.last
    }

    pub fn push(&mut self, event: &Recorded) -> Result<(), ArchiveError> {
        let pushed = match &mut self.out {
            Out::Lines { file, line } => {
                line.clear();
                lines::write(event, line);
                file.write_all(line.as_bytes())
            }
            Out::Columns(columns) => columns.push(event),
        };
        pushed.map_err(ArchiveError::io(&self.path))
    }

    /// Puts it on the disk and gives it its name.
    pub fn finish(mut self) -> Result<Segment, ArchiveError> {
        let file = match self.out {
            Out::Lines { file, .. } => file.into_inner().map_err(io::IntoInnerError::into_error),
            Out::Columns(columns) => columns.finish(),
        };
        let (bytes, sha256) = file.and_then(Digesting::finish).map_err(ArchiveError::io(&self.path))?;
        folder::keep(&self.path)?;
        self.segment.bytes = bytes;
        self.segment.sha256 = sha256;
        Ok(self.segment)
    }
}

/// Checks that the bytes of a segment are those that were written.
pub(super) fn check(folder: &Path, segment: &Segment) -> Result<(), ArchiveError> {
    let path = folder.join(&segment.file);
    let of_file = |reason: &str| Damage {
        file: segment.file.clone(),
        row: None,
        ordinal: None,
        reason: reason.to_owned(),
    };
    let damaged = |reason| Err(ArchiveError::Damaged(of_file(reason)));
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return damaged("the file is missing"),
        Err(error) => return Err(ArchiveError::io(&path)(error)),
        Ok(met) if met.len() != segment.bytes => return damaged("its size is not the one in the manifest"),
        Ok(_) => {}
    }
    if folder::digest(&path)? == segment.sha256 {
        Ok(())
    } else {
        damaged("its digest is not the one in the manifest")
    }
}

/// Reads the events of a segment, from the first to the last it must hold.
pub(super) struct SegmentReader {
    path: PathBuf,
    segment: Segment,
    /// How many events were read.
    read: i64,
    source: Source,
}

enum Source {
    Lines { file: BufReader<File>, line: Vec<u8> },
    Columns { file: Box<columns::Reader>, ahead: std::vec::IntoIter<Result<Recorded, String>> },
}

impl SegmentReader {
    pub fn open(folder: &Path, segment: &Segment, format: Format) -> Result<Self, ArchiveError> {
        let path = folder.join(&segment.file);
        let damaged = |reason: String| {
            let file = segment.file.clone();
            ArchiveError::Damaged(Damage { file, row: None, ordinal: None, reason })
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("the file is missing".to_owned()));
            }
            Err(error) => return Err(ArchiveError::io(&path)(error)),
        };
        let source = match format {
            Format::Jsonl => {
                Source::Lines { file: BufReader::with_capacity(1 << 18, file), line: Vec::new() }
            }
            Format::Parquet => Source::Columns {
                file: Box::new(columns::Reader::new(file).map_err(damaged)?),
                ahead: Vec::new().into_iter(),
            },
        };
        Ok(Self { path, segment: segment.clone(), read: 0, source })
    }

    /// The next event; none after the last one.
    pub fn next(&mut self) -> Result<Option<Recorded>, ArchiveError> {
        let due = self.segment.first + self.read;
        let row = self.next_row()?;
        if due > self.segment.last {
            return match row {
                None => Ok(None),
                Some(_) => Err(self.damaged(None, "it goes on after its last event".to_owned())),
            };
        }
        let Some(row) = row else {
            return Err(self.damaged(Some(due), "it ends before its last event".to_owned()));
        };
        let event = row.map_err(|reason| self.damaged(Some(due), reason))?;
        if event.ordinal != due {
            return Err(self.damaged(Some(due), format!("event {} stands in its place", event.ordinal)));
        }
        self.read += 1;
        Ok(Some(event))
    }

    fn next_row(&mut self) -> Result<Option<Result<Recorded, String>>, ArchiveError> {
        let unreadable = match &mut self.source {
            Source::Lines { file, line } => {
                line.clear();
                let longest = io::Read::take(&mut *file, LONGEST_LINE).read_until(b'\n', line);
                return match longest.map_err(ArchiveError::io(&self.path))? {
                    0 => Ok(None),
                    _ => Ok(Some(lines::read(line))),
                };
            }
            Source::Columns { file, ahead } => match ahead.next() {
                Some(row) => return Ok(Some(row)),
                None => match file.rows() {
                    Ok(None) => return Ok(None),
                    Ok(Some(rows)) => {
                        *ahead = rows.into_iter();
                        return Ok(ahead.next());
                    }
                    Err(reason) => reason,
                },
            },
        };
        Err(self.damaged(None, unreadable))
    }

    fn damaged(&self, ordinal: Option<i64>, reason: String) -> ArchiveError {
        let row = Some(self.read.unsigned_abs() + 1);
        ArchiveError::Damaged(Damage { file: self.segment.file.clone(), row, ordinal, reason })
    }
}
