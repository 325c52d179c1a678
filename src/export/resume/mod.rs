//! What an interrupted export leaves, and how the next one takes it up: partial, journal, and what of them can be trusted.

pub mod journal;
pub mod readback;
pub mod watermark;
pub mod workspace;
