#!/usr/bin/env bash
# What docker-test.sh looks at: what TinyOlly's API says, what Docker and the kernel have, what a load was answered.
# Sourced, never run. WORK_DIR is the directory for files of the run; OUTPUT is the file with a script's output.

TINYOLLY_URL=http://127.0.0.1:5005
FRONTEND_URL=http://127.0.0.1:5001
BACKEND_URL=http://127.0.0.1:5004
PORTS=(5005 4317 4318 5001 5004)
# Image and container of each; megabytes as Docker counts them.
declare -A IMAGE_LIMITS_MB=(["tinyolly"]=40 ["otel-ebpf-agent"]=40 ["ebpf-frontend"]=20 ["ebpf-backend"]=20)
CAPABILITIES="BPF DAC_READ_SEARCH PERFMON SYS_PTRACE"
TRACE_DEADLINE_S=60
# About three hundred requests a second for ten seconds: each is worked on for some thirty milliseconds.
LOAD_SENDERS=16
LOAD_REQUESTS=180
export IMAGE_LIMITS_MB CAPABILITIES

# Markers make the path of a request one that nobody else asks for.
MARKS=0
MARKER=
# Pids of loads in the background.
LOADS=()

# --- asking TinyOlly --------------------------------------------------------------------------------------------

# api PATH JQ_FILTER: whether the filter holds for what the API answers.
api() {
    fetch --fail --max-time 5 "$TINYOLLY_URL$1" | jq --exit-status "$2" >/dev/null
}

# mark: sets MARKER to a new path. Not in a subshell.
mark() {
    MARKS=$((MARKS + 1))
    MARKER="/docker-test-$$-$MARKS"
}

# ask URL: prints the status, 000 when there was no answer.
ask() { fetch --output /dev/null --max-time 10 --write-out '%{http_code}' "$1" || true; } # no answer is an answer here

server_spans() { # SERVICE MARKER
    fetch --fail --max-time 5 "$TINYOLLY_URL/api/spans?service=$1&limit=1000" \
        | jq --compact-output "[.[] | select(.kind == 2 and .url == \"$2\") | .status_code]"
}

has_server_span() { [[ "$(server_spans "$1" "$2")" != "[]" ]]; }

# new_trace_arrives SECONDS SERVICE URL: of one of the requests that are made until then: while something restarts, a
# span may get lost.
new_trace_arrives() {
    local deadline=$((SECONDS + $1)) service="$2" start=$SECONDS
    while ((SECONDS < deadline)); do
        mark
        ask "$3$MARKER" >/dev/null
        if wait_until 3 has_server_span "$service" "$MARKER" 2>/dev/null; then
            printf '%s: a new trace within %s s\n' "$service" "$((SECONDS - start))"
            return 0
        fi
    done
    printf 'no new trace of %s\n' "$service"
    return 1
}

new_traces_arrive() {
    new_trace_arrives "$1" ebpf-frontend "$FRONTEND_URL" && new_trace_arrives "$1" ebpf-backend "$BACKEND_URL"
}

# traced_exactly_once SERVICE URL: one request, one server span with the status that was answered. A second request is
# waited for too, so that a second span of the first would have arrived.
traced_exactly_once() {
    local service="$1" url="$2" marker status spans
    mark
    marker="$MARKER"
    status="$(ask "$url$marker")"
    mark
    ask "$url$MARKER" >/dev/null
    wait_until "$TRACE_DEADLINE_S" has_server_span "$service" "$marker"
    wait_until "$TRACE_DEADLINE_S" has_server_span "$service" "$MARKER"
    spans="$(server_spans "$service" "$marker")"
    printf '%s%s answered %s; statuses of the server spans of %s: %s\n' "$url" "$marker" "$status" "$service" "$spans"
    [[ $spans == "[$status]" && $status == 404 ]] || return 1
    # Nobody else may claim it: docker-proxy passes it on, and others may listen there.
    fetch --fail "$TINYOLLY_URL/api/spans?limit=1000" >"$OUTPUT"
    jq --exit-status "[.[] | select(.kind == 2 and .url == \"$marker\")] | length == 1" "$OUTPUT"
}

