#!/usr/bin/env bash
# Runs every test of the repository, or the sections named, and ends with one line that adds up all results.
set -euo pipefail

SCRIPT_NAME=test.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/test-lib.sh
source "$REPO_ROOT/scripts/test-lib.sh"
# shellcheck source=scripts/docker-engine.sh
source "$REPO_ROOT/scripts/docker-engine.sh"

TARGET_DIR="${CARGO_TARGET_DIR:-$REPO_ROOT/target}"
LOG_DIR="$TARGET_DIR/test-logs"
WEB_DIR="$REPO_ROOT/crates/tinyolly/web"
# One selection for clippy, tests and kernel tests: another one would unify features differently and build anew. Only
# without nextest, which can pick a package of a selection, the kernel tests are built with features of their own.
SELECTION=(--workspace --exclude otel-ebpf-programs)

PASSED=0
FAILED=0
SKIPPED=0
SUMMARY=()
# The `timeout` around the command that runs now.
RUNNING=
SETUP_FAILED=0
# What became of the release build in this run: nothing yet, done or failed.
BUILD=

usage() {
    cat <<'USAGE'
Usage: scripts/test.sh [SECTION...]

Installs what is missing (scripts/setup.sh --test SECTION...) and runs the sections named, or all, in this order:

  lint      rustfmt, clippy (the BPF programs apart), shellcheck, shfmt
  web       the user interface: types and unit tests
  rust      unit, property, replay and integration tests; no root needed
  build     the four programs, in release
  otlp      the official OpenTelemetry SDK for Python against tinyolly
  kernel    tests that load BPF programs, into this kernel and, in QEMU, into older ones; root needed, skipped without
  product   the demo as people run it: smoke test, browser test, stopping; root needed, skipped without
  docker    the walkthrough in Docker as people run it, on an engine of its own where none runs; root needed, skipped
            without

A failing section does not keep the others from running. When something cannot be installed, that counts as failed, and
the sections that need it are skipped. The last line is "N passed, N failed[, N skipped]", the sum over all runners; the
exit status is 1 when anything failed. Logs: test-logs/ in the target directory.
USAGE
}

# --- counting ---------------------------------------------------------------------------------------------------

# count_* FILE: prints "passed failed skipped" from a runner's output.

# "[anything: ]N passed, N failed[, N skipped]": our own runners.
count_own() {
    sed -nE 's/^([a-z0-9]+: )?([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?$/\2 \3 0\5/p' "$1" | tail -n 1
}

# nextest: "Summary [ 1.2s] 12 tests run: 11 passed (1 slow), 1 failed, 2 skipped". What a filter left out counts as
# skipped there; it is not a test that could not run, so only `#[ignore]` would be hidden by not counting it.
count_nextest() {
    awk '/^ *Summary \[/ {
        passed = failed = 0
        for (i = 2; i <= NF; i++) {
            word = $i
            sub(/,$/, "", word)
            if (word == "passed") passed = $(i - 1)
            if (word == "failed" || word == "timed") failed += $(i - 1)
        }
        found = 1
    } END { if (found) print passed, failed, 0 }' "$1"
}

# libtest: one "test result: ok. 5 passed; 0 failed; 1 ignored; ..." for each binary.
count_libtest() {
    awk '/^test result: / { found = 1; passed += $4; failed += $6; skipped += $8 }
        END { if (found) print passed, failed, skipped }' "$1"
}

# vitest: "      Tests  1 failed | 12 passed | 2 skipped (15)", colours already off.
count_vitest() {
    awk '/^ *Tests +[0-9]/ {
        for (i = 2; i <= NF; i++) n[$i] = $(i - 1)
        print n["passed"] + 0, n["failed"] + 0, n["skipped"] + n["todo"]
    }' "$1" | tail -n 1
}

# pytest: "==== 1 failed, 5 passed, 1 skipped, 1 error in 3.21s ====".
count_pytest() {
    awk '/^=+ .* in [0-9.]+s.*=+$/ {
        for (i = 2; i <= NF; i++) { word = $i; sub(/,$/, "", word); n[word] = $(i - 1) }
        print n["passed"] + 0, n["failed"] + n["error"] + n["errors"], n["skipped"] + 0
    }' "$1" | tail -n 1
}

# --- running ----------------------------------------------------------------------------------------------------

# add NAME PASSED FAILED SKIPPED SECONDS
add() {
    PASSED=$((PASSED + $2))
    FAILED=$((FAILED + $3))
    SKIPPED=$((SKIPPED + $4))
    SUMMARY+=("$(printf '%-44s %5s passed %4s failed %4s skipped %6s s' "$1" "$2" "$3" "$4" "$5")")
}

