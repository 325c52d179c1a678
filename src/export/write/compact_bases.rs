//! The bases of one blob that is made compact.

use std::sync::Arc;

use super::read_ahead::Source;
use crate::archive::manifest::RequiredBlob;
use crate::compact::{self, BaseContent, CompactError};
use crate::inputs::base_contents::BaseContents;

/// Reads the bases of one blob.
pub(super) struct Bases {
    contents: Arc<BaseContents>,
    blobs: Vec<(u32, RequiredBlob)>,
}

impl Bases {
    /// Those of blob `index`, if it has some and they can be read.
    pub(super) fn of(source: Source<'_>, index: usize) -> Option<Self> {
        let plan = source.plan;
        let row = |number: &u32| Some((*number, plan.compact.references.get(*number as usize)?.clone()));
        let blobs: Vec<_> = plan.bases[index].iter().filter_map(row).collect();
        let contents = Arc::clone(source.places.bases().filter(|_| !blobs.is_empty())?);
        Some(Self { contents, blobs })
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.blobs.iter().map(|(number, _)| *number).collect()
    }

    fn blob(&self, number: u32) -> Result<&RequiredBlob, CompactError> {
        let found = self.blobs.iter().find(|(known, _)| *known == number);
        found.map(|(_, blob)| blob).ok_or(CompactError::Invalid("it has no such base"))
    }
}

impl compact::Bases for Bases {
    fn open(&mut self, number: u32) -> Result<BaseContent, CompactError> {
        self.contents.open(self.blob(number)?)
    }

    fn left_out(&mut self, number: u32, why: CompactError) -> Result<(), CompactError> {
        self.contents.left_out(self.blob(number)?, &why)
    }
}
