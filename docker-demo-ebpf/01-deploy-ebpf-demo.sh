#!/usr/bin/env bash
# The second step of the walkthrough: builds and starts the agent and the two services that it watches.
set -euo pipefail

SCRIPT_NAME=01-deploy-ebpf-demo.sh
# shellcheck source=scripts/docker-lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/docker-lib.sh"

COMPOSE_DIR="$DEMO_DIR"
COMPOSE_PROJECT="$DEMO_PROJECT"
COMPOSE_FILES=(docker-compose.yml)
# compose itself does not notice when a mounted file changes.
CONFIG_SUM="$(cksum <"$DEMO_DIR/agent.yaml")"
export CONFIG_SUM
SERVICES=(ebpf-backend ebpf-frontend)
HEALTH_DEADLINE_S=60
# One that was started just now may take a moment.
CORE_DEADLINE_S=15

LEAST_PRIVILEGE=0
BUILD=1
NATIVE=0
NATIVE_BIN_DIR=

usage() {
    cat <<'USAGE'
Usage: 01-deploy-ebpf-demo.sh [--least-privilege] [--no-build]
       01-deploy-ebpf-demo.sh --native [--bin-dir DIR]
       01-deploy-ebpf-demo.sh --help

Builds and starts the demo: two services, and the agent that makes traces of them with eBPF. The core has to run
(docker/01-start-core.sh). It can be run again at any time, also to change between the two variants of the agent.

  --least-privilege   the agent with exactly the capabilities it needs, instead of a privileged container
  --no-build          use the images that are there
  --native            without Docker, as `scripts/demo.sh --only services --detach`
  --bin-dir DIR       with --native: run the programs found in DIR instead of building them
  --help              this text

Ports, both on loopback: 5001 frontend, 5004 backend.
USAGE
}

# --- the core ---------------------------------------------------------------------------------------------------

# Prints what is wrong with the core, or nothing.
core_problem() {
    if [[ "$(container_state tinyolly)" != running* ]]; then
        printf 'the core does not run\n'
    elif ! wait_until "$CORE_DEADLINE_S" container_is_healthy tinyolly; then
        printf 'the core is not healthy (docker logs tinyolly)\n'
    elif ! collector_is_on_network || ! wait_until "$CORE_DEADLINE_S" otlp_answers; then
        printf 'nothing takes OTLP as %s on %s\n' "$COLLECTOR" "$NETWORK"
    fi
}

# require_core CHECK OPTION...: CHECK prints what is wrong with the core. At a terminal, offers to start it.
require_core() {
    local check="$1" problem answer command
    shift
    problem="$("$check")"
    if [[ -z $problem ]]; then return 0; fi
    command="$(script_command "$DOCKER_DIR" 01-start-core.sh)${*:+ $*}"
    if [[ -t 0 && -z ${CI:-} ]]; then
        printf '%s: %s; start it now with %s? [Y/n] ' "$SCRIPT_NAME" "$problem" "$command"
        read -r answer || answer=n
        case "$answer" in
            "" | [Yy]*)
                "$DOCKER_DIR/01-start-core.sh" "$@"
                return 0
                ;;
            *) ;;
        esac
    fi
    die "$problem; start it first: $command"
}

# --- the demo ---------------------------------------------------------------------------------------------------

warn_of_native_agent() {
    local pids
    pids="$(native_agents | tr '\n' ' ')"
    if [[ -n $pids ]]; then
        warn "an agent runs outside of this demo too (pid ${pids% }): what both watch is traced twice"
    fi
}

await_demo() {
    local service
    if ! await_container "$AGENT" "$HEALTH_DEADLINE_S" container_is_healthy "$AGENT"; then
        say "what the kernel allows the agent: docker run --rm --privileged --pid host otel-ebpf-agent doctor" >&2
        if [[ $LEAST_PRIVILEGE -eq 1 ]]; then say "with all privileges: run this without --least-privilege" >&2; fi
        exit 1
    fi
    for service in "${SERVICES[@]}"; do
        await_container "$service" "$HEALTH_DEADLINE_S" container_is_healthy "$service" || exit 1
    done
}