# skip NAME REASON...: says aloud that something is not tested here.
skip() {
    local name="$1"
    shift
    printf '\n!!! SKIPPED: %s: %s\n' "$name" "$*"
    add "$name" 0 0 1 0
}

# within SECONDS LOG COMMAND...: runs a command, shows its output and keeps it in the log, and ends it with all that it
# started when it hangs or this script has to end. `timeout` puts it in a group of its own for that, where it would be
# stopped for reading from the terminal; and the shell would have it ignore Ctrl-C's signal, which some tests send.
within() {
    local seconds="$1" log="$2" out tee status=0
    shift 2
    exec {out}> >(exec tee --ignore-interrupts "$log")
    tee=$!
    env --default-signal=INT,QUIT timeout --kill-after=20 "$seconds" "$@" </dev/null >&"$out" 2>&1 {out}>&- &
    RUNNING=$!
    exec {out}>&-
    wait "$RUNNING" || status=$?
    RUNNING=
    wait "$tee" || true # all of it is in the log
    return "$status"
}

# On a signal: `timeout` passes it on to the whole group, and insists after a while.
stop_running() {
    if [[ -z $RUNNING ]]; then return 0; fi
    kill -TERM "$RUNNING" 2>/dev/null || return 0
    wait "$RUNNING" || true # the status of something stopped
    RUNNING=
}

