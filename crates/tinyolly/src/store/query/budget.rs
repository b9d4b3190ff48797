//! How long a query may look before it answers with what it has.

use std::time::{Duration, Instant};

/// What a list spends on looking for matches. Answers stay quick however rare a match is: the client gets what was found,
/// is told how far the search came, and goes on from there.
pub const SCAN: Duration = Duration::from_millis(45);
/// Rows that are looked at however slow the machine is just then: small stores always answer in whole.
const AT_LEAST: u32 = 512;
/// The clock is read once in so many questions.
const STRIDE: u32 = 32;

/// A time after which a query ends.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    deadline: Option<Instant>,
    /// Questions until the clock is read.
    left: u32,
    over: bool,
}

impl Budget {
    /// Ends after `time`, from now.
    pub fn of(time: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(time), left: AT_LEAST, over: false }
    }

    /// Never ends.
    pub fn endless() -> Self {
        Self { deadline: None, left: AT_LEAST, over: false }
    }

    /// Whether the time is over; to be asked after each row.
    pub fn is_over(&mut self) -> bool {
        self.left -= 1;
        if self.left == 0 {
            self.left = STRIDE;
            self.over = self.over || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        }
        self.over
    }
}
