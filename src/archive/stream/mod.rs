//! Reading a bundle or a layout once, in order, as it comes out of a pipe.

pub(in crate::archive) mod pipe;
pub(in crate::archive) mod piped;
pub(in crate::archive) mod piped_layout;
pub(in crate::archive) mod stash;
