#!/usr/bin/env bash
# Stops the core of the walkthrough. The data stays, unless told otherwise.
set -euo pipefail

SCRIPT_NAME=02-stop-core.sh
# shellcheck source=scripts/docker-lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/docker-lib.sh"

VOLUMES=0
NATIVE=0

usage() {
    cat <<'USAGE'
Usage: 02-stop-core.sh [--volumes]
       02-stop-core.sh --native [--volumes]
       02-stop-core.sh --help

Stops the core and removes its containers, and its network when nothing else is on it. A demo that runs keeps running
and delivers again once the core is started.

  --volumes   delete the data as well
  --native    stop the core that `01-start-core.sh --native` started
  --help      this text
USAGE
}

# The collector goes first, so that what it holds still finds TinyOlly.
stop_containers() {
    local container
    local -a there=()
    for container in $(project_containers "$CORE_PROJECT"); do
        if [[ $container == "$COLLECTOR" ]]; then
            there=("$container" ${there[@]+"${there[@]}"})
        else
            there+=("$container")
        fi
    done
    if [[ ${#there[@]} -eq 0 ]]; then
        say "nothing runs"
        return 0
    fi
    remove_containers "${there[@]}"
    say "stopped and removed: ${there[*]}"
}

release_network() {
    local guests
    network_exists || return 0
    guests="$(guests_on_network | tr '\n' ' ')"
    if [[ -n $guests ]]; then
        say "network $NETWORK stays, because these are on it: ${guests% }"
        say "they deliver again after $(script_command "$DOCKER_DIR" 01-start-core.sh)"
    else
        remove_network
    fi
}

stop_core() {
    check_engine "$(script_command "$DOCKER_DIR" "$SCRIPT_NAME")"
    stop_containers
    if [[ $VOLUMES -eq 1 ]]; then delete_data; fi
    release_network
}

stop_native() {
    local -a fresh=()
    if [[ $VOLUMES -eq 1 ]]; then fresh=(--fresh); fi
    native --only core --stop ${fresh[@]+"${fresh[@]}"}
    if native_runs services; then
        say "the agent and the services still run; stop them: $(script_command "$DEMO_DIR" 02-cleanup.sh) --native"
    fi
}

parse_arguments() {
    local argument
    for argument in "$@"; do
        case "$argument" in
            --volumes) VOLUMES=1 ;;
            --native) NATIVE=1 ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) usage_error "unknown argument $argument" ;;
        esac
    done
}

main() {
    parse_arguments "$@"
    if [[ $NATIVE -eq 1 ]]; then stop_native; else stop_core; fi
}

main "$@"
