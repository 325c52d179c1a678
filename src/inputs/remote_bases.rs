//! The blobs of a base, downloaded from registries.

use std::collections::HashMap;
use std::io::Read;

use tokio::runtime::Handle;

use crate::app::failure::Explain;
use crate::archive::manifest::RequiredBlob;
use crate::archive::{ArchiveError, BaseSource, FormatError, InputError, PieceReader, StorageAnswer};
use crate::image::Repository;
use crate::plan::Request;
use crate::registry::{ErrorClass, RegistryClient, RegistryError};

/// Downloads bases from where the images of a request come from.
#[derive(Debug)]
pub(crate) struct SourceBases {
    client: RegistryClient,
    /// For each repository, by the name that charts use, the one that is asked.
    places: HashMap<Repository, Repository>,
    runtime: Handle,
}

impl SourceBases {
    /// To be called in a runtime.
    pub(crate) fn new(client: RegistryClient, request: &Request) -> Self {
        let place = |image: &crate::plan::RequestedImage| {
            Some((image.name.repository().clone(), image.sources.first()?.repository().clone()))
        };
        let places = request.images.iter().filter_map(place).collect();
        Self { client, places, runtime: Handle::current() }
    }

    fn repository_of(&self, blob: &RequiredBlob) -> Option<&Repository> {
        blob.repositories.iter().find_map(|repository| self.places.get(repository))
    }
}

impl BaseSource for SourceBases {
    fn place(&self, blob: &RequiredBlob) -> String {
        self.repository_of(blob).map_or_else(String::new, ToString::to_string)
    }

    fn open(&self, blob: &RequiredBlob) -> Result<Box<dyn Read + Send>, ArchiveError> {
        let place = self.repository_of(blob).ok_or(ArchiveError::Input(InputError::NoBase(blob.digest)))?;
        Ok(Box::new(download(&self.client, place, blob, &self.runtime)))
    }
}

/// A blob that a thread of its own downloads.
pub(crate) fn download(
    client: &RegistryClient,
    place: &Repository,
    blob: &RequiredBlob,
    runtime: &Handle,
) -> impl Read + Send + use<> {
    /// Pieces on their way.
    const QUEUE: usize = 16;
    let (send, pieces) = std::sync::mpsc::sync_channel(QUEUE);
    let (client, place, runtime) = (client.clone(), place.into(), runtime.clone());
    let (digest, size) = (blob.digest, blob.size);
    // It waits in `send` while nobody reads, and ends there once nobody will.
    std::thread::spawn(move || {
        let download = async {
            let mut stream = client.base(&place, &digest, size).await?;
            while let Some(piece) = stream.next().await? {
                if send.send(Ok(piece)).is_err() {
                    break;
                }
            }
            Ok::<_, RegistryError>(())
        };
        if let Err(error) = runtime.block_on(download) {
            let _ = send.send(Err(unread(&format!("the base {digest} of {place}"), &error)));
        }
    });
    PieceReader::new(pieces.into_iter())
}

/// The error of a base that a registry does not give, or gives with other content.
fn unread(name: &str, error: &RegistryError) -> ArchiveError {
    let answer = match error.class() {
        ErrorClass::Content => return ArchiveError::Format(FormatError::Damaged(error.to_string())),
        ErrorClass::NotFound => StorageAnswer::Absent,
        ErrorClass::Denied => StorageAnswer::Denied,
        _ => StorageAnswer::Other,
    };
    let (name, why) = (name.to_owned(), error.to_string());
    ArchiveError::Storage { name, why, answer, hint: error.hints().into_iter().next() }
}
