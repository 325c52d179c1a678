//! Fetches one blob: gathers its chunks into pieces, and tries the places that may have it in turn.

use bytes::Bytes;

use super::alternate_sources::AlternateSources;
use super::blob_error::BlobError;
use crate::archive::BlobRow;
use crate::registry::BlobPlace;
use crate::report::Transfer;

/// Network chunks are gathered into pieces of about this many bytes, so that hand-overs are few.
pub(crate) const PIECE: usize = 512 << 10;

/// Chunks as they came from the network, with a total of about [`PIECE`] bytes.
pub(crate) type Piece = Vec<Bytes>;

/// Reads `blob` from byte `from` on and passes its chunks to `each` until `each` wants no more.
pub(crate) async fn pieces(
    places: &AlternateSources<'_>,
    place: &BlobPlace,
    blob: &BlobRow,
    from: u64,
    bar: &Transfer,
    mut each: impl AsyncFnMut(Piece) -> Result<bool, BlobError>,
) -> Result<(), BlobError> {
    if from == blob.size {
        return Ok(());
    }
    let mut stream = places.open(place, &blob.digest, blob.size, from).await?;
    let (mut piece, mut gathered) = (Vec::new(), 0);
    while let Some(chunk) = stream.next().await? {
        bar.advance(chunk.len() as u64);
        gathered += chunk.len();
        piece.push(chunk);
        if gathered >= PIECE {
            gathered = 0;
            if !each(std::mem::take(&mut piece)).await? {
                return Ok(());
            }
        }
    }
    each(piece).await.map(|_| ())
}

/// The order in which the places of a blob are tried: the first; the first again if it sent wrong content; then the
/// others. If none has the blob, the error of the first is returned.
pub(crate) struct Attempts {
    first: BlobPlace,
    others: std::vec::IntoIter<BlobPlace>,
    asked_again: bool,
    said: Option<BlobError>,
}

impl Attempts {
    pub(crate) fn new(first: &BlobPlace, mut all: Vec<BlobPlace>) -> Self {
        all.retain(|other| other != first);
        Self { first: first.clone(), others: all.into_iter(), asked_again: false, said: None }
    }

    /// The place to try after `error`; returns the error to report if no place is left.
    pub(crate) fn after(&mut self, error: BlobError) -> Result<BlobPlace, BlobError> {
        if error.is_final() {
            return Err(error);
        }
        let again = self.said.is_none() && !self.asked_again && matches!(error, BlobError::Digest { .. });
        if again {
            self.asked_again = true;
            return Ok(self.first.clone());
        }
        let said = self.said.get_or_insert(error);
        self.others.next().ok_or_else(|| std::mem::replace(said, BlobError::Cancelled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    #[test]
    fn repositories_are_asked_in_turn_and_the_first_answer_counts() {
        let [a, b, c] = ["r.io/a", "r.io/b", "r.io/c"].map(|text| {
            text.parse::<crate::image::Reference>().map(|name| BlobPlace::from(name.repository())).unwrap()
        });
        let digest = || Digest::sha256(b"x").into();
        let wrong = || BlobError::Digest { wanted: digest(), found: digest() };
        let lost = || BlobError::Transfer(crate::export::write::error::TransferError::Invariant("lost"));
        let mut attempts = Attempts::new(&a, vec![a.clone(), b.clone(), c.clone()]);
        assert_eq!(attempts.after(wrong()).unwrap(), a);
        assert_eq!(attempts.after(wrong()).unwrap(), b);
        assert_eq!(attempts.after(wrong()).unwrap(), c);
        assert!(matches!(attempts.after(wrong()), Err(BlobError::Digest { .. })));
        assert!(matches!(Attempts::new(&a, vec![b]).after(lost()), Err(BlobError::Transfer(_))));
    }
}
