//! Where the running kernel keeps the fields that the BPF programs read, from its BTF.

use std::{collections::HashMap, path::Path};

use btf_rs::{Backend, Btf, Type};
use otel_ebpf_events::KernelOffsets;

/// Where the kernel publishes its type information.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Why offsets could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    /// The kernel's BTF is missing or unreadable.
    #[error("read kernel type information from {path} (the kernel needs CONFIG_DEBUG_INFO_BTF)")]
    Btf {
        /// File read.
        path: String,
        /// What went wrong.
        #[source]
        source: btf_rs::Error,
    },
    /// A structure, function or field is not in the kernel's BTF.
    #[error("{0} is not in the kernel's type information")]
    Missing(String),
}

/// What the loader needs to know of the running kernel.
#[derive(Clone, Debug)]
pub struct KernelTypes {
    /// Offsets of the fields that programs read.
    pub offsets: KernelOffsets,
    /// Tracepoints, by name, that a `tp_btf` program could attach to, among those the agent knows.
    pub tracepoints: HashMap<&'static str, bool>,
    /// Whether sendfile goes past `tcp_sendmsg`, through `tcp_sendpage` (before 6.5).
    pub has_sendpage: bool,
}

impl KernelTypes {
    /// Whether the kernel has a tracepoint for `tp_btf` programs.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoints.get(name).copied().unwrap_or(false)
    }
}

/// Tracepoints that not every kernel has.
const OPTIONAL_TRACEPOINTS: [&str; 4] =
    ["sock_recv_length", "sock_send_length", "sk_data_ready", "tcp_probe"];

/// Reads the kernel's type information.
///
/// # Errors
///
/// The BTF cannot be read, or a field that every supported kernel has is missing.
pub fn resolve(path: &Path) -> Result<KernelTypes, OffsetError> {
    // Mapping the file costs no memory of our own; before 6.16 the kernel refuses to map it.
    let btf = Btf::from_file_with_backend(path, Backend::Mmap)
        .or_else(|_| Btf::from_file_with_backend(path, Backend::Cache))
        .map_err(|source| OffsetError::Btf { path: path.display().to_string(), source })?;
    let field = |of: &str, path: &str| field_offset(&btf, of, path);
    let offsets = KernelOffsets {
        skc_family: field("sock_common", "skc_family")?,
        skc_daddr: field("sock_common", "skc_daddr")?,
        skc_rcv_saddr: field("sock_common", "skc_rcv_saddr")?,
        skc_dport: field("sock_common", "skc_dport")?,
        skc_num: field("sock_common", "skc_num")?,
        skc_v6_daddr: field("sock_common", "skc_v6_daddr")?,
        skc_v6_rcv_saddr: field("sock_common", "skc_v6_rcv_saddr")?,
        sk_protocol: field("sock", "sk_protocol")?,
        sk_err: field("sock", "sk_err")?,
        skc_flags: field("sock_common", "skc_flags")?,
        write_seq: field("tcp_sock", "write_seq")?,
        copied_seq: field("tcp_sock", "copied_seq")?,
        rcv_nxt: field("tcp_sock", "rcv_nxt")?,
        task_pid: field("task_struct", "pid")?,
        task_tgid: field("task_struct", "tgid")?,
        task_fsbase: fs_base(&btf),
        skb_len: field("sk_buff", "len")?,
        recvmsg_ret_arg: recvmsg_parameters(&btf)?,
    };
    let tracepoints = OPTIONAL_TRACEPOINTS
        .into_iter()
        .map(|name| {
            (name, btf.resolve_ids_by_name(&format!("btf_trace_{name}")).is_ok_and(|ids| !ids.is_empty()))
        })
        .collect();
    let has_sendpage = parameter_count(&btf, "tcp_sendpage").is_ok();
    Ok(KernelTypes { offsets, tracepoints, has_sendpage })
}

/// Byte offset of a field of a structure; fields of anonymous members count as the structure's own.
fn field_offset(btf: &Btf, structure: &str, field: &str) -> Result<u32, OffsetError> {
    let missing = || OffsetError::Missing(format!("{structure}.{field}"));
    let types = btf.resolve_types_by_name(structure).map_err(|_| missing())?;
    types
        .iter()
        .filter_map(|candidate| match candidate {
            Type::Struct(found) => member_offset_bits(btf, found, field, 0),
            _ => None,
        })
        .next()
        .map(|bits| bits / 8)
        .ok_or_else(missing)
}

/// Byte offset of a thread's `fs` base in `task_struct` (`thread_struct`, arch/x86/include/asm/processor.h); 0 on other
/// architectures, where no task is looked for.
fn fs_base(btf: &Btf) -> u32 {
    let both = field_offset(btf, "task_struct", "thread")
        .and_then(|thread| field_offset(btf, "thread_struct", "fsbase").map(|fs_base| thread + fs_base));
    both.unwrap_or(0)
}

/// Depth of anonymous members that is looked into; `sock_common` needs three.
const ANONYMOUS_DEPTH: u32 = 6;

fn member_offset_bits(btf: &Btf, structure: &btf_rs::Struct, field: &str, depth: u32) -> Option<u32> {
    for member in &structure.members {
        let name = btf.resolve_name(member).unwrap_or_default();
        if name == field {
            return Some(member.bit_offset());
        }
        if name.is_empty()
            && depth < ANONYMOUS_DEPTH
            && let Ok(Type::Struct(inner) | Type::Union(inner)) = btf.resolve_chained_type(member)
            && let Some(bits) = member_offset_bits(btf, &inner, field, depth + 1)
        {
            return Some(member.bit_offset() + bits);
        }
    }
    None
}

/// Number of `tcp_recvmsg`'s parameters, one that the programs know how to read.
fn recvmsg_parameters(btf: &Btf) -> Result<u32, OffsetError> {
    match parameter_count(btf, "tcp_recvmsg")? {
        count @ 4..=6 => Ok(count),
        count => {
            Err(OffsetError::Missing(format!("a known signature of tcp_recvmsg (it has {count} parameters)")))
        }
    }
}

/// Number of a function's parameters.
fn parameter_count(btf: &Btf, function: &str) -> Result<u32, OffsetError> {
    let missing = || OffsetError::Missing(format!("function {function}"));
    let types = btf.resolve_types_by_name(function).map_err(|_| missing())?;
    types
        .iter()
        .find_map(|candidate| match candidate {
            Type::Func(found) => match btf.resolve_chained_type(found) {
                Ok(Type::FuncProto(proto)) => u32::try_from(proto.parameters.len()).ok(),
                _ => None,
            },
            _ => None,
        })
        .ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_every_field() {
        let path = Path::new(KERNEL_BTF);
        if !path.exists() {
            eprintln!("skipped: {KERNEL_BTF} does not exist on this kernel");
            return;
        }
        let types = resolve(path).expect("offsets of the running kernel");
        // `skc_num` follows `skc_dport` in `skc_portpair` on every kernel (include/net/sock.h).
        assert_eq!(types.offsets.skc_num, types.offsets.skc_dport + 2);
        assert_eq!(types.offsets.skc_daddr, 0);
        assert_ne!(types.offsets.write_seq, types.offsets.copied_seq);
        assert!(matches!(types.offsets.recvmsg_ret_arg, 4..=6), "{}", types.offsets.recvmsg_ret_arg);
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = resolve(Path::new("/does/not/exist")).expect_err("no such file");
        assert!(error.to_string().contains("/does/not/exist"), "{error}");
    }
}
