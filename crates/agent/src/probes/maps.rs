//! The maps that the agent reads and writes.

use std::borrow::BorrowMut;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, PerCpuArray, RingBuf},
};
use otel_ebpf_events::{ConnState, KernelDrop, TaskLayout};

/// Handles of every map that user space touches.
pub struct KernelMaps {
    /// Traced processes, see [`otel_ebpf_events::config::target`].
    pub targets: HashMap<MapData, u32, u32>,
    /// Ports that make a process a target when it listens on one.
    pub rule_ports: HashMap<MapData, u16, u8>,
    /// Ports on which targets listen.
    pub served_ports: HashMap<MapData, u16, u8>,
    /// Connections by cookie.
    pub conns: HashMap<MapData, u64, ConnState>,
    /// How tasks lie in the memory of a process.
    pub task_layouts: HashMap<MapData, u32, TaskLayout>,
    /// Whether every program that begins is traced until user space has looked at it.
    pub new_programs: Array<MapData, u32>,
    /// Waking the reader.
    pub wake: Wake,
    /// Losses of the kernel side.
    pub drops: Drops,
}

/// How the kernel side wakes the reader.
pub struct Wake {
    /// Whether any event must.
    pub asleep: Array<MapData, u32>,
    /// Rung for process events; its messages are empty.
    pub doorbell: RingBuf<MapData>,
}

/// Reads the loss counters of the kernel side.
pub struct Drops(PerCpuArray<MapData, u64>);

impl Drops {
    /// Losses since load, by cause, those that happened at all.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn read(&self) -> Result<Vec<(KernelDrop, u64)>> {
        KernelDrop::ALL
            .into_iter()
            .map(|cause| {
                let per_cpu = self.0.get(&(cause as u32), 0).context("read drop counters")?;
                Ok((cause, per_cpu.iter().sum()))
            })
            .filter(|entry| !matches!(entry, Ok((_, 0))))
            .collect()
    }
}

impl KernelMaps {
    /// Takes the maps, and the ring buffer of events, out of a loaded object.
    ///
    /// # Errors
    ///
    /// The object lacks a map: it is not of this build.
    pub fn take(ebpf: &mut Ebpf) -> Result<(Self, RingBuf<MapData>)> {
        let mut take =
            |name: &'static str| ebpf.take_map(name).with_context(|| format!("map {name} is missing"));
        let events = RingBuf::try_from(take("EVENTS")?)?;
        let maps = Self {
            targets: HashMap::try_from(take("TARGETS")?)?,
            rule_ports: HashMap::try_from(take("RULE_PORTS")?)?,
            served_ports: HashMap::try_from(take("SERVED_PORTS")?)?,
            conns: HashMap::try_from(take("CONNS")?)?,
            task_layouts: HashMap::try_from(take("TASK_LAYOUTS")?)?,
            new_programs: Array::try_from(take("NEW_PROGRAMS")?)?,
            wake: Wake {
                asleep: Array::try_from(take("READER_ASLEEP")?)?,
                doorbell: RingBuf::try_from(take("DOORBELL")?)?,
            },
            drops: Drops(PerCpuArray::try_from(take("DROPS")?)?),
        };
        Ok((maps, events))
    }
}

/// Removes a key that may be absent already.
///
/// # Errors
///
/// Any failure but the key's absence.
pub fn remove_if_present<T, K, V>(map: &mut HashMap<T, K, V>, key: &K) -> Result<(), aya::maps::MapError>
where
    T: BorrowMut<MapData>,
    K: aya::Pod,
    V: aya::Pod,
{
    match map.remove(key) {
        Err(aya::maps::MapError::KeyNotFound) => Ok(()),
        Err(aya::maps::MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}
