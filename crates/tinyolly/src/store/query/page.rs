//! A page of a list, and what asks for one.

use super::cursor::Kind;
use super::filter::{Order, Sort};

/// Which page is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    /// At most so many.
    pub limit: u32,
    /// What the list is ordered by.
    pub sort: Sort,
    /// Which way.
    pub order: Order,
    /// Where the page before ended, as [`Page::next`] of it said.
    pub cursor: Option<String>,
}

impl Paging {
    /// A first page, newest first.
    pub fn newest(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(super) fn kind(&self, list: char) -> Kind {
        Kind { list, sort: self.sort, order: self.order }
    }
}

/// Some of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end of the list.
    pub next: Option<String>,
    /// The time up to which was looked, where time ran out before the page was full.
    pub searched_to: Option<u64>,
    /// Whether all of the range was sorted, and not only the newest of it.
    pub complete: bool,
}

impl<T> Page<T> {
    pub(super) fn empty() -> Self {
        Self { items: Vec::new(), next: None, searched_to: None, complete: true }
    }
}
