#!/usr/bin/env bash
# Shared functions of the walkthrough's scripts in docker/ and docker-demo-ebpf/. Sourced, never run. Those scripts also
# run on macOS, so nothing here needs a bash newer than 3.2 or a tool of Linux only.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DOCKER_DIR="$REPO_ROOT/docker"
DEMO_DIR="$REPO_ROOT/docker-demo-ebpf"
# As the .env files beside the compose files say.
CORE_PROJECT=tinyolly-core
DEMO_PROJECT=tinyolly-demo
NETWORK=tinyolly-network
COLLECTOR=otel-collector
AGENT=otel-ebpf-instrumentation
DEMO_IMAGES=(otel-ebpf-agent:latest ebpf-frontend:latest ebpf-backend:latest)
export DOCKER_DIR DEMO_DIR CORE_PROJECT DEMO_PROJECT DEMO_IMAGES

ENGINE_FLOOR="20.10"
# Speaks no version of its protocol that compose v1 knows.
ENGINE_REFUSES_V1="29.0"
COMPOSE_FLOOR="1.27"
# From this version on Docker's command leaves BuildKit to a plugin.
BUILDX_CLI_VERSION="23.0"
# The agent's tap needs it; doctor.sh says why.
AGENT_KERNEL_FLOOR="5.15"
LOG_LINES=15

# From this version on compose v1 cannot replace a container.
ENGINE_WITHOUT_V1="25.0"

# Set by check_engine.
ENGINE_VERSION=
ENGINE_OS=
ENGINE_ARCH=
ENGINE_KERNEL=
ENGINE_SECURITY=
# Said when the containers cannot be started; a script may set it.
UP_HINT=
# Set by find_compose: the command, and its version.
COMPOSE=()
COMPOSE_VERSION=

# --- paths ------------------------------------------------------------------------------------------------------

# script_command DIRECTORY SCRIPT: what to type for a script of the walkthrough from where the user is.
script_command() {
    if [[ . -ef $1 ]]; then
        printf './%s\n' "$2"
    elif [[ . -ef $REPO_ROOT ]]; then
        printf '%s/%s\n' "$(basename "$1")" "$2"
    elif [[ .. -ef $REPO_ROOT ]]; then
        printf '../%s/%s\n' "$(basename "$1")" "$2"
    else
        printf '%q/%s\n' "$1" "$2"
    fi
}

# --- engine -----------------------------------------------------------------------------------------------------

start_engine_advice() {
    if [[ -n ${DOCKER_HOST:-} ]]; then
        printf 'DOCKER_HOST=%s leads nowhere: unset it, or start what should be there\n' "$DOCKER_HOST"
    elif [[ "$(uname -s)" == Darwin ]]; then
        printf 'start it: Docker Desktop\n'
    elif [[ -d /run/systemd/system ]]; then
        printf 'start it: sudo systemctl start docker\n'
    elif grep --quiet --ignore-case microsoft /proc/version 2>/dev/null; then
        printf 'start it: Docker Desktop, or sudo service docker start\n'
    else
        printf 'start it: sudo service docker start\n'
    fi
}

# check_engine SCRIPT: that an engine answers which this can work with; SCRIPT is named together with --native.
check_engine() {
    local native="" answer
    if [[ "$(uname -s)" == Linux ]]; then native=", or go on without Docker: $1 --native"; fi
    have docker \
        || die "there is no docker command; install Docker (https://docs.docker.com/engine/install/)$native"
    if ! answer="$(docker version 2>&1)"; then
        case "$answer" in
            *[Pp]odman*) ;;
            *[Pp]ermission\ denied*)
                die "this user may not talk to Docker; sudo usermod -aG docker $(id -un), then log in again"
                ;;
            # The last is how clients from 29 on say it.
            *[Cc]annot\ connect* | *"error during connect"* | *"ailed to connect to the docker API"*)
                die "Docker does not run; $(start_engine_advice)$native"
                ;;
            *) die "Docker does not answer: $(tail -n 1 <<<"$answer")$native" ;;
        esac
    fi
    if [[ $answer == *[Pp]odman* ]]; then
        die "this docker is podman, which is not supported; install Docker Engine$native"
    fi
    ENGINE_VERSION="$(docker version --format '{{.Server.Version}}')"
    version_ge "$ENGINE_VERSION" "$ENGINE_FLOOR" \
        || die "Docker Engine $ENGINE_VERSION is older than $ENGINE_FLOOR; update it"
    answer="$(docker info --format '{{.OSType}}|{{.Architecture}}|{{.KernelVersion}}|{{.SecurityOptions}}')" \
        || die "Docker does not say what it runs on; see: docker info"
    IFS='|' read -r ENGINE_OS ENGINE_ARCH ENGINE_KERNEL ENGINE_SECURITY <<<"$answer"
    [[ $ENGINE_OS == linux ]] || die "Docker runs $ENGINE_OS containers; switch it to Linux containers"
}

