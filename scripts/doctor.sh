#!/usr/bin/env bash
# Says what this machine offers the agent, which tap it would choose, and what will not work and why.
# Builds nothing. It reads only, but for an agent that is built already: that one's `doctor` loads programs for a moment.
set -euo pipefail

SCRIPT_NAME=doctor.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

BTF=/sys/kernel/btf/vmlinux
# Below this no tap exists: fexit with bpf_get_socket_cookie and bpf_task_pt_regs came together in 5.15.
KERNEL_FLOOR="5.15"
# Capability numbers of linux/capability.h, with what each is for.
CAPABILITIES=(
    "39 CAP_BPF load programs and create maps"
    "38 CAP_PERFMON attach tracing programs, read kernel structures"
    "19 CAP_SYS_PTRACE look into /proc of other users' processes, together with the next"
    "2 CAP_DAC_READ_SEARCH the same"
    "21 CAP_SYS_ADMIN everything above, on kernels before 5.8"
)

PROBLEMS=()
NOTES=()

usage() {
    cat <<'USAGE'
Usage: scripts/doctor.sh [--help]

Prints what the kernel, this user and the installed toolchains allow. Exits with 1 when the agent cannot work here.
When an agent is built, its own `doctor`, which tries by loading, is run as well.
USAGE
}

# row NAME VALUE
row() { printf '  %-26s %s\n' "$1" "$2"; }
problem() { PROBLEMS+=("$*"); }
note() { NOTES+=("$*"); }

# The value of a kernel build option, or nothing where the configuration is not readable.
kernel_option() {
    local file
    for file in /proc/config.gz "/boot/config-$(uname -r)"; do
        [[ -r $file ]] || continue
        zcat -f "$file" | sed -n "s/^$1=//p"
        return 0
    done
}

# Whether kernel type information holds a name. Its string section is NUL-separated, so whole names can be compared.
btf_has() { [[ -r $BTF ]] && grep --quiet --text --null-data --line-regexp --fixed-strings "$1" "$BTF"; }

# Prints the value of a sysctl file, or `unknown`.
read_or_unknown() {
    if [[ -r $1 ]]; then cat "$1"; else printf 'unknown\n'; fi
}

report_kernel() {
    printf 'Kernel\n'
    row version "$(uname -r) $(uname -m)"
    version_ge "$(uname -r)" "$KERNEL_FLOOR" || problem "the kernel is older than $KERNEL_FLOOR: no tap works"
    [[ "$(uname -m)" == x86_64 ]] || problem "only x86_64 is supported; this is $(uname -m)"
    if [[ -r $BTF ]]; then
        row "BTF" "$BTF"
    else
        row "BTF" "missing"
        problem "no $BTF: the kernel was built without CONFIG_DEBUG_INFO_BTF, and the tap takes its offsets from there"
    fi
    row "BPF JIT" "$(jit_state)"
    row "unprivileged BPF" "$(unprivileged_state)"
    row "lockdown" "$(lockdown_mode)"
    row "kprobes" "$(kprobes_state)"
    row "cgroup v2" "$(cgroup2_mount)"
    row "tracefs" "$(tracefs_mount)"
}

jit_state() {
    if [[ "$(kernel_option CONFIG_BPF_JIT_ALWAYS_ON)" == y ]]; then
        printf 'always on\n'
    else
        case "$(read_or_unknown /proc/sys/net/core/bpf_jit_enable)" in
            0) printf 'off (programs are interpreted: slow, and no fexit)\n' ;;
            1 | 2) printf 'on\n' ;;
            *) printf 'unknown\n' ;;
        esac
    fi
}

unprivileged_state() {
    case "$(read_or_unknown /proc/sys/kernel/unprivileged_bpf_disabled)" in
        0) printf 'allowed (does not help: tracing programs always need capabilities)\n' ;;
        1 | 2) printf 'disabled, as usual\n' ;;
        *) printf 'unknown\n' ;;
    esac
}

# integrity, confidentiality, none, or why it is not known.
lockdown_mode() {
    local text=""
    if [[ -r /sys/kernel/security/lockdown ]]; then
        text="$(</sys/kernel/security/lockdown)"
        text="${text#*[}"
        printf '%s\n' "${text%%]*}"
    elif [[ "$(kernel_option CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY)" == y ]]; then
        printf 'confidentiality (from the kernel configuration)\n'
    elif [[ "$(kernel_option CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY)" == y ]]; then
        printf 'integrity (from the kernel configuration)\n'
    elif [[ "$(kernel_option CONFIG_SECURITY_LOCKDOWN_LSM)" == y ]]; then
        printf 'unknown: securityfs is not mounted\n'
    else
        printf 'none\n'
    fi
}

