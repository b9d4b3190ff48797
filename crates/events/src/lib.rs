//! Wire types shared by the BPF programs and the agent.
//!
//! Everything here crosses the ring buffer or a BPF map as plain bytes, so the rules of a foreign interface hold:
//! `#[repr(C)]`, fixed-width integers, padding written out and zeroed, no `bool`, no `usize`, no Rust enum. A byte that
//! stands for a choice is a `u8` with constants here, and [`user`] refuses every other value.
//!
//! The crate is `no_std` and knows neither clock nor map; feature `user` adds decoding.
#![cfg_attr(not(feature = "user"), no_std)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod config;
pub mod conn;
pub mod data;
pub mod drops;
pub mod header;
pub mod process;
pub mod socket;
pub mod task;
#[cfg(feature = "user")]
pub mod user;

pub use config::{ConnState, KernelOffsets, TapConfig};
pub use conn::ConnKey;
pub use data::{DataEvent, PAYLOAD_MAX, TAIL_MAX};
pub use drops::KernelDrop;
pub use header::{EVENT_VERSION, EventHeader, kind};
pub use process::ProcessEvent;
pub use socket::SocketEvent;
pub use task::{TaskEvent, TaskLayout};
