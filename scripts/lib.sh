#!/usr/bin/env bash
# Shared functions of the scripts beside it. Sourced, never run; it defines and prints nothing by itself.

REPO_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# What `rust-version` in Cargo.toml says, for machines where no cargo can read it yet.
RUST_FLOOR="1.95.0"
NODE_FLOOR="18.0.0"
# The sections of test.sh, in the order it runs them.
TEST_SECTIONS=(lint web rust build otlp kernel product docker)
export REPO_ROOT RUST_FLOOR NODE_FLOOR

# `cargo install` puts bpf-linker here, and a login shell may not have told us.
case ":$PATH:" in
    *":${CARGO_HOME:-$HOME/.cargo}/bin:"*) ;;
    *) PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin" ;;
esac

# --- messages ---------------------------------------------------------------------------------------------------

# Progress goes to stdout, trouble to stderr, each line with the script's name.
say() { printf '%s: %s\n' "${SCRIPT_NAME:-script}" "$*"; }
warn() { printf '%s: warning: %s\n' "${SCRIPT_NAME:-script}" "$*" >&2; }
die() {
    printf '%s: error: %s\n' "${SCRIPT_NAME:-script}" "$*" >&2
    exit 1
}
usage_error() {
    printf '%s: %s (see --help)\n' "${SCRIPT_NAME:-script}" "$*" >&2
    exit 2
}

# --- checks -----------------------------------------------------------------------------------------------------

have() { command -v "$1" >/dev/null 2>&1; }

# need_cmd NAME WHERE_FROM
need_cmd() { have "$1" || die "$1 is missing; $2"; }

is_test_section() { [[ " ${TEST_SECTIONS[*]} " == *" $1 "* ]]; }

is_root() { [[ $EUID -eq 0 ]]; }