# One order through both services, so that there is something to look at. Any answer will do: refusing an order is part
# of the demo.
send_order() {
    fetch --output /dev/null --max-time 10 http://127.0.0.1:5001/process-order \
        || warn "the first order got no answer; see: docker logs ebpf-frontend"
}

banner() {
    local agent="privileged"
    if [[ $LEAST_PRIVILEGE -eq 1 ]]; then agent="least privilege: no more than the capabilities it needs"; fi
    cat <<BANNER

  TinyOlly    http://localhost:5005     traces, logs and metrics
  frontend    http://localhost:5001     makes its own traffic; try /process-order
  backend     http://localhost:5004     contains no OpenTelemetry at all
  agent       $agent
  agent logs  docker logs -f $AGENT
  stop        $(script_command "$DEMO_DIR" 02-cleanup.sh)

BANNER
}

deploy() {
    local image
    check_engine "$(script_command "$DEMO_DIR" "$SCRIPT_NAME")"
    check_agent_host
    need_cmd curl "install curl"
    find_compose
    if [[ $BUILD -eq 1 ]]; then check_builder; fi
    require_core core_problem
    check_names "$DEMO_PROJECT" "$AGENT" "${SERVICES[@]}"
    check_published "$DEMO_PROJECT" 5001 5004
    warn_of_native_agent

    if [[ $LEAST_PRIVILEGE -eq 1 ]]; then
        COMPOSE_FILES+=(docker-compose.least-privilege.yml)
        UP_HINT="; where they name CAP_BPF, update the engine, or run this without --least-privilege"
    fi
    if [[ $BUILD -eq 1 ]]; then
        build_images otel-ebpf-agent ebpf-frontend ebpf-backend
    else
        for image in "${DEMO_IMAGES[@]}"; do check_image "$image"; done
    fi
    compose_up otel-ebpf-agent "${SERVICES[@]}"
    say "waiting until it is healthy"
    await_demo
    send_order
    banner
}

# --- without Docker ---------------------------------------------------------------------------------------------

native_core_problem() { tinyolly_answers || printf 'the core does not run\n'; }

deploy_native() {
    local -a options=(--native)
    need_cmd curl "install curl"
    if [[ -n $NATIVE_BIN_DIR ]]; then options+=(--bin-dir "$NATIVE_BIN_DIR"); fi
    require_core native_core_problem "${options[@]}"
    native --only services --detach
    say "stop it here with $(script_command "$DEMO_DIR" 02-cleanup.sh) --native"
}

parse_arguments() {
    while [[ $# -gt 0 ]]; do
        case "$1" in
            --least-privilege) LEAST_PRIVILEGE=1 ;;
            --no-build) BUILD=0 ;;
            --native) NATIVE=1 ;;
            --bin-dir)
                [[ $# -ge 2 ]] || usage_error "--bin-dir needs a directory"
                NATIVE_BIN_DIR="$2"
                shift
                ;;
            --bin-dir=*) NATIVE_BIN_DIR="${1#*=}" ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) usage_error "unknown argument $1" ;;
        esac
        shift
    done
    if [[ $NATIVE -eq 0 && -n $NATIVE_BIN_DIR ]]; then usage_error "--bin-dir goes with --native"; fi
    if [[ $NATIVE -eq 1 && $BUILD -eq 0 ]]; then usage_error "--no-build is about images"; fi
    if [[ $NATIVE -eq 1 && $LEAST_PRIVILEGE -eq 1 ]]; then usage_error "--least-privilege is about the container"; fi
}

main() {
    parse_arguments "$@"
    if [[ $NATIVE -eq 1 ]]; then deploy_native; else deploy; fi
}

main "$@"
