#!/usr/bin/env bash
# The first step of the walkthrough: builds and starts the core, the collector and TinyOlly.
set -euo pipefail

SCRIPT_NAME=01-start-core.sh
# shellcheck source=scripts/docker-lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/docker-lib.sh"

COMPOSE_DIR="$DOCKER_DIR"
COMPOSE_PROJECT="$CORE_PROJECT"
COMPOSE_FILES=(docker-compose.yml)
# compose itself does not notice when a mounted file changes.
CONFIG_SUM="$(cksum <"$DOCKER_DIR/otelcol-configs/config.yaml")"
export CONFIG_SUM
PULL_DEADLINE_S="${PULL_DEADLINE_S:-120}"
HEALTH_DEADLINE_S=60

FRESH=0
DIRECT=0
BUILD=1
NATIVE=0
NATIVE_BIN_DIR=
# The `docker pull` that runs now.
PULL=

usage() {
    cat <<'USAGE'
Usage: 01-start-core.sh [--direct] [--fresh] [--no-build]
       01-start-core.sh --native [--fresh] [--bin-dir DIR]
       01-start-core.sh --help

Builds and starts the core of the walkthrough: the OpenTelemetry Collector, which takes OTLP in, and TinyOlly, which
stores and shows it. When the collector's image cannot be pulled, TinyOlly takes OTLP itself, as with --direct.
It can be run again at any time, also to change between the two, and while the demo runs.

  --direct        without a collector: TinyOlly itself answers as otel-collector
  --fresh         start with an empty database
  --no-build      use the image tinyolly:latest that is there
  --native        without Docker: TinyOlly alone, as `scripts/demo.sh --only core --detach`
  --bin-dir DIR   with --native: run the programs found in DIR instead of building them
  --help          this text

Ports, all on loopback: 5005 UI and API, 4317 OTLP/gRPC, 4318 OTLP/HTTP.
Environment: PULL_DEADLINE_S (default 120), how long the collector's image may take.
USAGE
}

# --- the collector's image --------------------------------------------------------------------------------------

collector_image() {
    compose config | awk -v service="  $COLLECTOR:" '
        /^  [^ ]/ { inside = ($0 == service) }
        inside && $1 == "image:" { print $2; exit }'
}

pull_has_ended() { ! kill -0 "$PULL" 2>/dev/null; }

stop_pull() {
    if [[ -n $PULL ]]; then kill "$PULL" 2>/dev/null || true; fi # ended this moment
}

# pull IMAGE: with a deadline, because on some networks it hangs for long.
pull() {
    local status=0
    docker pull "$1" </dev/null &
    PULL=$!
    if ! wait_until "$PULL_DEADLINE_S" pull_has_ended; then
        warn "$1 was not pulled within $PULL_DEADLINE_S s"
        stop_pull
    fi
    wait "$PULL" || status=$?
    PULL=
    return "$status"
}

# Sets DIRECT when there is no collector to be had.
get_collector() {
    local image
    if [[ $DIRECT -eq 1 ]]; then return 0; fi
    image="$(collector_image)" || die "docker-compose.yml is not accepted; the messages are above"
    [[ -n $image ]] || die "docker-compose.yml names no image for $COLLECTOR"
    if docker image inspect "$image" >/dev/null 2>&1; then return 0; fi
    say "pulling $image (at most $PULL_DEADLINE_S s)"
    if pull "$image"; then return 0; fi
    warn "$image cannot be had: going on in direct mode, where TinyOlly takes OTLP itself"
    DIRECT=1
}

# --- starting ---------------------------------------------------------------------------------------------------

empty_database() {
    local container
    for container in "$COLLECTOR" tinyolly; do
        if container_exists "$container"; then remove_containers "$container"; fi
    done
    delete_data
}

# The ports 4317 and 4318 pass from one container to the other when the mode changes, so one has to let go first.
start_containers() {
    if [[ $DIRECT -eq 1 ]]; then
        COMPOSE_FILES+=(docker-compose.direct.yml)
        if container_exists "$COLLECTOR"; then remove_containers "$COLLECTOR"; fi
        compose_up --no-deps tinyolly
    else
        compose_up --no-deps tinyolly
        compose_up --no-deps "$COLLECTOR"
    fi
}