kprobes_state() {
    if [[ -e /sys/bus/event_source/devices/kprobe/type || "$(kernel_option CONFIG_KPROBES)" == y ]]; then
        printf 'yes\n'
    else
        printf 'no (not needed)\n'
    fi
}

cgroup2_mount() {
    local mount
    mount="$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)"
    printf '%s\n' "${mount:-not mounted}"
}

tracefs_mount() {
    local mount
    mount="$(awk '$3 == "tracefs" { print $2; exit }' /proc/mounts)"
    printf '%s\n' "${mount:-not mounted (not needed)}"
}

# Which attachment of the tap the kernel has, judged by names in its type information.
report_tap() {
    local tap=none hook
    printf '\nTap\n'
    for hook in sock_recv_length sock_send_length sk_data_ready tcp_probe; do
        if btf_has "btf_trace_$hook"; then row "tracepoint $hook" yes; else row "tracepoint $hook" no; fi
    done
    for hook in tcp_recvmsg tcp_sendmsg; do
        if btf_has "$hook"; then row "function $hook" yes; else row "function $hook" no; fi
    done
    if btf_has btf_trace_sock_recv_length && btf_has btf_trace_sock_send_length; then
        tap=tp_btf
    elif btf_has tcp_recvmsg && btf_has tcp_sendmsg && btf_has bpf_trampoline; then
        tap=fexit
    fi
    row chosen "$tap"
    case "$tap" in
        none) problem "neither the socket tracepoints (kernel 6.3 and later) nor fexit on tcp_recvmsg and tcp_sendmsg are there" ;;
        fexit) note "fexit needs BPF trampolines; only loading one tells whether this kernel allows them (otel-ebpf-agent doctor)" ;;
        *) ;;
    esac
    if ! btf_has btf_trace_sk_data_ready && ! btf_has btf_trace_tcp_probe; then
        note "no tracepoint tells when a request arrives, so there are no \`in queue\` spans"
    fi
    case "$(lockdown_mode)" in
        confidentiality*) note "lockdown confidentiality forbids reading kernel memory by helper; the tap does not use it, but see docs/limitations.md" ;;
        integrity*) note "lockdown integrity may refuse fexit; the tracepoints work" ;;
        *) ;;
    esac
}

report_capabilities() {
    local entry number name purpose state
    printf '\nThis user: %s\n' "$(id -un)"
    for entry in "${CAPABILITIES[@]}"; do
        read -r number name purpose <<<"$entry"
        if has_capability "$number"; then state=yes; else state=no; fi
        row "$name" "$(printf '%-4s %s' "$state" "$purpose")"
    done
    if ! has_capability 39 && ! has_capability 21; then
        problem "this user may not load BPF programs: run as root, or give the agent CAP_BPF and CAP_PERFMON"
    elif ! has_capability 38 && ! has_capability 21; then
        problem "without CAP_PERFMON tracing programs cannot be attached"
    fi
    if ! has_capability 19 || ! has_capability 2; then
        note "without CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH services of other users that run already are not found"
    fi
}

report_toolchains() {
    local tool found
    printf '\nToolchains (for building)\n'
    for tool in cargo rustc bpf-linker node npm; do
        found="$(version_of "$tool")" || found="missing"
        row "$tool" "$found"
    done
    if found="$(bpf_toolchain)"; then
        row "eBPF compiler" "$found"
    else
        row "eBPF compiler" "missing (scripts/setup.sh installs one)"
    fi
}

# The agent tries by loading, which is surer than names in type information.
report_agent() {
    local profile agent
    for profile in release debug; do
        agent="${CARGO_TARGET_DIR:-$REPO_ROOT/target}/$profile/otel-ebpf-agent"
        if [[ -x $agent ]]; then
            printf '\nThe agent says (%s doctor)\n' "$agent"
            "$agent" doctor 2>&1 | sed 's/^/  /' || problem "the agent's own doctor found a problem (above)"
            return 0
        fi
    done
    note "no agent is built; once it is, its own \`doctor\` tries what is only looked up here"
}

report_verdict() {
    local line
    printf '\n'
    for line in "${NOTES[@]}"; do printf 'note: %s\n' "$line"; done
    if [[ ${#PROBLEMS[@]} -gt 0 ]]; then
        for line in "${PROBLEMS[@]}"; do printf 'will not work: %s\n' "$line"; done
        return 1
    fi
    printf 'the agent should work here\n'
}

main() {
    case "${1:-}" in
        "") ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) usage_error "unknown argument $1" ;;
    esac
    [[ "$(uname -s)" == Linux ]] || die "the agent is for Linux; this is $(uname -s)"
    report_kernel
    report_tap
    report_capabilities
    report_toolchains
    report_agent
    report_verdict
}

main "$@"
