//! The bundle file: the only module that knows its format.
//!
//! One zstd-compressed tar of an OCI image layout in which every position is known before the first layer is
//! downloaded: a head of small JSON in compressed frames, then each blob as *stored* zstd frames (raw blocks, whose
//! length follows from the content's), then blobs worth compressing, then the zstd seek table. So downloads go
//! straight into place, and readers take any blob without unpacking.
//!
//! Everything read is hostile until it has been derived again from `bundle.json` and compared.

mod content;
mod contents;
mod derived;
mod error;
mod foreign;
mod frame;
mod head;
mod head_reader;
mod holdings;
mod input;
mod layout;
pub mod manifest;
mod member;
mod partial;
mod pipe;
mod reader;
mod verify;

pub use content::ContentReader;
pub use contents::{Contents, ImageFault, MAX_DEPTH, Manifests, Root, users};
pub use error::ArchiveError;
pub use foreign::ForeignLayout;
pub use frame::StoredEncoder;
pub use head::HeadNotes;
pub use holdings::{ContentPieces, Holdings, StreamEvent, StreamSink};
pub use input::{FileInput, Input};
pub use layout::Layout;
pub use manifest::{BlobRow, BundleManifest, Group, ImageRow};
pub use partial::{
    DraftedHead, FRAME_CONTENT, PartialFile, StoredWriter, compressed_frame, draft_head, ending, joint,
    open_frame, read_back, stored_len, sync_folder,
};
pub use pipe::{PipedContent, PipedHead, open_pipe};
pub use reader::BundleReader;
pub use verify::Problem;