tinyolly_is_healthy() { container_is_healthy tinyolly && tinyolly_answers; }

await_core() {
    await_container tinyolly "$HEALTH_DEADLINE_S" tinyolly_is_healthy || exit 1
    if [[ $DIRECT -eq 0 ]]; then
        if await_container "$COLLECTOR" "$HEALTH_DEADLINE_S" otlp_answers; then return 0; fi
        warn "the collector does not work: going on in direct mode, where TinyOlly takes OTLP itself"
        DIRECT=1
        start_containers
        await_container tinyolly "$HEALTH_DEADLINE_S" tinyolly_is_healthy || exit 1
    fi
    await_container tinyolly "$HEALTH_DEADLINE_S" otlp_answers || exit 1
}

# A demo that was deployed before goes on by itself.
next_step() {
    if [[ -n "$(docker ps --quiet --filter "label=com.docker.compose.project=$DEMO_PROJECT")" ]]; then
        printf 'the demo runs already and delivers here: http://localhost:5001\n'
    else
        deploy_command ""
    fi
}

# deploy_command OPTIONS
deploy_command() {
    if [[ . -ef $DOCKER_DIR ]]; then
        printf 'cd ../docker-demo-ebpf && ./01-deploy-ebpf-demo.sh%s\n' "$1"
    else
        printf '%s%s\n' "$(script_command "$DEMO_DIR" 01-deploy-ebpf-demo.sh)" "$1"
    fi
}

banner() {
    local mode="through the collector (container otel-collector)"
    if [[ $DIRECT -eq 1 ]]; then mode="direct: TinyOlly takes OTLP itself, there is no collector"; fi
    cat <<BANNER

  TinyOlly    http://localhost:5005     traces, logs and metrics
  OTLP        localhost:4317 (gRPC), localhost:4318 (HTTP)
  mode        $mode
  next        $(next_step)
  logs        docker logs -f tinyolly
  stop        $(script_command "$DOCKER_DIR" 02-stop-core.sh)     keeps the data; --volumes deletes it

BANNER
}

start_core() {
    check_engine "$(script_command "$DOCKER_DIR" "$SCRIPT_NAME")"
    need_cmd curl "install curl"
    find_compose
    if [[ $BUILD -eq 1 ]]; then check_builder; fi
    is_x86_64 || warn "Docker runs on $ENGINE_ARCH; only x86_64 is tested, and the demo's agent needs it"
    check_names "$CORE_PROJECT" tinyolly "$COLLECTOR"
    check_published "$CORE_PROJECT" 5005 4317 4318
    check_network

    cleanup_on_exit
    cleanup_push stop_pull
    trap 'exit 130' INT
    trap 'exit 143' TERM
    get_collector
    if [[ $BUILD -eq 1 ]]; then
        build_images tinyolly
    else
        check_image tinyolly:latest
    fi
    if [[ $FRESH -eq 1 ]]; then empty_database; fi
    start_containers
    say "waiting until it is healthy"
    await_core
    banner
}

start_native() {
    if [[ $FRESH -eq 1 ]]; then
        native --only core --stop --fresh
    fi
    native --only core --detach
    say "next: $(deploy_command " --native")"
    say "stop it here with $(script_command "$DOCKER_DIR" 02-stop-core.sh) --native"
}

parse_arguments() {
    while [[ $# -gt 0 ]]; do
        case "$1" in
            --fresh) FRESH=1 ;;
            --direct) DIRECT=1 ;;
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
    if [[ $NATIVE -eq 1 && $DIRECT -eq 1 ]]; then usage_error "--native has no collector in any case"; fi
    [[ $PULL_DEADLINE_S =~ ^[0-9]+$ ]] || usage_error "PULL_DEADLINE_S is a number of seconds, not '$PULL_DEADLINE_S'"
}

main() {
    parse_arguments "$@"
    if [[ $NATIVE -eq 1 ]]; then start_native; else start_core; fi
}

main "$@"
