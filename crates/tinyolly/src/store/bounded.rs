//! A map that starts anew when it has grown too large: a cache whose source is the file.

use std::collections::HashMap;
use std::hash::Hash;

/// Entries kept.
const MAX_ENTRIES: usize = 16_384;
/// Bytes of keys and values kept, without the map's own.
const MAX_BYTES: usize = 8 << 20;
/// Entries larger than this are not kept.
const MAX_ENTRY_BYTES: usize = 64 << 10;

/// A bounded map.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, V>,
    bytes: usize,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), bytes: 0 }
    }
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    pub(super) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.entries.get_mut(key)
    }

    /// Keeps an entry whose key and value hold `bytes`.
    pub(super) fn insert(&mut self, key: K, value: V, bytes: usize) {
        if bytes > MAX_ENTRY_BYTES {
            return;
        }
        if self.entries.len() >= MAX_ENTRIES || self.bytes + bytes > MAX_BYTES {
            self.clear();
        }
        self.bytes += bytes;
        self.entries.insert(key, value);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_bytes_are_bounded() {
        let mut map = Bounded::default();
        map.insert(0, (), MAX_ENTRY_BYTES + 1);
        assert!(map.get_mut(&0).is_none(), "too large");
        for key in 0..1000 {
            map.insert(key, (), MAX_ENTRY_BYTES);
            assert!(map.get_mut(&key).is_some(), "the newest is there");
            assert!(map.bytes <= MAX_BYTES && map.entries.len() * MAX_ENTRY_BYTES == map.bytes);
        }
        map.clear();
        for key in 0..40_000 {
            map.insert(key, (), 1);
            assert!(map.entries.len() <= MAX_ENTRIES);
        }
    }
}