# only_the_two_services: nobody else has traces, neither docker-proxy nor the agent nor tinyolly. Metrics come from the
# frontend's SDK, and from the agent about itself.
only_the_two_services() {
    local services
    services="$(fetch --fail "$TINYOLLY_URL/api/traces?limit=1000" \
        | jq --compact-output '[.[].services[].name] | unique')"
    printf 'services: %s\n' "$services"
    [[ $services == '["ebpf-backend","ebpf-frontend"]' ]] || return 1
    api /api/metrics?limit=1000 '[.[].services[]] | unique - ["otel-ebpf-agent"] == ["ebpf-frontend"]'
}

# By now each container's own check has asked several times.
no_health_spans() {
    local log
    log="$(docker inspect --format '{{len .State.Health.Log}}' ebpf-frontend)"
    [[ $log -gt 0 ]] || return 1
    api "/api/spans?limit=1000" '[.[] | select(.url // "" | contains("/health"))] | length == 0'
}

# --- what Docker has --------------------------------------------------------------------------------------------

snapshot() {
    docker ps --no-trunc --quiet | sort | xargs --no-run-if-empty \
        docker inspect --format '{{.Name}} {{.Id}} {{.State.StartedAt}} {{.RestartCount}} {{.Image}}'
}

same_as() {
    snapshot | diff "$1" -
}

is_small_enough() {
    local bytes
    bytes="$(docker image inspect --format '{{.Size}}' "$1:latest")"
    printf '%s bytes\n' "$bytes"
    ((bytes < ${IMAGE_LIMITS_MB[$1]} * 1000000))
}

runs_as() { # IMAGE USER
    local user
    user="$(docker image inspect --format '{{.Config.User}}' "$1:latest")"
    printf 'user: %s\n' "$user"
    [[ ${user%%:*} == "$2" ]]
}

has_health_check() {
    docker image inspect --format '{{json .Config.Healthcheck}}' "$1:latest" | jq --exit-status '.Test[0] == "CMD"'
}

# The whole file system is looked at: an entry point could be anywhere.
has_no_shell() {
    local container names
    container="$(docker create "$1:latest")"
    names="$(docker export "$container" | tar --list)"
    docker rm "$container" >/dev/null
    printf '%s\n' "$names"
    [[ -n $names ]] || return 1
    ! grep -E '(^|/)(sh|bash|dash|ash|busybox|perl|python[0-9.]*)$' <<<"$names"
}

is_running_as_mode() { # direct|collector
    local aliases
    aliases="$(docker inspect --format '{{json .NetworkSettings.Networks}}' tinyolly)"
    if [[ $1 == direct ]]; then
        [[ $aliases == *otel-collector* ]] && ! docker inspect otel-collector >/dev/null 2>&1
    else
        [[ $aliases != *otel-collector* && "$(docker inspect --format '{{.State.Running}}' otel-collector)" == true ]]
    fi
}

agent_pid() { docker inspect --format '{{.State.Pid}}' otel-ebpf-instrumentation; }

