//! What is computed of metric points: rates, sums and quantiles over time.
//!
//! Pure: points in, lines of a chart out; no clock, no database, no JSON. A series goes through three stages. [`stream`]
//! turns its points, cumulative or delta, into what was added between two times ([`stream::Increase`]), or [`levels`]
//! into the value it stood at. [`grid`] lays that on steps of equal width. [`evaluate`] merges the series of a group and
//! gives one number for each step. Histograms of both kinds are one type, [`distribution::Distribution`].

pub mod distribution;
pub mod evaluate;
mod explicit;
mod exponential;
pub mod function;
pub mod grid;
pub mod heatmap;
pub mod levels;
pub mod stream;
