//! Where a page of a list ended, as text that a client hands back to get the next.
//!
//! A cursor holds the whole place in the list's order and nothing of the server's: it stays good while data comes and
//! goes, and over restarts.

use super::filter::{Order, Sort};

/// A list in an order, which cursors belong to: those of another are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// One letter for the list.
    pub list: char,
    /// What it is ordered by.
    pub sort: Sort,
    /// Which way.
    pub order: Order,
}

impl Kind {
    fn tag(self) -> String {
        let sort = match self.sort {
            Sort::Time => 't',
            Sort::Duration => 'd',
            Sort::Spans => 's',
            Sort::Errors => 'e',
            Sort::Name => 'n',
        };
        let order = match self.order {
            Order::Descending => 'd',
            Order::Ascending => 'a',
        };
        [self.list, sort, order].iter().collect()
    }

    /// The cursor of a place.
    pub fn write(self, place: &[i64]) -> String {
        let mut text = self.tag();
        for number in place {
            text.push('.');
            text.push_str(&format!("{number:x}"));
        }
        text
    }

    /// The place of a cursor, of `N` numbers; `None` for a text that [`Kind::write`] does not make.
    pub fn read<const N: usize>(self, text: &str) -> Option<[i64; N]> {
        let mut parts = text.split('.');
        if parts.next() != Some(self.tag().as_str()) {
            return None;
        }
        let mut place = [0; N];
        for number in &mut place {
            let digits = parts.next().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *number = u64::from_str_radix(digits, 16).ok()?.cast_signed();
        }
        parts.next().is_none().then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: Kind = Kind { list: 's', sort: Sort::Time, order: Order::Descending };

    #[test]
    fn a_place_comes_back() {
        let place = [0, 1, -1, i64::MIN, i64::MAX];
        assert_eq!(SPANS.read(&SPANS.write(&place)), Some(place));
    }

    #[test]
    fn other_texts_are_no_cursors() {
        for bad in [
            "",
            "std",
            "std.",
            "std.1",
            "std.1.2.3",
            "std.1.+2",
            "std.1.-2",
            "std.1.g",
            "sta.1.2",
            "std.1.fffffffffffffffff",
            "std.1.é",
        ] {
            assert_eq!(SPANS.read::<2>(bad), None, "{bad}");
        }
    }
}