is_x86_64() { [[ $ENGINE_ARCH == x86_64 || $ENGINE_ARCH == amd64 ]]; }

# What the agent asks of the machine that the containers run on. Type information is looked at by the agent itself.
check_agent_host() {
    is_x86_64 || die "the agent is for x86_64, and Docker runs on $ENGINE_ARCH; use an x86_64 machine"
    version_ge "$ENGINE_KERNEL" "$AGENT_KERNEL_FLOOR" \
        || die "the agent needs Linux $AGENT_KERNEL_FLOOR, and Docker runs on $ENGINE_KERNEL; update it"
    if [[ $ENGINE_SECURITY == *rootless* || $ENGINE_SECURITY == *userns* ]]; then
        die "Docker runs rootless or with userns-remap, which keeps the agent from loading programs; use another engine"
    fi
}

# --- compose ----------------------------------------------------------------------------------------------------

# Prefers v2, the plugin. `docker-compose` may be v1 or a v2 under the old name.
find_compose() {
    local found
    # They would be taken for ours.
    unset COMPOSE_FILE COMPOSE_PROJECT_NAME COMPOSE_PROFILES
    if found="$(docker compose version --short 2>/dev/null)" && [[ -n $found ]]; then
        COMPOSE=(docker compose)
    elif have docker-compose; then
        found="$(docker-compose version --short 2>/dev/null)" \
            || die "docker-compose does not work (docker-compose version); instead install $(plugin_advice compose)"
        COMPOSE=(docker-compose)
    else
        die "there is no docker compose; install $(plugin_advice compose)"
    fi
    COMPOSE_VERSION="${found#v}"
    version_ge "$COMPOSE_VERSION" "$COMPOSE_FLOOR" \
        || die "docker-compose $COMPOSE_VERSION is older than $COMPOSE_FLOOR; instead install $(plugin_advice compose)"
    if is_compose_v1 && version_ge "$ENGINE_VERSION" "$ENGINE_REFUSES_V1"; then
        die "Docker Engine $ENGINE_VERSION does not talk to docker-compose $COMPOSE_VERSION; install $(plugin_advice compose)"
    fi
    # The Dockerfile uses cache mounts.
    export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
}

# plugin_advice compose|buildx: its packages, by Docker and by the distributions.
plugin_advice() {
    case "$1" in
        compose) printf 'the package docker-compose-plugin, docker-compose-v2 or docker-compose\n' ;;
        *) printf 'the package docker-buildx-plugin or docker-buildx\n' ;;
    esac
}

is_compose_v1() { ! version_ge "$COMPOSE_VERSION" 2.0; }

has_buildx() { docker buildx version >/dev/null 2>&1; }

# v1 has the docker command build, which may be unable to without a plugin.
check_builder() {
    if is_compose_v1 && version_ge "$(docker version --format '{{.Client.Version}}')" "$BUILDX_CLI_VERSION" \
        && ! has_buildx; then
        die "docker-compose $COMPOSE_VERSION needs Docker's buildx plugin; install $(plugin_advice buildx)"
    fi
}

# compose ARGUMENT...: for the project whose COMPOSE_DIR, COMPOSE_PROJECT and COMPOSE_FILES the script has set.
compose() {
    local file
    local -a files=()
    for file in "${COMPOSE_FILES[@]}"; do files+=(--file "$file"); done
    (cd "$COMPOSE_DIR" && "${COMPOSE[@]}" --project-name "$COMPOSE_PROJECT" "${files[@]}" "$@")
}

# A build asks the registry about its base each time, unless the image is in the engine's own store.
keep_base_image() {
    local base="${WALKTHROUGH_DEBIAN:-debian:bookworm-slim}"
    docker image inspect "$base" >/dev/null 2>&1 || docker pull "$base" </dev/null \
        || warn "$base cannot be pulled; the build tries by itself"
}

