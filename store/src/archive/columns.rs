//! Events as Parquet: one row each, typed columns, the payload and the metadata as JSON text in its canonical form.

use std::fs::File;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use uuid::Uuid;

use super::folder::Digesting;
use crate::log::{Document, EventKey, Recorded};

/// A group of rows is kept in memory until it is written: it ends at so many rows ...
const GROUP_ROWS: usize = 20_000;

/// ... or so many bytes of payloads and metadata.
const GROUP_BYTES: usize = 32 << 20;

/// So many rows are decoded at a time.
const READ_AHEAD: usize = 1_000;

/// The columns, in their order: name, physical type, meaning, length of fixed ones.
fn schema() -> Result<TypePtr, ParquetError> {
    let text = || Some(LogicalType::String);
    let moment = || Some(LogicalType::timestamp(true, TimeUnit::MICROS));
    let columns = [
        ("ordinal", Physical::INT64, None, 0),
        ("as_of", Physical::INT64, moment(), 0),
        ("aggregate_type", Physical::BYTE_ARRAY, text(), 0),
        ("aggregate_id", Physical::BYTE_ARRAY, text(), 0),
        ("sequence", Physical::INT64, None, 0),
        ("event_type", Physical::BYTE_ARRAY, text(), 0),
        ("event_version", Physical::BYTE_ARRAY, text(), 0),
        ("payload", Physical::BYTE_ARRAY, text(), 0),
        ("metadata", Physical::BYTE_ARRAY, text(), 0),
        ("recorded_at", Physical::INT64, moment(), 0),
        ("event_id", Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), 16),
        ("hash", Physical::FIXED_LEN_BYTE_ARRAY, None, 32),
    ];
    let fields = columns.into_iter().map(|(name, physical, logical, length)| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(logical)
            .with_length(length)
            .build()
            .map(Arc::new)
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Type::group_type_builder("event").with_fields(fields).build()?))
}

fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by("almanac".to_owned())
        .set_column_encoding(ColumnPath::from("ordinal"), Encoding::DELTA_BINARY_PACKED);
    // Values that hardly ever come twice.
    for column in ["ordinal", "payload", "metadata", "recorded_at", "event_id", "hash"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    // Nobody looks for a range of these.
    for column in ["payload", "metadata", "event_id", "hash"] {
        properties =
            properties.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::None);
    }
    properties.build()
}

/// Rows that are not written yet.
#[derive(Default)]
struct Group {
    ordinal: Vec<i64>,
    as_of: Vec<i64>,
    aggregate_type: Vec<ByteArray>,
    aggregate_id: Vec<ByteArray>,
    sequence: Vec<i64>,
    event_type: Vec<ByteArray>,
    event_version: Vec<ByteArray>,
    payload: Vec<ByteArray>,
    metadata: Vec<ByteArray>,
    recorded_at: Vec<i64>,
    event_id: Vec<FixedLenByteArray>,
    hash: Vec<FixedLenByteArray>,
    bytes: usize,
}

impl Group {
    fn push(&mut self, event: &Recorded) {
        let text = |text: &str| ByteArray::from(text);
        let (payload, metadata) = (event.payload.canonical(), event.metadata.canonical());
        self.bytes += payload.len() + metadata.len();
        self.ordinal.push(event.ordinal);
        self.as_of.push(event.as_of.timestamp_micros());
        self.aggregate_type.push(text(&event.key.aggregate_type));
        self.aggregate_id.push(text(&event.key.aggregate_id));
        self.sequence.push(event.key.sequence);
        self.event_type.push(text(&event.event_type));
        self.event_version.push(text(&event.event_version));
        self.payload.push(ByteArray::from(payload.into_owned().into_bytes()));
        self.metadata.push(ByteArray::from(metadata.into_owned().into_bytes()));
        self.recorded_at.push(event.recorded_at.timestamp_micros());
        self.event_id.push(event.event_id.as_bytes().to_vec().into());
        self.hash.push(event.event_hash.to_vec().into());
    }
}

