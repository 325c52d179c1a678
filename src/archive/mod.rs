//! The bundle file. This is the only module that knows its format.
//!
//! To other tools, a bundle is a zstd-compressed tar of an OCI image layout. To this program, it is a random-access
//! store in which every offset is known before the first layer is downloaded. So downloads are written to their final
//! offset, a killed export can be resumed, the same images give the same bytes, and readers can read any blob without
//! unpacking.
//!
//! # Members, in tar order
//!
//! 1. `oci-layout`
//! 2. `index.json`: one descriptor per name, with the full name in `org.opencontainers.image.ref.name` and
//!    `io.containerd.image.name`; artifacts follow without names, because containerd fails on a named artifact
//! 3. `bundle.json`: the checksummed manifest ([`manifest`]); its sha256 is the bundle's id
//! 4. `bundle.json.sig`, when signed
//! 5. `SHA256SUMS`, and `SHA512SUMS` when a blob needs it
//! 6. `manifest.json` for `docker load` and `podman load`; left out above 1 MB
//! 7. manifests, indexes, and configs up to 4 MiB, each once, in first-use order
//! 8. layers and other blobs: first those *stored*, then those *compressed* (a closed list of media types known to be
//!    uncompressed), each part in first-use order
//! 9. two zero blocks
//!
//! Headers are ustar with mode 0644 and zeros elsewhere. A PAX header precedes one only if ustar cannot express the
//! path (sha512) or the size (over 8 GiB - 1), which is then also in base-256 in the main header.
//!
//! # Frames
//!
//! Members 1 to 7 are one run of bytes in compressed frames of at most 1 MiB of content. After them, each blob has a
//! *member header*, which is one stored frame with the padding of the previous member and the blob's own tar header.
//! The blob's data follows; it begins on a frame boundary, in frames of at most 8 MiB of content. A stored frame
//! consists of raw blocks (RFC 8878, 3.1.1.2.2) after a 14-byte header with the content size, and an XXH64 checksum:
//! 210 bytes of overhead for 8 MiB. A compressed frame that is not at least 3 % smaller is stored instead. A blob
//! without content has no frame. The file ends with the table of the zstd seekable format, which has one entry per
//! frame and no checksums; zero bytes after it are tolerated.
//!
//! # Compact bundles
//!
//! With `profile` `compact`, the members are `oci-layout`, `bundle.json`, `bundle.json.sig`, `compact.json` (the
//! revision of the form of the blobs, how small they were made, the blobs elsewhere to which they refer, and the
//! signature of the same bundle as a layout), then the small JSON blobs. There is neither `index.json` nor `SHA256SUMS`,
//! so that no other tool takes the file for a set without images. Each blob after them is
//! either a member under its usual path, or a run of members `compact/<algorithm>/<hex>.<n>` in compact form
//! ([`crate::compact`]). Their headers and data are in stored frames as above, in the order of `bundle.json`. Which it
//! is, and the sizes, stand in the last member, `compact-index.json`, which shares one stored frame with the end of the
//! archive. So everything is known after the start and the end of the file were read; a pipe learns it from each header.
//!
//! # What follows from `bundle.json`
//!
//! The part of the file that a blob is in follows from its row alone: its role, size and media type. If a blob has
//! several uses, the media type is the first that does not call it uncompressed, otherwise the first. Members 1, 2, 5
//! and 6 and all headers are functions of `bundle.json` and of the manifests it pins. The reader generates them again
//! and requires equal bytes, so that a signature over `bundle.json` covers what other tools read. `formatRevision` is
//! increased when the same images give other bytes (for example with another libzstd). [`BundleReader::verify`]
//! requires compressed frames to be identical only for its own revision.
//!
//! A signature is checked as soon as `bundle.json` and `bundle.json.sig` are read, before either is parsed
//! ([`crate::signing`]). All input is untrusted until it has been generated again and compared.

mod bases;
mod chart;
mod chart_artifact;
mod error;
mod foreign;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hash;
mod image_store;
mod input;
pub mod manifest;
mod partial;
mod piece_reader;
mod read;
mod stored_bases;
mod stream;
mod unpacked;
mod volumes;

pub use bases::{BaseSource, CompactHead};
pub use chart::{ChartFile, MAX_CHART_FILE, MAX_CHART_FILES, chart_files};
pub use chart_artifact::ChartArtifact;
pub use error::{
    ArchiveError, BRING_VOLUMES, FormatError, InputError, NamelessImage, OLDER_IS_DAMAGED, StorageAnswer,
    VolumesError,
};
pub use foreign::foreign_index::{Chosen, LayoutOptions};
pub use foreign::kind::{ARCHIVE_HEAD, ArchiveKind, is_archive};
pub use foreign::layout::ForeignLayout;
pub use format::artifacts::ArtifactIndex;
pub use format::compact_body::{Compaction, Form, compact_ending, compact_header, compact_path};
pub use format::contents::{
    Contents, Fates, ImageFault, Inclusion, MAX_DEPTH, MAX_MANIFESTS, Root, fates, roots,
};
pub use format::frame::{StoredEncoder, ZSTD_MAGIC};
pub use format::head::HeadNotes;
pub use format::layout::Layout;
pub use format::manifest_source::Manifests;
pub use format::pins::{Pins, REPINNED, Repinned, broken_pin, repinned_extension};
pub use format::users::Users;
pub use image_store::{ContentPieces, ImageStore, StreamEvent, StreamSink};
pub use input::{FileInput, Input};
pub use manifest::{ArtifactRow, BlobIndex, BlobRow, BundleManifest, Group, ImageRow, Profile};
pub use partial::{
    DraftedHead, FRAME_CONTENT, PartialFile, StoredFrame, compressed_frame, draft_head, ending,
    member_header, open_frame, read_back, stored_len, sync_folder,
};
pub use piece_reader::PieceReader;
pub use read::compact_back::CompactReadBack;
pub use read::content::ContentReader;
pub use read::problem::Problem;
pub use read::reader::BundleReader;
pub use stored_bases::StoredBases;
pub use stream::pipe::{PipedContent, PipedHead, open_pipe};
pub use stream::pipe_buffer::{PipeBuffer, PipeBufferWriter};
pub use stream::streamed_bundle::{Rest, StreamedBundle};
pub(crate) use unpacked::{LayoutFolder, decompressed};
pub use volumes::{
    COLUMNS, Cut, LIST_SUFFIX, MIN_VOLUME, Survey, VolumeEntry, VolumeInput, VolumeList, Wait,
    WaitingVolumes, parity_len, parity_name, protect, remove_parity, volume_base, volumes_of,
};
