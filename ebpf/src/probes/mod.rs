//! One file for each family of hooks.

mod arrival;
mod process;
mod socket_state;
mod tap;
mod task;