# version_ge A B: whether dotted version A is at least B. Suffixes such as -nightly are ignored.
version_ge() {
    local -a a b
    local i
    IFS=. read -ra a <<<"${1%%[-+ ]*}"
    IFS=. read -ra b <<<"${2%%[-+ ]*}"
    for i in 0 1 2; do
        if ((10#${a[i]:-0} > 10#${b[i]:-0})); then return 0; fi
        if ((10#${a[i]:-0} < 10#${b[i]:-0})); then return 1; fi
    done
}

# The version that `PROGRAM --version` prints, or nothing.
version_of() {
    local out
    out="$("$@" --version 2>/dev/null | head -n 1)" || return 1
    [[ $out =~ ([0-9]+\.[0-9]+(\.[0-9]+)?) ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

# has_capability NUMBER: whether this process has it in its effective set (numbers: linux/capability.h).
has_capability() {
    local mask
    mask="$(awk '/^CapEff:/ { print $2 }' /proc/self/status)"
    (((16#$mask >> $1) & 1))
}

# --- processes --------------------------------------------------------------------------------------------------

# read_stamp PID: sets STAMP to what tells this process from a later one with the same pid: boot and start time (field
# 22 of /proc/PID/stat). Fails when there is no such process, or only its zombie. It starts no process, to be polled.
read_stamp() {
    local stat="" boot
    local -a fields
    # The command name, field 2, may hold newlines as well, so the file is read to its end, which `read` calls a failure.
    { IFS= read -r -d '' stat <"/proc/$1/stat"; } 2>/dev/null || [[ -n $stat ]] || return 1
    # It may hold spaces and parentheses too: read behind the last one.
    read -ra fields <<<"${stat##*) }"
    [[ ${#fields[@]} -gt 19 && ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
    read -r boot </proc/sys/kernel/random/boot_id
    STAMP="$boot/${fields[19]}"
}

# write_pid_file FILE PID
write_pid_file() {
    read_stamp "$2" || return 1
    printf '%s %s\n' "$2" "$STAMP" >"$1.new"
    mv -f "$1.new" "$1"
}

# is_live FILE: whether the very process that the file names still runs. It starts no process either.
is_live() {
    local pid stamp
    { read -r pid stamp <"$1"; } 2>/dev/null || return 1
    [[ $pid =~ ^[0-9]+$ ]] && read_stamp "$pid" && [[ $STAMP == "$stamp" ]]
}

# live_pid FILE: prints the pid of the very process that the file names, or fails.
live_pid() {
    local pid
    is_live "$1" && read -r pid _ <"$1" && printf '%s\n' "$pid"
}

# --- ports ------------------------------------------------------------------------------------------------------

# Inode numbers of the TCP sockets that listen on a port, over IPv4 and IPv6.
listening_inodes() {
    local hex
    printf -v hex '%04X' "$1"
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$hex" '
        $4 == "0A" && substr($2, length($2) - 4) == port { print $10 }'
}

port_in_use() { [[ -n "$(listening_inodes "$1")" ]]; }

# Who listens on a port, as "name (pid N)"; "another user's process" where /proc does not say.
port_holder() {
    local inode fd pid
    for inode in $(listening_inodes "$1"); do
        for fd in /proc/[0-9]*/fd/*; do
            if [[ "$(readlink "$fd" 2>/dev/null)" == "socket:[$inode]" ]]; then
                pid="${fd#/proc/}"
                pid="${pid%%/*}"
                printf '%s (pid %s)\n' "$(<"/proc/$pid/comm")" "$pid"
                return 0
            fi
        done
    done
    printf "another user's process\n"
}

# --- waiting ----------------------------------------------------------------------------------------------------

# wait_until SECONDS COMMAND...: polls until the command succeeds; fails at the deadline.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# fetch [OPTION...] URL: asks directly, whatever proxy the environment names: everything asked for here is local.
fetch() { curl --silent --noproxy '*' "$@"; }

http_ok() { fetch --fail --output /dev/null --max-time 2 "$1"; }

# wait_http URL SECONDS
wait_http() { wait_until "$2" http_ok "$1"; }

# --- clean-up ---------------------------------------------------------------------------------------------------

# Commands pushed here run on exit, last one first. Call `cleanup_on_exit` once before the first push.
CLEANUP_STACK=()

cleanup_push() { CLEANUP_STACK+=("$*"); }

cleanup_run() {
    local status=$? i
    trap - EXIT
    for ((i = ${#CLEANUP_STACK[@]} - 1; i >= 0; i--)); do
        eval "${CLEANUP_STACK[i]}" || warn "clean-up failed: ${CLEANUP_STACK[i]}"
    done
    CLEANUP_STACK=()
    return "$status"
}

cleanup_on_exit() { trap cleanup_run EXIT; }

# --- toolchains -------------------------------------------------------------------------------------------------

# Whether the cargo and rustc on PATH are new enough for the workspace.
rust_is_ready() {
    local tool found
    for tool in cargo rustc; do
        found="$(version_of "$tool")" || return 1
        version_ge "$found" "$RUST_FLOOR" || return 1
    done
}

# A compiler that brings a precompiled `core` for BPF (Debian's libstd-rust-web-dev-bpf): prints its path. The agent's
# build script looks in the same place.
bpf_rustc_precompiled() {
    local rustc="${BPF_RUSTC:-/usr/bin/rustc}" sysroot
    sysroot="$("$rustc" --print sysroot 2>/dev/null)" || return 1
    [[ -d "$sysroot/lib/rustlib/bpfel-unknown-none/lib" ]] && printf '%s\n' "$rustc"
}

# Whether rustup has a nightly with the sources of `core`.
bpf_nightly_is_ready() {
    local sysroot
    have rustup || return 1
    sysroot="$(rustup run nightly rustc --print sysroot 2>/dev/null)" || return 1
    [[ -d "$sysroot/lib/rustlib/src/rust/library/core" ]]
}

# One line on the eBPF compiler that a build would use; fails when there is none.
bpf_toolchain() {
    local rustc
    if rustc="$(bpf_rustc_precompiled)"; then
        printf '%s %s with a precompiled core for bpfel-unknown-none\n' "$rustc" "$(version_of "$rustc")"
    elif bpf_nightly_is_ready; then
        printf 'rustup nightly with rust-src\n'
    else
        return 1
    fi
}

# --- the product ------------------------------------------------------------------------------------------------

# The command that builds what the demo runs, one word a line: everywhere the same, so that it is built once.
product_build_command() {
    printf '%s\n' cargo build --release --package tinyolly --package otel-ebpf-agent \
        --package ebpf-backend --package ebpf-frontend
}