# run NAME COUNTER SECONDS COMMAND...: runs a command, shows its output, and counts its tests; with the counter `-`
# the command itself is the one test. A command that fails without a failed test counts as one.
run() {
    local name="$1" counter="$2" seconds="$3" start=$SECONDS log status=0
    local passed=0 failed=0 skipped=0
    shift 3
    log="$LOG_DIR/${name//[^A-Za-z0-9]/-}.log"
    printf '\n--- %s\n' "$name"
    within "$seconds" "$log" "$@" || status=$?
    if [[ $counter == - ]]; then
        if [[ $status -eq 0 ]]; then passed=1; fi
    else
        read -r passed failed skipped < <("$counter" "$log") || true # no line: the runner did not get to its end
        passed=$((10#${passed:-0}))
        failed=$((10#${failed:-0}))
        skipped=$((10#${skipped:-0}))
        if [[ $status -eq 0 && $((passed + failed + skipped)) -eq 0 ]]; then
            printf 'no test was run\n'
            status=1
        fi
    fi
    if [[ $status -ne 0 && $failed -eq 0 ]]; then failed=1; fi
    if [[ $status -eq 124 ]]; then printf 'stopped after %s s\n' "$seconds"; fi
    add "$name" "$passed" "$failed" "$skipped" "$((SECONDS - start))"
    [[ $failed -eq 0 ]]
}

# --- sections ---------------------------------------------------------------------------------------------------

section_lint() { run lint count_own 900 cargo xtask lint; }

# tinyolly's build script installs the packages too; npm leaves a lock file of its own there, newer than ours.
install_web_packages() {
    if [[ node_modules/.package-lock.json -nt package-lock.json ]]; then return 0; fi
    npm ci --no-audit --no-fund
}

section_web() {
    cd "$WEB_DIR"
    run "web: npm ci" - 300 bash -c install_web_packages || return 0
    run "web: types" - 300 npm run check || true            # counted
    run "web: unit tests" count_vitest 300 npm test || true # counted
}

section_rust() {
    if have cargo-nextest; then
        run "rust" count_nextest 1200 cargo nextest run "${SELECTION[@]}" --no-fail-fast \
            --filterset 'not package(otel-ebpf-kernel-tests)'
    else
        run "rust" count_libtest 1200 cargo test "${SELECTION[@]}" --exclude otel-ebpf-kernel-tests --no-fail-fast
    fi
}

section_build() {
    local -a command
    mapfile -t command < <(product_build_command)
    BUILD=failed
    run "build, release" - 1200 "${command[@]}" || return 1
    BUILD="done"
}

section_otlp() {
    local venv="$TARGET_DIR/otlp-venv" tests="$REPO_ROOT/crates/tinyolly/tests"
    # What lies there from an earlier run may be older than the sources.
    if [[ -z $BUILD ]]; then section_build || true; fi # counted
    if [[ $BUILD == failed ]]; then
        skip otlp "tinyolly did not build"
        return 0
    fi
    if [[ ! -x $venv/bin/pip ]]; then python3 -m venv "$venv"; fi
    run "otlp: install the Python SDK" - 300 \
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$tests/requirements.txt" || return 0
    run "otlp: conformance" count_pytest 300 env TINYOLLY_BIN="$TARGET_DIR/release/tinyolly" \
        "$venv/bin/python" -m pytest -p no:cacheprovider --color=no "$tests/otlp_conformance.py"
}

section_kernel() {
    local -a build=()
    if lacks_root kernel; then
        skip kernel "loading BPF programs needs root"
        return 0
    fi
    if [[ -z $BUILD ]]; then section_build || true; fi # counted
    if [[ $BUILD == failed ]]; then
        skip kernel "the agent did not build"
        return 0
    fi
    # The agent that people run, and none built anew for the tests.
    export OTEL_EBPF_AGENT_BIN="$TARGET_DIR/release/otel-ebpf-agent"
    export OTEL_TINYOLLY_BIN="$TARGET_DIR/release/tinyolly"
    # Services with an SDK; without it, their tests say that they are skipped.
    export OTEL_SDK_PYTHON="$TARGET_DIR/otlp-venv/bin/python"
    if have cargo-nextest; then
        # One at a time: they watch the same kernel.
        run "kernel" count_nextest 1800 cargo nextest run "${SELECTION[@]}" --no-fail-fast --test-threads 1 \
            --filterset 'package(otel-ebpf-kernel-tests)' || true # counted
    else
        run "kernel" count_libtest 1800 cargo test --package otel-ebpf-kernel-tests --no-fail-fast -- --test-threads 1 \
            || true # counted
        build=(--alone)
    fi
    # One guest for each way to tap the kernel's sockets: fexit before 6.3, tracepoints since.
    run "kernel: guests" count_own 1200 cargo xtask kernel-test vm "${build[@]}" --deadline 700 6.1 6.12
}

says_that_it_runs() { "$REPO_ROOT/scripts/demo.sh" --detach | grep "runs already"; }

# Only what belongs to this demo: other agents may be at work on the machine.
stop_leaves_nothing() {
    local file part port status=0
    local -a pids=() programs=()
    mapfile -t programs < <(bpf_programs_of "$(cut -d ' ' -f 1 "$DEMO_STATE_DIR/otel-ebpf-agent.pid")")
    if [[ ${#programs[@]} -eq 0 ]]; then
        printf 'the agent holds no BPF program\n'
        status=1
    fi
    for file in "$DEMO_STATE_DIR"/*.pid; do pids+=("$(cut -d ' ' -f 1 "$file")"); done
    "$REPO_ROOT/scripts/demo.sh" --stop || return 1
    for part in "${pids[@]}"; do
        if read_stamp "$part"; then
            printf 'process %s is still there\n' "$part"
            status=1
        fi
    done
    for port in 5005 4317 4318 5001 5004; do
        if port_in_use "$port"; then
            printf 'port %s is still held by %s\n' "$port" "$(port_holder "$port")"
            status=1
        fi
    done
    # The kernel frees programs a moment after their last reference went.
    if ! have bpftool; then
        printf 'no bpftool: whether the BPF programs are gone is not looked at\n'
    elif ! wait_until 10 programs_are_gone "${programs[@]}"; then
        printf 'of the BPF programs %s some are still loaded:\n' "${programs[*]}"
        bpftool prog show
        status=1
    fi
    return "$status"
}

# For `run`, which starts programs and not functions.
export -f install_web_packages
export -f says_that_it_runs stop_leaves_nothing programs_are_gone bpf_programs_of
export -f have read_stamp port_in_use port_holder listening_inodes wait_until

section_product() {
    if lacks_root product; then
        skip product "the agent needs root"
        return 0
    fi
    # Never the data of a demo that somebody looks at.
    export DEMO_STATE_DIR="$TARGET_DIR/test-demo"
    run "product: demo.sh --detach" - 1500 "$REPO_ROOT/scripts/demo.sh" --detach --fresh || return 0
    cleanup_push "'$REPO_ROOT/scripts/demo.sh' --stop >/dev/null"
    run "product: smoke test" count_own 300 "$REPO_ROOT/scripts/smoke.sh" || true  # counted
    product_browser_test || true                                                   # counted
    run "product: a second run says so" - 60 bash -c says_that_it_runs || true     # counted
    run "product: --stop leaves nothing" - 120 bash -c stop_leaves_nothing || true # counted
}

product_browser_test() {
    (cd "$WEB_DIR" && install_web_packages)
    run "product: browser test" count_own 300 env --chdir "$WEB_DIR" TINYOLLY_URL=http://127.0.0.1:5005 \
        OTLP_HTTP_URL=http://127.0.0.1:4318 SHOTS_DIR="$TARGET_DIR/e2e-shots" npm run --silent e2e
}

section_docker() {
    local venv="$TARGET_DIR/docker-venv" tests="$REPO_ROOT/docker-demo-ebpf/tests"
    local v1
    local -a versions=("COMPOSE_V2=docker compose")
    if lacks_root docker; then
        skip docker "an engine and the agent need root"
        return 0
    fi
    if ! engine_can_run; then
        skip docker "no engine answers, and this machine cannot start one: $(engine_hindrance)"
        return 0
    fi
    # What lies there from an earlier run may be older than the sources.
    if [[ -z $BUILD ]]; then section_build || true; fi # counted
    # Without it those tests fail that need it.
    use_docker_command || true
    if v1="$(compose_v1)"; then versions+=("COMPOSE_V1=$v1"); fi
    if [[ ! -x $venv/bin/pip ]]; then python3 -m venv "$venv"; fi
    if run "docker: install the validators" - 300 \
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$tests/requirements.txt"; then
        run "docker: manifests and configuration" count_pytest 300 env "${versions[@]}" \
            "$venv/bin/python" -m pytest -p no:cacheprovider --color=no "$tests" || true # counted
    fi
    # Only the part without Docker needs programs built here; it is skipped where there are none.
    if [[ $BUILD == failed ]]; then export BIN_DIR="$TARGET_DIR/none"; fi
    run "docker: walkthrough" count_own 5400 "$REPO_ROOT/scripts/docker-test.sh" || true # counted
}

# --- main -------------------------------------------------------------------------------------------------------

parse_arguments() {
    local argument
    SECTIONS=()
    for argument in "$@"; do
        case "$argument" in
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
    if [[ ${#SECTIONS[@]} -eq 0 ]]; then SECTIONS=("${TEST_SECTIONS[@]}"); fi
}

# Whether a section has to be skipped for want of root.
lacks_root() { ! is_root && [[ $1 == kernel || $1 == product || $1 == docker ]]; }

# Installs what the chosen sections need. That it could not is a failure, but the sections that lack nothing still run.
set_up() {
    local section
    local -a sections=()
    for section in "${SECTIONS[@]}"; do
        # Skipped in any case, so nothing is needed for it.
        if lacks_root "$section"; then continue; fi
        sections+=("$section")
    done
    if [[ ${#sections[@]} -eq 0 ]] || "$REPO_ROOT/scripts/setup.sh" --test "${sections[@]}"; then return 0; fi
    SETUP_FAILED=1
    add setup 0 1 0 "$SECONDS"
}

# What a section lacks, as setup.sh says it; nothing when it can run.
lacking() {
    local answer
    if [[ $SETUP_FAILED -eq 0 ]]; then return 0; fi
    if lacks_root "$1"; then return 0; fi # it says so itself
    if answer="$("$REPO_ROOT/scripts/setup.sh" --check --test "$1" 2>&1)"; then return 0; fi
    printf '%s\n' "$answer"
}

main() {
    local section line lack total_start=$SECONDS
    parse_arguments "$@"
    cleanup_on_exit
    trap 'stop_running; exit 130' INT
    trap 'stop_running; exit 143' TERM
    mkdir -p "$LOG_DIR"
    # Plain text for the counters, whatever the terminal.
    export CARGO_TERM_COLOR=never NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1
    set_up

    for section in "${SECTIONS[@]}"; do
        printf '\n======== %s ========\n' "$section"
        cd "$REPO_ROOT"
        lack="$(lacking "$section")"
        if [[ -n $lack ]]; then
            skip "$section" "$lack"
            continue
        fi
        "section_$section" || true # counted; the next section runs in any case
    done

    printf '\n======== summary (%s s) ========\n' "$((SECONDS - total_start))"
    for line in "${SUMMARY[@]}"; do printf '%s\n' "$line"; done
    # Before the last line, so that nothing is printed after it.
    cleanup_run || true # the status of the last command, which is of no interest here
    line="$PASSED passed, $FAILED failed"
    if [[ $SKIPPED -gt 0 ]]; then line+=", $SKIPPED skipped"; fi
    printf '\n%s\n' "$line"
    [[ $FAILED -eq 0 ]]
}

main "$@"