# build_images SERVICE...
build_images() {
    local hint="; images from before are used with --no-build"
    keep_base_image
    say "building $* (the first time some ten minutes on two processors, then seconds)"
    compose build "$@" && return 0
    has_buildx || hint+="; where they name buildx, install $(plugin_advice buildx)"
    die "the build failed; its messages are above$hint"
}

check_image() {
    docker image inspect "$1" >/dev/null 2>&1 || die "there is no image $1; run this without --no-build"
}

# compose_up [OPTION...] SERVICE...: `up -d`. v1 cannot replace a container on recent engines (it ends with "KeyError:
# 'ContainerConfig'" and has renamed the container by then), but it can create one.
compose_up() {
    local argument id
    if compose up -d "$@"; then return 0; fi
    if ! is_compose_v1 || ! version_ge "$ENGINE_VERSION" "$ENGINE_WITHOUT_V1"; then
        die "the containers could not be started; the messages are above$UP_HINT"
    fi
    warn "docker-compose $COMPOSE_VERSION could not update the containers: making them anew"
    for argument in "$@"; do
        # By service, because of the new names. An option is no service.
        for id in $(docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT" \
            --filter "label=com.docker.compose.service=$argument"); do
            docker rm --force "$id" >/dev/null || die "container $id could not be removed; see: docker rm -f $id"
        done
    done
    compose up -d "$@" || die "the containers could not be started; the messages are above$UP_HINT"
}

# --- containers -------------------------------------------------------------------------------------------------

# inspect CONTAINER FORMAT: fails when there is no such container.
inspect() { docker inspect --type container --format "$2" "$1" 2>/dev/null; }

# "running healthy", "running starting", "exited none"... or nothing.
container_state() {
    inspect "$1" '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' || true # gone
}

container_project() { inspect "$1" '{{index .Config.Labels "com.docker.compose.project"}}'; }

project_containers() {
    docker ps --all --filter "label=com.docker.compose.project=$1" --format '{{.Names}}'
}

# A container without a health check counts as healthy when it runs.
container_is_healthy() {
    case "$(container_state "$1")" in
        "running healthy" | "running none") ;;
        *) return 1 ;;
    esac
}

container_has_failed() {
    case "$(container_state "$1")" in
        exited* | dead* | restarting* | "") ;;
        *) return 1 ;;
    esac
}

# report_container CONTAINER PROBLEM: the problem, and the last words of the container and of its health check.
report_container() {
    local health
    health="$(inspect "$1" '{{with .State.Health}}{{range .Log}}{{.ExitCode}} {{printf "%q\n" .Output}}{{end}}{{end}}' \
        | sed '/^$/d' | tail -n 1 || true)" # no such container
    {
        printf '%s: error: %s %s; the end of its log (docker logs %s):\n' "$SCRIPT_NAME" "$1" "$2" "$1"
        docker logs --tail "$LOG_LINES" "$1" 2>&1 | sed 's/^/  /' || true # no such container: said in these lines
        if [[ -n $health && $health != 0\ * ]]; then printf '  health check: exit status %s\n' "$health"; fi
    } >&2
}

# await_container CONTAINER SECONDS COMMAND...: waits until the command succeeds; fails at the deadline, or when the
# container ends, with the container's last words.
await_container() {
    local container="$1" seconds="$2" deadline=$((SECONDS + $2))
    shift 2
    until "$@"; do
        if container_has_failed "$container"; then
            report_container "$container" "does not keep running"
            return 1
        fi
        if ((SECONDS >= deadline)); then
            report_container "$container" "is not healthy after $seconds s"
            return 1
        fi
        sleep 0.3
    done
}

# remove_containers CONTAINER...: in this order, each given time to deliver what it holds.
remove_containers() {
    local container
    for container in "$@"; do
        if ! docker stop "$container" >/dev/null || ! docker rm "$container" >/dev/null; then
            die "container $container could not be removed; see: docker rm -f $container"
        fi
    done
}

# container_exists CONTAINER
container_exists() { inspect "$1" x >/dev/null; }

# check_names PROJECT CONTAINER...: no container of somebody else has a name that is needed here.
check_names() {
    local project="$1" container owner
    shift
    for container in "$@"; do
        if owner="$(container_project "$container")" && [[ $owner != "$project" ]]; then
            die "another container is called $container (project ${owner:-none}); remove it: docker rm -f $container"
        fi
    done
}

delete_data() {
    local volume
    for volume in $(docker volume ls --quiet --filter "label=com.docker.compose.project=$CORE_PROJECT"); do
        docker volume rm "$volume" >/dev/null || die "volume $volume could not be deleted; see: docker volume rm"
        say "volume $volume is deleted"
    done
}

