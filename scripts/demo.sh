#!/usr/bin/env bash
# Builds and runs the demo natively, whole or one half of it: tinyolly; the agent and the two services it watches.
set -euo pipefail

SCRIPT_NAME=demo.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# In the order they start; they stop in reverse, so that the agent's last spans still find tinyolly.
PARTS=(tinyolly otel-ebpf-agent ebpf-backend ebpf-frontend)
# The halves that --only chooses from. Each has a lock and a supervisor of its own, so that they can be started and
# stopped apart; the whole demo holds both.
HALVES=(core services)
declare -A PARTS_OF=(["core"]="tinyolly" ["services"]="otel-ebpf-agent ebpf-backend ebpf-frontend")
declare -A PORTS=(["tinyolly"]="5005 4317 4318" ["otel-ebpf-agent"]="" ["ebpf-backend"]=5004 ["ebpf-frontend"]=5001)
HEALTH_DEADLINE_S=30
STOP_DEADLINE_S=15
CAP_PERFMON=38
CAP_BPF=39

STATE_DIR="${DEMO_STATE_DIR:-$REPO_ROOT/.demo}"
BIN_DIR="${BIN_DIR:-}"
ACTION=run
ONLY=
# How the messages call what is started and stopped.
WHAT="the demo"
DETACH=0
FRESH=0
# There while an agent that runs as root on behalf of another user may go on; see keep_agent.
LEASE="$STATE_DIR/agent.lease"
# What the agent is started with, and stopped with, when this user may not load BPF programs: sudo.
PRIVILEGE=()
# The process group of a long command in the foreground, while it runs.
GROUP=
# The exit status of a signal that arrived while signals were held.
HELD=

usage() {
    cat <<'USAGE'
Usage: scripts/demo.sh [--only core|services] [--detach] [--fresh] [--bin-dir DIR]
       scripts/demo.sh [--only core|services] --stop [--fresh] | --status
       scripts/demo.sh --help

Installs what is missing (scripts/setup.sh), builds, starts the demo and stays until Ctrl-C, which stops everything.

  --only HALF     one half of the demo: core (tinyolly) or services (the agent, the backend and the frontend). The
                  services need a core that answers on port 5005. Without this option a half that runs alone is not
                  touched: the script says so and names the command that adds the other one
  --detach        return once everything is healthy; the demo goes on until --stop
  --fresh         start with an empty database; with --stop, delete the database
  --bin-dir DIR   run the programs found in DIR; install and build nothing (also: BIN_DIR)
  --stop          stop what runs, or the half that --only names
  --status        what runs; exits with 0 when everything does, with 3 when nothing or only a part does
  --help          this text

Ports: 5005 UI and API, 4317 OTLP/gRPC, 4318 OTLP/HTTP, 5001 frontend, 5004 backend; all on loopback.
State and logs: .demo/ in the repository (other place: DEMO_STATE_DIR).
The agent needs root, or CAP_BPF and CAP_PERFMON; without them it is started through sudo when there is one.
USAGE
}

pid_file() { printf '%s/%s.pid\n' "$STATE_DIR" "$1"; }
log_file() { printf '%s/%s.log\n' "$STATE_DIR" "$1"; }
part_pid() { live_pid "$(pid_file "$1")"; }
# The demo.sh that started a half and has not returned yet.
supervisor_file() { printf '%s/demo-%s.pid\n' "$STATE_DIR" "$1"; }
supervisor_pid() { live_pid "$(supervisor_file "$1")"; }

is_selected() { [[ " ${HALVES[*]} " == *" $1 "* ]]; }

