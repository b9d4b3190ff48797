#!/usr/bin/env bash
# Asks a running demo for what it must show: traces of both services, and exactly the signals each of them sends.
set -euo pipefail

SCRIPT_NAME=smoke.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TINYOLLY_URL="${TINYOLLY_URL:-http://127.0.0.1:5005}"
FRONTEND_URL="${FRONTEND_URL:-http://127.0.0.1:5001}"
# What the README promises, counted from the banner.
FIRST_TRACES_DEADLINE_S=10
TRACE_DEADLINE_S=15
# An order may be refused at its first step, and overlap with the frontend's own traffic.
ORDER_DEADLINE_S=60
LOG_DEADLINE_S=30
# The SDK's default export interval is a minute.
METRIC_DEADLINE_S=90

FRONTEND_METRICS=(
    frontend.requests.total frontend.orders.total frontend.errors.total frontend.response.duration
    frontend.order.value frontend.requests.active frontend.queue.size frontend.memory.usage
    demo.random.counter demo.random.updown demo.random.gauge demo.random.observable_updown
    demo.histogram.explicit demo.histogram.exponential
)

PASSED=0
FAILED=0
# A path that nobody else asks for, so that its span can be told from all others.
MARKER="/smoke-$$-$RANDOM"

usage() {
    cat <<'USAGE'
Usage: scripts/smoke.sh [--help]

Checks a running demo through TinyOlly's API. When none runs, one is started for the check and stopped afterwards.
The last line is "smoke: N passed, N failed".

Environment: TINYOLLY_URL (default http://127.0.0.1:5005), FRONTEND_URL (default http://127.0.0.1:5001)
USAGE
}

# api PATH JQ_FILTER: whether the filter holds for what the API answers.
api() {
    fetch --fail --max-time 5 "$TINYOLLY_URL$1" | jq --exit-status "$2" >/dev/null
}

# eventually SECONDS NAME COMMAND...: passes when the command succeeds before the deadline.
eventually() {
    local seconds="$1" name="$2" start=$SECONDS
    shift 2
    if wait_until "$seconds" "$@"; then
        PASSED=$((PASSED + 1))
        printf 'ok      %s (%s s)\n' "$name" "$((SECONDS - start))"
    else
        FAILED=$((FAILED + 1))
        printf 'FAILED  %s (within %s s)\n' "$name" "$seconds"
    fi
}

# now NAME COMMAND...: passes when the command succeeds at once.
now() { eventually 0 "$@"; }

both_services_have_traces() {
    api "/api/traces?limit=500" '
        [.[].services[].name] | (index("ebpf-frontend") != null) and (index("ebpf-backend") != null)'
}

marked_request_is_one_server_span() {
    api "/api/spans?service=ebpf-frontend&limit=1000" "
        [.[] | select(.url == \"$MARKER\" and .kind == 2)] | length == 1 and .[0].status_code == 404"
}

frontend_calls_backend() {
    api "/api/spans?service=ebpf-frontend&limit=1000" \
        '[.[] | select(.kind == 3 and (.url // "" | contains("/check-inventory")))] | length > 0'
}

backend_is_called() {
    api "/api/spans?service=ebpf-backend&limit=1000" \
        '[.[] | select(.kind == 2 and .url == "/check-inventory")] | length > 0'
}

# As often as it takes: a call that the frontend makes while it serves other requests as well is not linked.
an_order_is_one_trace() {
    fetch --output /dev/null --max-time 10 "$FRONTEND_URL/process-order" || return 1
    api "/api/traces?limit=500" '
        [.[] | select(([.services[].name] | unique) == ["ebpf-backend", "ebpf-frontend"] and .span_count >= 7)]
        | length > 0'
}

# What the SDK tells as frontend.order.value.
spans_know_no_order_value() {
    local trace
    trace="$(fetch --fail --max-time 5 "$TINYOLLY_URL/api/traces?limit=500" | jq --raw-output '
        [.[] | select(.root_span_url // "" | endswith("/process-order"))] | max_by(.span_count).trace_id')"
    api "/api/traces/$trace" '
        (.spans | length) > 0 and all(.spans[].attributes[].key; test("order|value|amount") | not)'
}

frontend_logs_arrive() { api "/api/logs?service=ebpf-frontend&limit=1000" 'length > 0'; }

frontend_logs_carry_no_trace() {
    api "/api/logs?service=ebpf-frontend&limit=1000" 'length > 0 and all(.[]; .trace_id == "" and .span_id == "")'
}

frontend_metrics_arrive() {
    local wanted
    wanted="$(printf '%s\n' "${FRONTEND_METRICS[@]}" | jq --raw-input . | jq --slurp --compact-output .)"
    api "/api/metrics?limit=1000" "$wanted - [.[] | select(.services | index(\"ebpf-frontend\")) | .name] | length == 0"
}

backend_sends_no_logs() { api "/api/logs?service=ebpf-backend&limit=10" 'length == 0'; }

backend_sends_no_metrics() {
    api "/api/metrics?limit=1000" '[.[] | select(.services | index("ebpf-backend"))] | length == 0'
}

nothing_was_refused() {
    api /api/stats '.rejected.malformed_requests == 0 and .rejected.overloaded_requests == 0'
}

# Traffic of our own: the demo's is random.
send_requests() {
    fetch --output /dev/null --max-time 10 "$FRONTEND_URL$MARKER" || warn "no answer to $MARKER"
    fetch --output /dev/null --max-time 10 "$FRONTEND_URL/process-order" || warn "no answer to /process-order"
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
    need_cmd curl "scripts/setup.sh --test installs it"
    need_cmd jq "scripts/setup.sh --test installs it"
    cleanup_on_exit
    if ! http_ok "$TINYOLLY_URL/health"; then
        "$REPO_ROOT/scripts/demo.sh" --detach
        cleanup_push "'$REPO_ROOT/scripts/demo.sh' --stop"
    fi

    eventually "$FIRST_TRACES_DEADLINE_S" "traces of ebpf-frontend and ebpf-backend" both_services_have_traces
    send_requests
    eventually "$TRACE_DEADLINE_S" "one request, one server span with its status" marked_request_is_one_server_span
    eventually "$TRACE_DEADLINE_S" "client span of the frontend's call" frontend_calls_backend
    eventually "$TRACE_DEADLINE_S" "server span of the backend" backend_is_called
    eventually "$ORDER_DEADLINE_S" "an order is one trace over both services" an_order_is_one_trace
    eventually "$LOG_DEADLINE_S" "logs of ebpf-frontend" frontend_logs_arrive
    now "logs of ebpf-frontend carry no trace id" frontend_logs_carry_no_trace
    eventually "$METRIC_DEADLINE_S" "${#FRONTEND_METRICS[@]} metrics of ebpf-frontend" frontend_metrics_arrive
    now "no order's value in a span" spans_know_no_order_value
    now "no logs from ebpf-backend" backend_sends_no_logs
    now "no metrics from ebpf-backend" backend_sends_no_metrics
    now "nothing refused by tinyolly" nothing_was_refused

    printf 'smoke: %s passed, %s failed\n' "$PASSED" "$FAILED"
    [[ $FAILED -eq 0 ]]
}

main "$@"
