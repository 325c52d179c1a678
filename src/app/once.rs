//! Work that must happen once per key, however many tasks want the result at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Results by key; the first caller does the work, the others wait for it.
#[derive(Debug)]
pub(crate) struct Once<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Once<K, V> {
    /// The result for `key`. The work is boxed, because otherwise the futures of callers that only wait would contain
    /// it too.
    pub(crate) async fn get(&self, key: K, work: std::pin::Pin<Box<impl Future<Output = V>>>) -> V {
        let cell = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        cell.get_or_init(|| work).await.clone()
    }
}
