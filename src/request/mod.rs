//! What the user wants: catalogs, locks, packed charts and requests from the other side become one request.
//!
//! Everything is read and checked here, before any request is sent to a registry.

pub(crate) mod again;
pub(crate) mod base;
pub(crate) mod bundles;
pub(crate) mod catalogs;
pub(crate) mod charts;
pub(crate) mod foreign;
pub(crate) mod lock;
pub(crate) mod of_bundles;
pub(crate) mod resolved_request;
pub(crate) mod selection;
