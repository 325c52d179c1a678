//! `X.volumes.json`: lists the volumes of a bundle, with the checksum of each.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cut::MAX_VOLUMES;
use super::parity_size::{COLUMNS, parity_len};
use crate::app::small_file;
use crate::archive::{ArchiveError, FormatError, VolumesError};
use crate::image::{Algorithm, Digest, Hasher};

/// The suffix of the list, after the bundle's name.
pub const LIST_SUFFIX: &str = ".volumes.json";
const MEDIA_TYPE: &str = "application/vnd.airgap.volumes.v1+json";
const SCHEMA_VERSION: u32 = 1;
const MAX_LIST: u64 = 16 << 20;

/// The list of a set of volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeList {
    schema_version: u32,
    media_type: String,
    /// The id of the bundle.
    pub bundle: Digest,
    /// Identifies this set of volumes: the sha256 over numbers, sizes and checksums.
    pub set: Digest,
    /// Bytes of all volumes together.
    pub size: u64,
    /// Bytes of every volume but the last.
    pub volume_size: u64,
    /// In order.
    pub volumes: Vec<VolumeEntry>,
    /// Volumes from which as many of the others can be rebuilt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parity: Vec<VolumeEntry>,
    /// Parity volumes that are yet to be made: the set is not finished before they exist.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parity_wanted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeEntry {
    /// The file's name, without a folder.
    pub name: String,
    /// `1 of 5`.
    pub number: String,
    /// In bytes.
    pub size: u64,
    pub sha256: String,
}

impl VolumeList {
    /// The list of a bundle whose volumes have these names and checksums.
    pub fn new(bundle: Digest, volume_size: u64, size: u64, volumes: &[(String, Digest)]) -> Self {
        let total = volumes.len();
        let entry = |(index, (name, digest)): (usize, &(String, Digest))| VolumeEntry {
            name: name.clone(),
            number: format!("{} of {total}", index + 1),
            size: volume_size.min(size - (index as u64 * volume_size).min(size)),
            sha256: digest.hex(),
        };
        let volumes: Vec<VolumeEntry> = volumes.iter().enumerate().map(entry).collect();
        Self {
            schema_version: SCHEMA_VERSION,
            media_type: MEDIA_TYPE.to_owned(),
            bundle,
            set: set_id(volumes.iter()),
            size,
            volume_size,
            volumes,
            parity: Vec::new(),
            parity_wanted: 0,
        }
    }

    /// The same list, marked as unfinished until this many parity volumes exist.
    #[must_use]
    pub fn wanting_parity(self, count: usize) -> Self {
        Self { parity_wanted: count, ..self }
    }

    /// The same list with parity volumes of these names and checksums.
    pub(super) fn with_parity(mut self, parity: &[(String, Digest)]) -> Self {
        self.parity_wanted = 0;
        let (size, total) = (parity_len(self.volume_size, self.size), parity.len());
        let entry = |(index, (name, digest)): (usize, &(String, Digest))| VolumeEntry {
            name: name.clone(),
            number: format!("parity {} of {total}", index + 1),
            size,
            sha256: digest.hex(),
        };
        self.parity = parity.iter().enumerate().map(entry).collect();
        self.set = set_id(self.all());
        self
    }

    /// Every volume, with the parity volumes after the others.
    pub fn all(&self) -> impl Iterator<Item = &VolumeEntry> {
        self.volumes.iter().chain(&self.parity)
    }

    pub fn to_text(&self) -> Result<String, ArchiveError> {
        let text = serde_json::to_string_pretty(self);
        Ok(text.map_err(|e| ArchiveError::Format(FormatError::Json("the list of volumes", e.to_string())))?
            + "\n")
    }

    /// Reads the list at `path`, and refuses one that contradicts itself.
    pub fn read(path: &Path) -> Result<Self, ArchiveError> {
        let refuse = |why: String| {
            ArchiveError::Volumes(VolumesError::incomplete(format!("{}: {why}", path.display())))
        };
        let bytes = small_file::named(path, MAX_LIST).map_err(ArchiveError::io(path))?;
        Self::parse(&bytes).map_err(refuse)
    }

    /// Parses a list; returns the reason if it is not valid.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let list: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if list.media_type != MEDIA_TYPE || list.schema_version != SCHEMA_VERSION {
            return Err(format!(
                "it is a list of another kind ({:.100?}, version {})",
                list.media_type, list.schema_version
            ));
        }
        list.check()?;
        Ok(list)
    }

    fn check(&self) -> Result<(), String> {
        let plain =
            |name: &str| !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
        if self.volumes.is_empty() || self.volume_size == 0 {
            return Err("it lists no volume".to_owned());
        }
        let last = self.volumes.len() - 1;
        let mut size: u64 = 0;
        for (index, entry) in self.volumes.iter().enumerate() {
            let fits = entry.size == self.volume_size || (index == last && entry.size <= self.volume_size);
            if !fits || (entry.size == 0 && last > 0) {
                return Err(format!("the size of {} does not match the others", entry.name));
            }
            size = size.checked_add(entry.size).ok_or("the sizes are larger than any disk")?;
        }
        for entry in self.all() {
            if !plain(&entry.name) {
                return Err(format!("{:.100?} is not a file name", entry.name));
            }
            if format!("sha256:{}", entry.sha256).parse::<Digest>().is_err() {
                return Err(format!("{} has no checksum", entry.name));
            }
        }
        let parity = parity_len(self.volume_size.min(u64::MAX - COLUMNS), self.size);
        if self.parity.iter().any(|entry| entry.size != parity) || self.parity.len() > MAX_VOLUMES {
            return Err("its parity volumes do not match the others".to_owned());
        }
        if size != self.size || self.set != set_id(self.all()) {
            return Err("it was changed: its checksum does not match its entries".to_owned());
        }
        Ok(())
    }

    /// The volume with this checksum, counted from 0.
    pub fn find(&self, digest: &Digest) -> Option<usize> {
        self.volumes.iter().position(|entry| entry.sha256 == digest.hex())
    }
}

fn set_id<'a>(volumes: impl Iterator<Item = &'a VolumeEntry>) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for entry in volumes {
        hasher.update(format!("{} {} {}\n", entry.number, entry.size, entry.sha256).as_bytes());
    }
    hasher.finish()
}
