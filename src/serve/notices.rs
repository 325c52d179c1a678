//! Notices for the operator of the registry: faults such as a full disk or damaged content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same text is shown again after this long. Clients can repeat a request as often as they like.
const QUIET: Duration = Duration::from_mins(1);
/// Texts that are remembered. Beyond that, new ones are not shown until old ones are forgotten.
const REMEMBERED: usize = 64;

/// Where notices go. Cheap to clone.
#[derive(Clone)]
pub struct Notices(Arc<Inner>);

struct Inner {
    show: Box<dyn Fn(&str) + Send + Sync>,
    shown: Mutex<HashMap<String, Instant>>,
}

impl Notices {
    pub fn new(show: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { show: Box::new(show), shown: Mutex::default() }))
    }

    pub(super) fn tell(&self, text: &str) {
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|_, at| at.elapsed() < QUIET);
        if shown.len() < REMEMBERED && !shown.contains_key(text) {
            shown.insert(text.to_owned(), Instant::now());
            drop(shown);
            (self.0.show)(text);
        }
    }
}

impl Default for Notices {
    /// Discards all notices.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notices")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_once_and_only_so_many_are() {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&shown);
        let notices = Notices::new(move |text| into.lock().unwrap().push(text.to_owned()));
        for text in ["disk full", "damaged", "disk full"] {
            notices.tell(text);
        }
        assert_eq!(*shown.lock().unwrap(), ["disk full", "damaged"]);
        (0..1000).for_each(|number| notices.tell(&number.to_string()));
        assert_eq!(shown.lock().unwrap().len(), REMEMBERED);
    }
}