# live_parts [PART...]: those that run, of the parts named or of all that this call is about.
live_parts() {
    local part
    if [[ $# -eq 0 ]]; then set -- "${PARTS[@]}"; fi
    for part in "$@"; do
        if is_live "$(pid_file "$part")"; then printf '%s\n' "$part"; fi
    done
}

live_parts_of() {
    local -a parts
    read -ra parts <<<"${PARTS_OF[$1]}"
    live_parts "${parts[@]}"
}

# Drops the files that name processes; only for what does not run.
forget_processes() {
    local name
    for name in "${PARTS[@]}"; do rm -f "$(pid_file "$name")"; done
    for name in "${HALVES[@]}"; do rm -f "$(supervisor_file "$name")"; done
    if is_selected services; then rm -f "$LEASE"; fi
}

delete_database() { rm -f "$STATE_DIR"/tinyolly.db{,-wal,-shm}; }

# The command line that does something to what this call is about.
same_half() { printf 'scripts/demo.sh%s%s\n' "${ONLY:+ --only $ONLY}" "${1:+ $1}"; }

# --- stopping ---------------------------------------------------------------------------------------------------

# The agent may run as root while this user does not.
send_signal() {
    kill "-$1" "$2" 2>/dev/null || { [[ ${#PRIVILEGE[@]} -gt 0 ]] && "${PRIVILEGE[@]}" kill "-$1" "$2" 2>/dev/null; }
}

is_gone() { ! is_live "$STATE_DIR/$1.pid"; }

stop_part() {
    local part="$1" pid
    if pid="$(part_pid "$part")"; then
        if [[ $part == otel-ebpf-agent && -e $LEASE ]]; then
            rm -f "$LEASE"
        else
            send_signal TERM "$pid" || is_gone "$part" || warn "$part (pid $pid) could not be signalled"
        fi
        if ! wait_until "$STOP_DEADLINE_S" is_gone "$part"; then
            warn "$part (pid $pid) did not end within $STOP_DEADLINE_S s: killing it"
            send_signal KILL "$pid" || is_gone "$part" || warn "$part (pid $pid) could not be killed"
            wait_until 5 is_gone "$part" || return 1
        fi
    fi
    rm -f "$(pid_file "$part")"
}

# stop_parts PART...: in the order opposite to the one given.
stop_parts() {
    local status=0
    while [[ $# -gt 0 ]]; do
        stop_part "${!#}" || status=1
        set -- "${@:1:$#-1}"
    done
    return "$status"
}

half_is_gone() { [[ -z "$(live_parts_of "$1")" ]] && ! is_live "$(supervisor_file "$1")"; }

everything_is_gone() {
    local half
    for half in "${HALVES[@]}"; do half_is_gone "$half" || return 1; done
}

# A half of a demo that runs whole in some terminal cannot go alone: its script would stop the rest, as after a crash.
refuse_to_halve() {
    local pid
    if [[ -n $ONLY ]] && pid="$(supervisor_pid core)" && [[ $pid == "$(supervisor_pid services)" ]]; then
        die "the whole demo runs in a terminal (pid $pid); stop all of it: Ctrl-C there, or scripts/demo.sh --stop"
    fi
}

stop_half() {
    local half="$1" pid
    local -a parts
    read -ra parts <<<"${PARTS_OF[$half]}"
    if pid="$(supervisor_pid "$half")"; then
        # It stops its own children; it needs no more than their deadlines.
        kill -TERM "$pid" 2>/dev/null || warn "the demo's script (pid $pid) could not be signalled"
        wait_until $((STOP_DEADLINE_S * 4)) half_is_gone "$half" || warn "the demo's script (pid $pid) does not end"
    else
        stop_parts "${parts[@]}" || true # what is left is named by the caller
    fi
}

stop_demo() {
    local i
    if everything_is_gone; then
        forget_processes
        say "${ONLY:+$WHAT: }nothing runs"
    else
        refuse_to_halve
        find_privilege_for_stop
        for ((i = ${#HALVES[@]} - 1; i >= 0; i--)); do stop_half "${HALVES[i]}"; done
        everything_is_gone || die "still running: $(live_parts | tr '\n' ' ')"
        forget_processes
        say "${ONLY:+$WHAT: }stopped"
    fi
    if [[ $FRESH -eq 1 ]]; then
        delete_database
        say "the database is deleted"
    fi
}

find_privilege_for_stop() {
    if ! is_root && have sudo; then PRIVILEGE=(sudo); fi
}

show_status() {
    local part pid status=0
    for part in "${PARTS[@]}"; do
        if pid="$(part_pid "$part")"; then
            printf '%-16s running  pid %-8s log %s\n' "$part" "$pid" "$(log_file "$part")"
        else
            printf '%-16s not running\n' "$part"
            status=3
        fi
    done
    return "$status"
}

# --- before starting --------------------------------------------------------------------------------------------

# A second run never touches the first one.
refuse_second_run() {
    local live half pid advice
    live="$(live_parts | tr '\n' ' ')"
    for half in "${HALVES[@]}"; do
        if pid="$(supervisor_pid "$half")" \
            && [[ "$(live_parts_of "$half" | wc -l)" -lt "$(wc -w <<<"${PARTS_OF[$half]}")" ]]; then
            die "$WHAT is being started or stopped already (pid $pid)"
        fi
    done
    [[ -n $live ]] || return 0
    if [[ "$(wc -w <<<"$live")" -lt ${#PARTS[@]} ]]; then
        advice="stop it first: $(same_half --stop)"
        case "${live% }" in
            "${PARTS_OF[core]}") advice+=", or start the rest: scripts/demo.sh --only services" ;;
            "${PARTS_OF[services]}") advice+=", or start the rest: scripts/demo.sh --only core" ;;
            *) ;;
        esac
        die "only a part of the demo runs: ${live% }; $advice"
    fi
    say "$WHAT runs already: http://localhost:5005 (stop it: $(same_half --stop))"
    if [[ $DETACH -eq 1 ]]; then exit 0; fi
    exit 1
}

# The services alone need somebody to send to: this script's tinyolly, or one in a container.
require_core() {
    if [[ $ONLY != services ]] || http_ok http://127.0.0.1:5005/health; then return 0; fi
    die "no tinyolly answers on port 5005; start it first: scripts/demo.sh --only core --detach"
}

# The locks stay with this script: the parts are started without these descriptors.
take_locks() {
    if is_selected core; then
        exec 8>"$STATE_DIR/lock-core"
        flock --nonblock 8 || die "another demo.sh is at work in $STATE_DIR"
    fi
    if is_selected services; then
        exec 9>"$STATE_DIR/lock-services"
        flock --nonblock 9 || die "another demo.sh is at work in $STATE_DIR"
    fi
}

check_ports() {
    local part port busy=0
    for part in "${PARTS[@]}"; do
        for port in ${PORTS[$part]}; do
            if port_in_use "$port"; then
                printf '%s: error: port %s, which %s needs, is in use by %s\n' \
                    "$SCRIPT_NAME" "$port" "$part" "$(port_holder "$port")" >&2
                busy=1
            fi
        done
    done
    [[ $busy -eq 0 ]] || exit 1
}

check_privilege() {
    is_selected services || return 0
    if is_root || { has_capability "$CAP_BPF" && has_capability "$CAP_PERFMON"; }; then return 0; fi
    have sudo || die "the agent loads BPF programs: run this as root, or with CAP_BPF and CAP_PERFMON"
    say "the agent loads BPF programs: it is started through sudo, everything else as $(id -un)"
    sudo -v || die "sudo refused: run this as root, or with CAP_BPF and CAP_PERFMON"
    PRIVILEGE=(sudo)
}

# Runs a long command in a group of its own, so that a signal ends it and whatever it started at once.
run_group() {
    local status=0
    hold_signals
    setsid "$@" &
    GROUP=$!
    release_signals
    wait "$GROUP" || status=$?
    # The kernel may give the number to another group later.
    GROUP=
    return "$status"
}

# Everything, for one half too: cargo would build what the halves share anew for another selection of packages.
build() {
    local -a command
    run_group "$REPO_ROOT/scripts/setup.sh" || exit 1
    mapfile -t command < <(product_build_command)
    say "building (a few minutes the first time)"
    cd "$REPO_ROOT"
    run_group "${command[@]}" || die "the build failed; its messages are above"
    BIN_DIR="${CARGO_TARGET_DIR:-$REPO_ROOT/target}/release"
}

check_binaries() {
    local part
    for part in "${PARTS[@]}"; do
        [[ -x $BIN_DIR/$part ]] || die "$BIN_DIR/$part is missing; without --bin-dir this script builds it"
    done
}

# --- signals ----------------------------------------------------------------------------------------------------

# Signals end the script through EXIT, which stops what was started.
catch_signals() {
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}

# Between starting a process and writing down its pid a signal has to wait, or nobody would stop the process. Ignoring
# the signals is no way: the process would inherit that.
hold_signals() {
    HELD=
    trap 'HELD=130' INT
    trap 'HELD=143' TERM
    trap 'HELD=129' HUP
}

release_signals() {
    catch_signals
    if [[ -n $HELD ]]; then exit "$HELD"; fi
}

# --- starting ---------------------------------------------------------------------------------------------------

# Whether the demo that root runs an agent for still wants it: its script lives, or has returned after --detach.
lease_holds() {
    local word
    { read -r word _ <"$1"; } 2>/dev/null || return 1
    [[ $word == detached ]] || is_live "$1"
}

# keep_agent LEASE PID_FILE COMMAND...: runs as root beside the agent and ends it with the lease. The script itself may
# be unable to: sudo asks for a password again after some minutes, and there may be no terminal left to ask at.
keep_agent() {
    local lease="$1" pid_file="$2" pid left=100
    shift 2
    "$@" &
    pid=$!
    printf '%s\n' "$pid" >"$pid_file"
    while kill -0 "$pid" 2>/dev/null && lease_holds "$lease"; do sleep 0.5; done
    kill -TERM "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null && ((left-- > 0)); do sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null
    wait "$pid"
}

# start PART VARIABLE=VALUE... -- ARGUMENT...: runs a part in a session of its own, out of reach of the terminal's
# Ctrl-C, which would end all at once instead of in order. The locks, descriptors 8 and 9, stay with this script.
start() {
    local part="$1" file log pid
    # A log file is no terminal.
    local -a variables=(NO_COLOR=1)
    shift
    while [[ $1 != -- ]]; do
        variables+=("$1")
        shift
    done
    shift
    file="$(pid_file "$part")"
    log="$(log_file "$part")"
    : >"$log"
    hold_signals
    if [[ $part == otel-ebpf-agent && ${#PRIVILEGE[@]} -gt 0 ]]; then
        write_pid_file "$LEASE" $$
        # Made here, so that it is readable here, whatever root's umask.
        : >"$file.sudo"
        "${PRIVILEGE[@]}" setsid --fork bash -c \
            "$(declare -f read_stamp is_live lease_holds keep_agent); keep_agent \"\$@\"" keep_agent \
            "$LEASE" "$file.sudo" env "${variables[@]}" "$BIN_DIR/$part" "$@" </dev/null >>"$log" 2>&1 8>&- 9>&-
        wait_until 10 test -s "$file.sudo" || die "sudo did not start $part; see $log"
        pid="$(<"$file.sudo")"
        rm -f "$file.sudo"
    else
        setsid env "${variables[@]}" "$BIN_DIR/$part" "$@" </dev/null >>"$log" 2>&1 8>&- 9>&- &
        pid=$!
    fi
    # A part that ended at once has no start time any more: `await` reports it.
    write_pid_file "$file" "$pid" || printf '%s gone\n' "$pid" >"$file"
    release_signals
}

# The demo is the same everywhere: what the shell says to other services and collectors is not for it.
forget_settings() {
    local -a names=("${!OTEL_@}" "${!TINYOLLY_@}")
    if [[ ${#names[@]} -eq 0 ]]; then return 0; fi
    say "the demo has settings of its own and ignores ${names[*]}"
    unset "${names[@]}"
}

# Names the part that ended, with the end of its log, and ends the script, which stops the others.
report_end() {
    local part="$1" pid status=unknown
    read -r pid _ <"$(pid_file "$part")"
    # Not a child when it was started through sudo.
    if wait "$pid" 2>/dev/null; then status=0; else status=$?; fi
    printf '%s: error: %s ended (exit status %s); the end of %s:\n' "$SCRIPT_NAME" "$part" "$status" "$(log_file "$part")" >&2
    tail -n 15 "$(log_file "$part")" | sed 's/^/  /' >&2
    exit 1
}

# await PART COMMAND...: waits until the command says that the part is healthy.
await() {
    local part="$1" deadline=$((SECONDS + HEALTH_DEADLINE_S))
    shift
    until "$@"; do
        if is_gone "$part"; then report_end "$part"; fi
        if ((SECONDS >= deadline)); then
            printf '%s: error: %s is not healthy after %s s; the end of %s:\n' \
                "$SCRIPT_NAME" "$part" "$HEALTH_DEADLINE_S" "$(log_file "$part")" >&2
            tail -n 15 "$(log_file "$part")" | sed 's/^/  /' >&2
            exit 1
        fi
        sleep 0.1
    done
}

agent_is_attached() { grep -q attached "$(log_file otel-ebpf-agent)"; }

start_core() {
    start tinyolly -- --host 127.0.0.1 --ui-port 5005 --otlp-grpc-port 4317 --otlp-http-port 4318 \
        --db "$STATE_DIR/tinyolly.db"
    await tinyolly http_ok http://127.0.0.1:5005/health
}

start_services() {
    local otlp=http://127.0.0.1:4317
    start otel-ebpf-agent OTEL_EBPF_OPEN_PORT=5001,5004 "OTEL_EXPORTER_OTLP_ENDPOINT=$otlp" --
    await otel-ebpf-agent agent_is_attached
    start ebpf-backend HOST=127.0.0.1 PORT=5004 --
    await ebpf-backend http_ok http://127.0.0.1:5004/health
    start ebpf-frontend HOST=127.0.0.1 PORT=5001 BACKEND_URL=http://127.0.0.1:5004 "OTEL_EXPORTER_OTLP_ENDPOINT=$otlp" --
    await ebpf-frontend http_ok http://127.0.0.1:5001/health
    # One order through both services, so that there is something to look at. Any answer will do: refusing an order
    # is part of the demo.
    fetch --output /dev/null --max-time 10 http://127.0.0.1:5001/process-order \
        || warn "the first order got no answer; see $(log_file ebpf-frontend)"
}

banner() {
    local stop="Ctrl-C"
    if [[ $DETACH -eq 1 ]]; then stop="$(same_half --stop)"; fi
    printf '\n  TinyOlly    http://localhost:5005     traces, logs and metrics\n'
    if is_selected services; then
        printf '  frontend    http://localhost:5001     makes its own traffic; try /process-order\n'
        printf '  backend     http://localhost:5004     contains no OpenTelemetry at all\n'
    fi
    if is_selected core; then printf '  OTLP        localhost:4317 (gRPC), localhost:4318 (HTTP)\n'; fi
    printf '  logs        %s\n' "$STATE_DIR/*.log"
    printf '  stop        %s\n\n' "$stop"
}

# Stays until a signal arrives or a part ends.
supervise() {
    local part
    while true; do
        for part in "${PARTS[@]}"; do
            if is_gone "$part"; then report_end "$part"; fi
        done
        # In the background, because a trap waits for a command in the foreground; and without a descriptor of ours,
        # because it outlives this script by a moment.
        sleep 1 >/dev/null 2>&1 8>&- 9>&- &
        wait $!
    done
}

# Runs on every exit of this script that is not a successful --detach.
wind_down() {
    # A second Ctrl-C would leave half of it running.
    trap '' INT TERM HUP
    if [[ -n $GROUP ]]; then
        # A group only once `setsid` ran in it; gone when it ended this moment.
        kill -TERM -- "-$GROUP" 2>/dev/null || kill -TERM "$GROUP" 2>/dev/null || true
    fi
    if [[ -n "$(live_parts)" ]]; then
        say "stopping"
        stop_parts "${PARTS[@]}" || warn "still running: $(live_parts | tr '\n' ' ')"
    fi
    release_supervision
}

# Each selected half gets this script as its supervisor, until it returns.
take_supervision() {
    local half
    for half in "${HALVES[@]}"; do write_pid_file "$(supervisor_file "$half")" $$; done
}

release_supervision() {
    local half
    for half in "${HALVES[@]}"; do rm -f "$(supervisor_file "$half")"; done
}

prepare_state_dir() {
    if ! mkdir -p "$STATE_DIR" 2>/dev/null || [[ ! -w $STATE_DIR ]]; then
        die "$STATE_DIR cannot be written; name another place in DEMO_STATE_DIR"
    fi
}

run_demo() {
    need_cmd curl "install curl"
    need_cmd setsid "install util-linux"
    prepare_state_dir
    refuse_second_run
    require_core
    take_locks
    check_privilege
    check_ports

    cleanup_on_exit
    cleanup_push wind_down
    catch_signals
    if is_selected services; then rm -f "$LEASE"; fi
    take_supervision

    if [[ -z $BIN_DIR ]]; then
        build
        check_ports
    fi
    check_binaries
    if [[ $FRESH -eq 1 ]]; then delete_database; fi

    forget_settings
    if is_selected core; then start_core; fi
    if is_selected services; then start_services; fi
    banner
    if [[ $DETACH -eq 1 ]]; then
        trap - EXIT
        if is_selected services && [[ -e $LEASE ]]; then printf 'detached\n' >"$LEASE"; fi
        release_supervision
        exit 0
    fi
    supervise
}

select_half() {
    case "$1" in
        core) WHAT="the core" ;;
        services) WHAT="the services' half" ;;
        *) usage_error "--only takes core or services, not '$1'" ;;
    esac
    ONLY="$1"
    HALVES=("$ONLY")
    read -ra PARTS <<<"${PARTS_OF[$ONLY]}"
}

parse_arguments() {
    while [[ $# -gt 0 ]]; do
        case "$1" in
            --only)
                [[ $# -ge 2 ]] || usage_error "--only needs core or services"
                select_half "$2"
                shift
                ;;
            --only=*) select_half "${1#*=}" ;;
            --detach) DETACH=1 ;;
            --fresh) FRESH=1 ;;
            --stop) ACTION=stop ;;
            --status) ACTION=status ;;
            --bin-dir)
                [[ $# -ge 2 ]] || usage_error "--bin-dir needs a directory"
                BIN_DIR="$2"
                shift
                ;;
            --bin-dir=*) BIN_DIR="${1#*=}" ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) usage_error "unknown argument $1" ;;
        esac
        shift
    done
    if [[ $FRESH -eq 1 ]] && ! is_selected core; then usage_error "--fresh is about the core's database"; fi
    if [[ -n $BIN_DIR ]]; then
        BIN_DIR="$(cd "$BIN_DIR" 2>/dev/null && pwd)" || die "the directory of --bin-dir does not exist"
    fi
}

main() {
    parse_arguments "$@"
    case "$ACTION" in
        stop) stop_demo ;;
        status) show_status ;;
        run) run_demo ;;
    esac
}

main "$@"
