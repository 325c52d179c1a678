//! Reads a bundle or a layout once, in order, as it comes from a pipe.

pub(in crate::archive) mod pipe;
pub(in crate::archive) mod pipe_buffer;
pub(in crate::archive) mod read_frame;
pub(in crate::archive) mod streamed_bundle;
pub(in crate::archive) mod streamed_layout;