/// A file that is being written.
pub(super) struct Writer {
    file: SerializedFileWriter<Digesting>,
    group: Group,
}

impl Writer {
    pub fn new(file: Digesting) -> io::Result<Self> {
        let file = SerializedFileWriter::new(file, schema().map_err(other)?, Arc::new(properties()));
        Ok(Self { file: file.map_err(other)?, group: Group::default() })
    }

    pub fn push(&mut self, event: &Recorded) -> io::Result<()> {
        self.group.push(event);
        if self.group.ordinal.len() >= GROUP_ROWS || self.group.bytes >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<Digesting> {
        if !self.group.ordinal.is_empty() {
            self.write_group()?;
        }
        self.file.into_inner().map_err(other)
    }

    fn write_group(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.group);
        let mut group = self.file.next_row_group().map_err(other)?;
        let written = (|| {
            column::<Int64Type>(&mut group, &rows.ordinal)?;
            column::<Int64Type>(&mut group, &rows.as_of)?;
            column::<ByteArrayType>(&mut group, &rows.aggregate_type)?;
            column::<ByteArrayType>(&mut group, &rows.aggregate_id)?;
            column::<Int64Type>(&mut group, &rows.sequence)?;
            column::<ByteArrayType>(&mut group, &rows.event_type)?;
            column::<ByteArrayType>(&mut group, &rows.event_version)?;
            column::<ByteArrayType>(&mut group, &rows.payload)?;
            column::<ByteArrayType>(&mut group, &rows.metadata)?;
            column::<Int64Type>(&mut group, &rows.recorded_at)?;
            column::<FixedLenByteArrayType>(&mut group, &rows.event_id)?;
            column::<FixedLenByteArrayType>(&mut group, &rows.hash)
        })();
        written.and_then(|()| group.close().map(drop)).map_err(other)
    }
}

/// Writes the next column of a group of rows.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Digesting>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns".to_owned()));
    };
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

/// A file that is being read.
pub(super) struct Reader {
    file: SerializedFileReader<File>,
    next_group: usize,
    group: Option<Columns>,
}

/// The columns of one group of rows, each as far as it was read.
struct Columns {
    left: usize,
    ordinal: ColumnReaderImpl<Int64Type>,
    as_of: ColumnReaderImpl<Int64Type>,
    aggregate_type: ColumnReaderImpl<ByteArrayType>,
    aggregate_id: ColumnReaderImpl<ByteArrayType>,
    sequence: ColumnReaderImpl<Int64Type>,
    event_type: ColumnReaderImpl<ByteArrayType>,
    event_version: ColumnReaderImpl<ByteArrayType>,
    payload: ColumnReaderImpl<ByteArrayType>,
    metadata: ColumnReaderImpl<ByteArrayType>,
    recorded_at: ColumnReaderImpl<Int64Type>,
    event_id: ColumnReaderImpl<FixedLenByteArrayType>,
    hash: ColumnReaderImpl<FixedLenByteArrayType>,
}

impl Reader {
    pub fn new(file: File) -> Result<Self, String> {
        let file = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
        let theirs = file.metadata().file_metadata().schema();
        if *theirs != *schema().map_err(|error| error.to_string())? {
            return Err("its columns are not those of an export".to_owned());
        }
        Ok(Self { file, next_group: 0, group: None })
    }

    /// The next rows, each by itself, so that a bad one does not hide those before it; none at the end.
    pub fn rows(&mut self) -> Result<Option<Vec<Result<Recorded, String>>>, String> {
        self.read().map_err(|error| error.to_string())
    }

    fn read(&mut self) -> Result<Option<Vec<Result<Recorded, String>>>, ParquetError> {
        loop {
            if let Some(group) = self.group.as_mut().filter(|group| group.left > 0) {
                return group.read().map(Some);
            }
            if self.next_group == self.file.num_row_groups() {
                return Ok(None);
            }
            self.group = Some(Columns::of(self.file.get_row_group(self.next_group)?.as_ref())?);
            self.next_group += 1;
        }
    }
}

