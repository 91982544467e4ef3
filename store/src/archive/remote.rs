//! Exports in object storage: made in a folder first, and brought over file by file, the manifest last.

use std::fs;
use std::path::Path;

use super::error::{ArchiveError, Damage};
use super::export::{ExportWish, Exported, export};
use super::manifest::{self, Manifest};
use super::{OnProgress, checkpoints};
use crate::objects::{ObjectError, Objects};
use crate::{Database, StoreError};

/// Writes the log, as far as it is sealed now, into `objects`, or goes on with the export there. `staging` is a folder
/// that takes the files of this run on their way; nothing of an earlier run is read again but the manifest.
///
/// Killed at any moment, the storage holds the export of before: what the manifest does not name is no part of it.
///
/// # Errors
/// As [`export`]; and when the storage fails.
pub async fn export_to(
    database: &Database,
    objects: &Objects,
    staging: &Path,
    wish: &ExportWish,
    progress: OnProgress<'_>,
) -> Result<Exported, ArchiveError> {
    fs::create_dir_all(staging).map_err(ArchiveError::io(staging))?;
    objects.fetch_file(manifest::FILE, &staging.join(manifest::FILE)).await.map_err(failed)?;
    let known = Manifest::read(staging)?.map_or(0, |manifest| manifest.segments.len());
    let done = export(database, staging, wish, progress).await?;
    let segments = done.manifest.segments[known..].iter().map(|segment| segment.file.as_str());
    // The manifest says that all of them are there.
    for file in segments.chain(checkpoints::NAMES).chain([manifest::FILE]) {
        let path = staging.join(file);
        if path.exists() {
            objects.put_file(file, &path).await.map_err(failed)?;
        }
    }
    Ok(done)
}

/// Brings an export out of object storage into a folder.
///
/// # Errors
/// When there is none, a file of it is missing, or the storage or the folder fails.
pub async fn fetch(objects: &Objects, folder: &Path) -> Result<(), ArchiveError> {
    fs::create_dir_all(folder).map_err(ArchiveError::io(folder))?;
    let path = folder.join(manifest::FILE);
    if !objects.fetch_file(manifest::FILE, &path).await.map_err(failed)? {
        return Err(ArchiveError::NotAnExport("the object storage".into()));
    }
    // Names in a manifest that was read are those of segments, so none leads elsewhere.
    let manifest = Manifest::read(folder)?.ok_or_else(|| ArchiveError::NotAnExport(folder.to_owned()))?;
    for file in checkpoints::NAMES {
        objects.fetch_file(file, &folder.join(file)).await.map_err(failed)?;
    }
    for segment in &manifest.segments {
        if !objects.fetch_file(&segment.file, &folder.join(&segment.file)).await.map_err(failed)? {
            let (file, reason) = (segment.file.clone(), "the file is missing".to_owned());
            return Err(ArchiveError::Damaged(Damage { file, row: None, ordinal: None, reason }));
        }
    }
    Ok(())
}

fn failed(error: ObjectError) -> ArchiveError {
    StoreError::from(error).into()
}