# Whether the agent has its programs, whose ids are then in PROGRAMS. Not in a subshell.
PROGRAMS=()
agent_has_programs() {
    mapfile -t PROGRAMS < <(bpf_programs_of "$(agent_pid)")
    [[ ${#PROGRAMS[@]} -gt 0 ]]
}

programs_go_away() {
    local id
    printf 'programs: %s\n' "$*"
    [[ $# -gt 0 ]] || return 1
    # The kernel frees programs a moment after their last reference went.
    wait_until 10 programs_are_gone "$@" && return 0
    for id in "$@"; do bpftool prog show id "$id" || true; done # those that are gone
    return 1
}

has_privileges() { # true|false CAPABILITIES
    local privileged capabilities
    privileged="$(docker inspect --format '{{.HostConfig.Privileged}}' otel-ebpf-instrumentation)"
    capabilities="$(docker inspect --format '{{range .HostConfig.CapAdd}}{{println .}}{{end}}' otel-ebpf-instrumentation \
        | sed 's/^CAP_//' | sort | xargs)"
    printf 'privileged: %s, capabilities: %s\n' "$privileged" "$capabilities"
    [[ $privileged == "$1" && $capabilities == "$2" ]]
}

# What the kernel gave it, whatever the configuration says.
has_effective_capabilities() {
    local mask
    mask="$(awk '/^CapEff:/ { print $2 }' "/proc/$(agent_pid)/status")"
    printf 'CapEff: %s\n' "$mask"
    # CAP_DAC_READ_SEARCH 2, CAP_SYS_PTRACE 19, CAP_PERFMON 38, CAP_BPF 39.
    ((16#$mask == (1 << 2 | 1 << 19 | 1 << 38 | 1 << 39)))
}

nothing_is_left() {
    local left=0 port name
    for name in "${ENGINE_CONTAINERS[@]}"; do
        if docker inspect --type container "$name" >/dev/null 2>&1; then
            printf 'container %s\n' "$name"
            left=1
        fi
    done
    if docker network inspect tinyolly-network >/dev/null 2>&1; then
        printf 'network tinyolly-network\n'
        left=1
    fi
    if docker volume inspect tinyolly-data >/dev/null 2>&1; then
        printf 'volume tinyolly-data\n'
        left=1
    fi
    ports_are_free || left=1
    return "$left"
}

ports_are_free() {
    local port status=0
    for port in "${PORTS[@]}"; do
        if port_in_use "$port"; then
            printf 'port %s is held by %s\n' "$port" "$(port_holder "$port")"
            status=1
        fi
    done
    return "$status"
}

# --- load -------------------------------------------------------------------------------------------------------

# One status a line, about ten times a second, until the file goes; bounded in any case.
ask_while() { # FILE URL
    local end=$((SECONDS + 300))
    while [[ -e $1 ]] && ((SECONDS < end)); do
        printf '%s\n' "$(ask "$2")"
        sleep 0.1
    done
}

# Prices, which are worked out within a moment and never refused. Each sender keeps its connection; half of them make
# a new one for each request.
load_backend() {
    local i
    local -a options
    LOADS=()
    for ((i = 0; i < LOAD_SENDERS; i++)); do
        options=(--request POST --header 'content-type: application/json' --data '{"items":2}' --max-time 10)
        if ((i % 2)); then options+=(--header 'connection: close'); fi
        # A line at a time, to see that it has begun.
        stdbuf --output=L curl --silent --noproxy '*' "${options[@]}" --output /dev/null --write-out '%{http_code}\n' \
            "$BACKEND_URL/calculate-price?[1-$LOAD_REQUESTS]" >"$WORK_DIR/load-$i" 2>&1 &
        LOADS+=($!)
    done
}

load_has_begun() { [[ -s $WORK_DIR/load-0 ]]; }

load_goes_on() { kill -0 "${LOADS[0]}" 2>/dev/null; }

end_loads() {
    if [[ ${#LOADS[@]} -gt 0 ]]; then kill "${LOADS[@]}" 2>/dev/null || true; fi # ended by themselves
}

no_application_error() {
    sort "$WORK_DIR"/load-[0-9]* | uniq --count
    [[ "$(cat "$WORK_DIR"/load-[0-9]* | grep --count --line-regexp 200)" -eq $((LOAD_SENDERS * LOAD_REQUESTS)) ]]
}

# all_were_answered FILE: at least one, and nothing but successes.
all_were_answered() {
    sort "$1" | uniq --count
    [[ -s $1 ]] && ! grep --quiet --invert-match -e '^2..$' "$1"
}