impl Columns {
    fn of(group: &dyn RowGroupReader) -> Result<Self, ParquetError> {
        let rows = group.metadata().num_rows();
        Ok(Self {
            left: usize::try_from(rows).map_err(|_| ParquetError::General(format!("it has {rows} rows")))?,
            ordinal: get_typed_column_reader(group.get_column_reader(0)?),
            as_of: get_typed_column_reader(group.get_column_reader(1)?),
            aggregate_type: get_typed_column_reader(group.get_column_reader(2)?),
            aggregate_id: get_typed_column_reader(group.get_column_reader(3)?),
            sequence: get_typed_column_reader(group.get_column_reader(4)?),
            event_type: get_typed_column_reader(group.get_column_reader(5)?),
            event_version: get_typed_column_reader(group.get_column_reader(6)?),
            payload: get_typed_column_reader(group.get_column_reader(7)?),
            metadata: get_typed_column_reader(group.get_column_reader(8)?),
            recorded_at: get_typed_column_reader(group.get_column_reader(9)?),
            event_id: get_typed_column_reader(group.get_column_reader(10)?),
            hash: get_typed_column_reader(group.get_column_reader(11)?),
        })
    }

    fn read(&mut self) -> Result<Vec<Result<Recorded, String>>, ParquetError> {
        let count = self.left.min(READ_AHEAD);
        self.left -= count;
        let ordinal = take(&mut self.ordinal, count)?;
        let as_of = take(&mut self.as_of, count)?;
        let aggregate_type = take(&mut self.aggregate_type, count)?;
        let aggregate_id = take(&mut self.aggregate_id, count)?;
        let sequence = take(&mut self.sequence, count)?;
        let event_type = take(&mut self.event_type, count)?;
        let event_version = take(&mut self.event_version, count)?;
        let payload = take(&mut self.payload, count)?;
        let metadata = take(&mut self.metadata, count)?;
        let recorded_at = take(&mut self.recorded_at, count)?;
        let event_id = take(&mut self.event_id, count)?;
        let hash = take(&mut self.hash, count)?;
        let row = |row: usize| {
            Ok(Recorded {
                ordinal: ordinal[row],
                as_of: moment(as_of[row])?,
                key: EventKey {
                    aggregate_type: text(&aggregate_type[row])?,
                    aggregate_id: text(&aggregate_id[row])?,
                    sequence: sequence[row],
                },
                event_type: text(&event_type[row])?,
                event_version: text(&event_version[row])?,
                payload: json("payload", &payload[row])?,
                metadata: json("metadata", &metadata[row])?,
                recorded_at: moment(recorded_at[row])?,
                event_id: Uuid::from_slice(event_id[row].data()).map_err(|error| error.to_string())?,
                event_hash: hash[row].data().try_into().map_err(|_| "`hash` does not have 32 bytes")?,
            })
        };
        Ok((0..count).map(row).collect())
    }
}

/// The next `count` values of a column.
fn take<T: DataType>(column: &mut ColumnReaderImpl<T>, count: usize) -> Result<Vec<T::T>, ParquetError> {
    let mut values = Vec::with_capacity(count);
    column.read_records(count, None, None, &mut values)?;
    if values.len() == count {
        Ok(values)
    } else {
        Err(ParquetError::General("a column has fewer values than the group has rows".to_owned()))
    }
}

fn moment(micros: i64) -> Result<DateTime<Utc>, String> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| "a moment is out of range".to_owned())
}

fn text(bytes: &ByteArray) -> Result<String, String> {
    bytes.as_utf8().map(str::to_owned).map_err(|error| error.to_string())
}

/// Reads JSON that must be in its canonical form, which no two texts of different meaning share.
fn json(name: &str, bytes: &ByteArray) -> Result<Document, String> {
    let text = bytes.as_utf8().map_err(|error| format!("{name}: {error}"))?;
    let document = Document::read(text).map_err(|error| format!("{name}: {error}"))?;
    if document.canonical() == text {
        Ok(document)
    } else {
        Err(format!("`{name}` is not in the canonical form"))
    }
}

fn other(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
