//! How often things go well, and the chance that decides it.

use ebpf_demo_service::dice::Dice;

/// Probabilities of the outcomes, from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Chances {
    /// The items of an order are in stock.
    pub in_stock: f64,
    /// A payment is accepted.
    pub payment_accepted: f64,
}

impl Default for Chances {
    fn default() -> Self {
        Self { in_stock: 0.75, payment_accepted: 0.9 }
    }
}

/// State shared by all requests.
#[derive(Debug)]
pub struct Shop {
    /// Decides outcomes and the length of work.
    pub dice: Dice,
    /// How likely each outcome is.
    pub chances: Chances,
}

impl Shop {
    /// Makes a shop with fair dice and the chances of the walkthrough.
    #[must_use]
    pub fn open() -> Self {
        Self { dice: Dice::fair(), chances: Chances::default() }
    }
}

/// Rounds to cents.
#[must_use]
pub fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}
