//! What an interrupted export leaves, and how the next one takes it up: partial, journal, and what of them can be trusted.

pub mod front;
pub mod journal;
pub mod past;
pub mod workspace;