# --- network ----------------------------------------------------------------------------------------------------

network_exists() { docker network inspect "$NETWORK" >/dev/null 2>&1; }

# Containers on the network, one a line with its project; stopped ones too, as they could not start again without it.
containers_on_network() {
    docker ps --all --filter "network=$NETWORK" --format '{{.Names}} {{.Label "com.docker.compose.project"}}'
}

guests_on_network() { containers_on_network | sed "/ $CORE_PROJECT\$/d; s/ .*//"; }

remove_network() {
    network_exists || return 0
    docker network rm "$NETWORK" >/dev/null \
        || die "network $NETWORK could not be removed; see: docker network inspect $NETWORK"
}

# Compose refuses a network of this name that it did not make itself.
check_network() {
    local owner
    owner="$(docker network inspect --format '{{index .Labels "com.docker.compose.project"}}' "$NETWORK" 2>/dev/null)" \
        || return 0
    if [[ $owner == "$CORE_PROJECT" ]]; then return 0; fi
    [[ -z "$(containers_on_network)" ]] \
        || die "a network $NETWORK of something else is in use; stop what is on it: docker network inspect $NETWORK"
    remove_network
}

# Whether something on the network answers to the name that the demo sends to: the collector, or TinyOlly in its place.
collector_is_on_network() {
    local id
    for id in $(docker ps --quiet --filter "network=$NETWORK"); do
        if inspect "$id" "{{.Name}} {{with index .NetworkSettings.Networks \"$NETWORK\"}}{{.Aliases}}{{end}}" \
            | tr -c 'A-Za-z0-9\n-' ' ' | grep --quiet --word-regexp -e "$COLLECTOR"; then
            return 0
        fi
    done
    return 1
}

# --- ports ------------------------------------------------------------------------------------------------------

# Whether somebody accepts connections, for machines without /proc.
port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# check_published PROJECT PORT...: each is free, or published by a container of the project.
check_published() {
    local project="$1" port name owner holder advice
    shift
    for port in "$@"; do
        read -r name owner < <(docker ps --filter "publish=$port" \
            --format '{{.Names}} {{.Label "com.docker.compose.project"}}') || true # none
        if [[ -n $name ]]; then
            [[ $owner == "$project" ]] || die "port $port is in use by container $name; stop it: docker stop $name"
        elif port_in_use "$port" || port_answers "$port"; then
            holder="$(port_holder "$port")"
            case "$holder" in
                tinyolly* | ebpf-frontend* | ebpf-backend*) advice="stop it (scripts/demo.sh --stop)" ;;
                *) advice="end it, and run this again" ;;
            esac
            die "port $port is in use by $holder; $advice"
        fi
    done
}

# --- the product ------------------------------------------------------------------------------------------------

tinyolly_answers() { http_ok http://127.0.0.1:5005/health; }

# Whether OTLP is taken on the published port: an empty request is a good one.
otlp_answers() {
    [[ "$(fetch --output /dev/null --max-time 2 --write-out '%{http_code}' --header 'content-type: application/json' \
        --data '{}' http://127.0.0.1:4318/v1/traces)" == 200 ]]
}

# --- without Docker ---------------------------------------------------------------------------------------------

# native ARGUMENT...: demo.sh, for one half. NATIVE_BIN_DIR, when set, has the programs built already.
native() {
    [[ "$(uname -s)" == Linux ]] || die "--native is for Linux; this is $(uname -s)"
    if [[ -n ${NATIVE_BIN_DIR:-} ]]; then set -- "$@" --bin-dir "$NATIVE_BIN_DIR"; fi
    "$REPO_ROOT/scripts/demo.sh" "$@"
}

# native_runs HALF: whether any part of the half runs.
native_runs() { [[ "$(native --only "$1" --status || true)" == *" running "* ]]; } # not all of it: no error

# Pids of agents that run on this machine in no container of ours.
native_agents() {
    local file pid comm ours
    ours="$(inspect "$AGENT" '{{.State.Pid}}' || true)" # none
    for file in /proc/[0-9]*/comm; do
        { read -r comm <"$file"; } 2>/dev/null || continue
        pid="${file#/proc/}"
        pid="${pid%/comm}"
        if [[ $comm == otel-ebpf-agent && $pid != "$ours" ]]; then printf '%s\n' "$pid"; fi
    done
}
