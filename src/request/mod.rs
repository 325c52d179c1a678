//! What is asked for: catalogs, locks, packed charts and requests from the other side become one request.
//!
//! Everything is read and checked here; nothing has been sent yet.

pub(crate) mod again;
pub(crate) mod base;
pub(crate) mod bundles;
pub(crate) mod catalogs;
pub(crate) mod charts;
pub(crate) mod foreign;
pub(crate) mod lock;
pub(crate) mod resolved_request;
pub(crate) mod selection;
