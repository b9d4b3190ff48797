#!/usr/bin/env bash
# Removes the demo of the walkthrough. The core stays as it is.
set -euo pipefail

SCRIPT_NAME=02-cleanup.sh
# shellcheck source=scripts/docker-lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/docker-lib.sh"

DELETE_IMAGES=0
NATIVE=0

usage() {
    cat <<'USAGE'
Usage: 02-cleanup.sh [--images]
       02-cleanup.sh --native
       02-cleanup.sh --help

Stops the demo and removes its containers. The core keeps running; its network goes only when nothing is on it.

  --images   delete the demo's images as well; what the build keeps for the next one is Docker's: docker builder prune
  --native   stop the demo that `01-deploy-ebpf-demo.sh --native` started
  --help     this text
USAGE
}

# The agent goes last, so that it sees the services to their end.
remove_demo() {
    local container
    local -a there=()
    for container in $(project_containers "$DEMO_PROJECT"); do
        if [[ $container == "$AGENT" ]]; then
            there+=("$container")
        else
            there=("$container" ${there[@]+"${there[@]}"})
        fi
    done
    if [[ ${#there[@]} -eq 0 ]]; then
        say "nothing of the demo is there"
        return 0
    fi
    remove_containers "${there[@]}"
    say "stopped and removed: ${there[*]}"
}

delete_images() {
    local image
    for image in "${DEMO_IMAGES[@]}"; do
        docker image inspect "$image" >/dev/null 2>&1 || continue
        docker image rm "$image" >/dev/null || die "image $image could not be deleted; see: docker image rm $image"
        say "image $image is deleted"
    done
}

# core_still_runs OPTIONS
core_still_runs() {
    say "the core still runs: http://localhost:5005 (stop it: $(script_command "$DOCKER_DIR" 02-stop-core.sh)$1)"
}

cleanup_demo() {
    check_engine "$(script_command "$DEMO_DIR" "$SCRIPT_NAME")"
    remove_demo
    if [[ $DELETE_IMAGES -eq 1 ]]; then delete_images; fi
    if [[ -n "$(docker ps --quiet --filter "label=com.docker.compose.project=$CORE_PROJECT")" ]]; then
        core_still_runs ""
    elif network_exists && [[ -z "$(containers_on_network)" ]]; then
        # The core was stopped before the demo and had to leave it.
        remove_network
        say "network $NETWORK is removed"
    fi
}

cleanup_native() {
    native --only services --stop
    if native_runs core; then core_still_runs " --native"; fi
}

parse_arguments() {
    local argument
    for argument in "$@"; do
        case "$argument" in
            --images) DELETE_IMAGES=1 ;;
            --native) NATIVE=1 ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) usage_error "unknown argument $argument" ;;
        esac
    done
    if [[ $NATIVE -eq 1 && $DELETE_IMAGES -eq 1 ]]; then usage_error "--images is about Docker"; fi
}

main() {
    parse_arguments "$@"
    if [[ $NATIVE -eq 1 ]]; then cleanup_native; else cleanup_demo; fi
}

main "$@"
