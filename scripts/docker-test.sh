#!/usr/bin/env bash
# The walkthrough in Docker, run and looked at as its users do: images, scripts, what TinyOlly shows, restarts, both
# compose versions, without Docker, and that nothing stays behind.
set -euo pipefail

SCRIPT_NAME=docker-test.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/test-lib.sh
source "$REPO_ROOT/scripts/test-lib.sh"
# shellcheck source=scripts/docker-engine.sh
source "$REPO_ROOT/scripts/docker-engine.sh"
# shellcheck source=scripts/docker-checks.sh
source "$REPO_ROOT/scripts/docker-checks.sh"

TARGET_DIR="${CARGO_TARGET_DIR:-$REPO_ROOT/target}"
LOG_DIR="$TARGET_DIR/test-logs/docker"
WORK_DIR="$ENGINE_DIR/work"
# Where the user is when the scripts are run: neither in the repository nor beside the scripts.
ELSEWHERE="$WORK_DIR/elsewhere"
BIN_DIR="${BIN_DIR:-$TARGET_DIR/release}"
WEB_DIR="$REPO_ROOT/crates/tinyolly/web"
SHOTS_DIR="$TARGET_DIR/docker-shots"
IMAGES_DIR="$REPO_ROOT/docs/images"
START="$REPO_ROOT/docker/01-start-core.sh"
STOP="$REPO_ROOT/docker/02-stop-core.sh"
DEPLOY="$REPO_ROOT/docker-demo-ebpf/01-deploy-ebpf-demo.sh"
CLEANUP="$REPO_ROOT/docker-demo-ebpf/02-cleanup.sh"

# With nothing built yet both take some twenty minutes on two cores.
BUILD_DEADLINE_S=2400
SCRIPT_DEADLINE_S=300
# What the README promises, counted from the second banner.
BANNER_DEADLINE_S=15
# A pull that hangs ends after this long.
export PULL_DEADLINE_S="${PULL_DEADLINE_S:-60}"

ENGINE="${DOCKER_TEST_ENGINE:-auto}"
KEEP_DATA="${DOCKER_TEST_CACHE:-0}"
UPDATE_IMAGES=0
BUILD_OPTIONS=()
PASSED=0
FAILED=0
SKIPPED=0
PART=
PART_START=0
COLLECTOR_IMAGE=
HAS_STAND_IN=0

usage() {
    cat <<'USAGE'
Usage: scripts/docker-test.sh [--no-build] [--update-images]
       scripts/docker-test.sh --help

Builds the images, runs the scripts of docker/ and docker-demo-ebpf/ as a user would, and checks what comes of it. The
last line is "docker: N passed, N failed[, N skipped]".

  --no-build        test the images that are there (for work on the scripts; the engine is one that runs)
  --update-images   put the screenshots of this run into docs/images/
  --help            this text

Ports 5005, 4317, 4318, 5001 and 5004 have to be free. The programs for the part without Docker are looked for in
BIN_DIR (default: release/ in the target directory).

Environment: DOCKER_TEST_ENGINE=auto|own|running (auto: the engine that runs, when nothing of the walkthrough is on it,
else one of our own, which needs root); DOCKER_TEST_CACHE=1 keeps our own engine's images and caches for the next run.
USAGE
}

# --- results ----------------------------------------------------------------------------------------------------

end_part() {
    if [[ -n $PART ]]; then printf '        (%s: %s s)\n' "$PART" "$((SECONDS - PART_START))"; fi
    PART=
}

part() {
    end_part
    PART="$1"
    PART_START=$SECONDS
    printf '%s\n' "--- $1"
}

# passes NAME COMMAND...: one check, counted; what the command printed is shown only when it fails.
passes() {
    local name="$1" start=$SECONDS log
    shift
    log="$LOG_DIR/$(printf '%03d' $((PASSED + FAILED)))-${name//[^A-Za-z0-9.]/-}.log"
    if "$@" >"$log" 2>&1 </dev/null; then
        PASSED=$((PASSED + 1))
        printf 'ok      %s (%s s)\n' "$name" "$((SECONDS - start))"
        return 0
    fi
    FAILED=$((FAILED + 1))
    printf 'FAILED  %s (%s s), the end of %s:\n' "$name" "$((SECONDS - start))" "$log"
    tail -n 25 "$log" | sed 's/^/          /'
    return 1
}

# check NAME COMMAND...: after which the rest goes on in any case.
check() { passes "$@" || true; } # counted

# need NAME COMMAND...: without which the rest makes no sense.
need() {
    passes "$@" && return 0
    finish || exit 1
}

skip() {
    SKIPPED=$((SKIPPED + 1))
    printf '!!! SKIPPED: %s: %s\n' "$1" "$2"
}

finish() {
    local line
    end_part
    # Before the last line, so that nothing is printed after it.
    cleanup_run || true # the status of the last command, which is of no interest here
    line="docker: $PASSED passed, $FAILED failed"
    if [[ $SKIPPED -gt 0 ]]; then line+=", $SKIPPED skipped"; fi
    printf '%s\n' "$line"
    [[ $FAILED -eq 0 ]]
}

# --- running the scripts ----------------------------------------------------------------------------------------

# script SCRIPT OPTION...: as a user does who is somewhere else, but with nobody at the keyboard: standard input is
# closed. The output is in OUTPUT afterwards.
OUTPUT="$WORK_DIR/output"
script() {
    local status=0
    # In this script's process group, for Ctrl-C and whatever else ends all of it.
    (cd "$ELSEWHERE" && exec timeout --foreground --kill-after=20 "${DEADLINE_S:-$SCRIPT_DEADLINE_S}" "$@" <&-) \
        >"$OUTPUT" 2>&1 || status=$?
    cat "$OUTPUT"
    return "$status"
}

# builds SCRIPT OPTION...: one that may build images.
builds() { DEADLINE_S=$BUILD_DEADLINE_S script "$@" "${BUILD_OPTIONS[@]}"; }

says() {
    grep --quiet -e "$1" "$OUTPUT" && return 0
    printf 'the output has no line with: %s\n' "$1"
    return 1
}

says_not() {
    ! grep -e "$1" "$OUTPUT"
}

# fails_with_one_line PATTERN COMMAND...: on standard error, and not a word on standard output.
fails_with_one_line() {
    local pattern="$1" status=0
    shift
    "$@" >"$OUTPUT.out" 2>"$OUTPUT" </dev/null || status=$?
    cat "$OUTPUT.out" "$OUTPUT"
    if [[ $status -ne 1 ]]; then
        printf 'the exit status is %s\n' "$status"
        return 1
    fi
    if [[ -s $OUTPUT.out || "$(wc -l <"$OUTPUT")" -ne 1 ]]; then
        printf 'this is more than one line on standard error\n'
        return 1
    fi
    says "$pattern"
}

# --- the parts --------------------------------------------------------------------------------------------------

# compose_accepts DIRECTORY FILES COMMAND...
compose_accepts() {
    local directory="$1" file
    local -a files=()
    for file in $2; do files+=(--file "$file"); done
    shift 2
    (cd "$directory" && "$@" "${files[@]}" config --quiet)
}

each_compose_file() { # VERSION COMMAND...
    local version="$1"
    shift
    check "compose $version accepts the core" compose_accepts "$REPO_ROOT/docker" docker-compose.yml "$@"
    check "compose $version accepts the core, direct" compose_accepts "$REPO_ROOT/docker" \
        "docker-compose.yml docker-compose.direct.yml" "$@"
    check "compose $version accepts the demo" compose_accepts "$REPO_ROOT/docker-demo-ebpf" docker-compose.yml "$@"
    check "compose $version accepts the demo, least privilege" compose_accepts "$REPO_ROOT/docker-demo-ebpf" \
        "docker-compose.yml docker-compose.least-privilege.yml" "$@"
}

part_compose_files() {
    part "compose files"
    each_compose_file v2 docker compose
    if [[ -n $COMPOSE_V1 ]]; then
        each_compose_file v1 "$COMPOSE_V1"
    else
        skip "compose files with v1" "this machine has no docker-compose 1.x"
    fi
}

# A PATH with everything but Docker.
path_without_docker() {
    local directory
    local -a directories
    mkdir -p "$WORK_DIR/no-docker"
    IFS=: read -ra directories <<<"$PATH"
    for directory in "${directories[@]}"; do
        [[ -d $directory ]] || continue
        find "$directory" -maxdepth 1 ! -type d ! -name 'docker*' ! -name podman \
            -exec ln --symbolic --target-directory "$WORK_DIR/no-docker" {} + 2>/dev/null || true # names found before
    done
}

part_without_engine() {
    local name
    local -A scripts=(["01-start-core.sh"]="$START" ["02-stop-core.sh"]="$STOP" ["01-deploy-ebpf-demo.sh"]="$DEPLOY"
        ["02-cleanup.sh"]="$CLEANUP")
    part "no engine, no core"
    path_without_docker
    for name in 01-start-core.sh 01-deploy-ebpf-demo.sh; do
        check "$name without an engine names --native" fails_with_one_line "error: .*$name --native" \
            env DOCKER_HOST="unix://$WORK_DIR/none.sock" "${scripts[$name]}"
        check "$name without a docker command names --native" fails_with_one_line "error: .*$name --native" \
            env PATH="$WORK_DIR/no-docker" "${scripts[$name]}"
    done
    for name in 02-stop-core.sh 02-cleanup.sh; do
        check "$name without an engine says so" fails_with_one_line "error: " \
            env DOCKER_HOST="unix://$WORK_DIR/none.sock" "${scripts[$name]}"
    done
    check "01-deploy-ebpf-demo.sh without a core says what to run" fails_with_one_line "error: .*01-start-core.sh" "$DEPLOY"
    for name in 02-stop-core.sh 02-cleanup.sh; do
        check "$name with nothing to stop" script "${scripts[$name]}"
    done
}

start_says_direct() {
    says "cannot be had" && says "direct mode" && says "http://localhost:5005" && is_running_as_mode direct
}

start_says_collector() {
    says "through the collector" && says "http://localhost:5005" && is_running_as_mode collector
}

never_pulls() {
    script "$START" --direct --no-build && says_not "pulling" && is_running_as_mode direct
}

deploy_says_where() {
    says "http://localhost:5001" && says "http://localhost:5004" && says "02-cleanup.sh"
}

smoke_passes_in_time() {
    local seconds
    "$REPO_ROOT/scripts/smoke.sh" || return 1
    seconds=$((SECONDS - BANNER))
    printf 'all of this within %s s of the second banner\n' "$seconds"
    ((seconds <= BANNER_DEADLINE_S))
}

# The images, from a clean state when the engine is ours, and the two scripts for the first time.
part_first_run() {
    local image
    part "the two scripts, for the first time"
    need "base image" ensure_base_image
    printf '        %s\n' "$(tail -n 1 "$LOG_DIR"/*-base-image.log)"
    need "01-start-core.sh" builds "$START"
    if [[ "$(<"$OUTPUT")" == *"cannot be had"* ]]; then
        check "it says that there is no collector, and goes on in direct mode" start_says_direct
    else
        check "it says that the collector runs" start_says_collector
    fi
    check "01-start-core.sh --direct pulls nothing" never_pulls
    need "01-deploy-ebpf-demo.sh" builds "$DEPLOY"
    BANNER=$SECONDS
    check "smoke test within $BANNER_DEADLINE_S s of the second banner" smoke_passes_in_time
    check "its banner says where to look" deploy_says_where_in_log
    for image in tinyolly otel-ebpf-agent ebpf-frontend ebpf-backend; do
        check "image $image is below ${IMAGE_LIMITS_MB[$image]} MB" is_small_enough "$image"
        if [[ $image == otel-ebpf-agent ]]; then
            check "image $image runs as root" runs_as "$image" ""
        else
            check "image $image does not run as root" runs_as "$image" 10001
        fi
        check "image $image has a health check" has_health_check "$image"
        check "image $image has no shell" has_no_shell "$image"
    done
}

# The output of the deploy, which smoke's checks have replaced by now.
deploy_says_where_in_log() {
    OUTPUT="$(compgen -G "$LOG_DIR/*-01-deploy-ebpf-demo.sh.log" | head -n 1)" deploy_says_where
}

part_again() {
    local name
    part "the two scripts, a second time"
    snapshot >"$WORK_DIR/before"
    check "01-start-core.sh --direct a second time" builds "$START" --direct
    check "01-deploy-ebpf-demo.sh a second time" builds "$DEPLOY"
    check "nothing was built anew or restarted" same_as "$WORK_DIR/before"
}

address_of() { docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }

part_traces() {
    part "what is traced"
    check "frontend, through the published port" traced_exactly_once ebpf-frontend "$FRONTEND_URL"
    check "backend, through the published port" traced_exactly_once ebpf-backend "$BACKEND_URL"
    check "frontend, by the container's address" traced_exactly_once ebpf-frontend "http://$(address_of ebpf-frontend):5000"
    check "backend, by the container's address" traced_exactly_once ebpf-backend "http://$(address_of ebpf-backend):5000"
    check "nothing but the two is a service" only_the_two_services
    check "no spans of the health checks" no_health_spans
}

# Those that the README shows.
update_images() {
    mkdir -p "$IMAGES_DIR"
    cp "$SHOTS_DIR"/{traces,trace,logs,metrics,map,agent}-light.png "$SHOTS_DIR/trace-dark.png" "$IMAGES_DIR/"
}

part_browser() {
    local traces=10
    part "in a browser"
    if [[ ! -x ${CHROMIUM_BIN:-/usr/bin/chromium} ]]; then
        skip "screenshots and browser test" "no Chromium; scripts/setup.sh --test docker installs it"
        return 0
    fi
    if [[ ! -d $WEB_DIR/node_modules/playwright-core ]]; then
        passes "npm ci" npm --prefix "$WEB_DIR" ci --no-audit --no-fund || return 0
    fi
    rm -rf "$SHOTS_DIR"
    if [[ $UPDATE_IMAGES -eq 1 ]]; then
        # Without the requests of this test, and with more to see.
        check "an empty database for the pictures" script "$START" --fresh --direct --no-build
        traces=100
    fi
    if passes "screenshots of every view" env --chdir "$WEB_DIR" TINYOLLY_URL="$TINYOLLY_URL" node e2e/shots.mjs \
        "$SHOTS_DIR" "$traces" && [[ $UPDATE_IMAGES -eq 1 ]]; then
        check "docs/images" update_images
    fi
    check "browser test" env --chdir "$WEB_DIR" TINYOLLY_URL="$TINYOLLY_URL" OTLP_HTTP_URL=http://127.0.0.1:4318 \
        SHOTS_DIR="$TARGET_DIR/e2e-shots" node e2e/run.mjs
}

# Where the collector's image cannot be had, something of its name that passes OTLP on as it is. It starts only with the
# collector's configuration in place.
make_stand_in() {
    if docker image inspect "$COLLECTOR_IMAGE" >/dev/null 2>&1; then return 0; fi
    mkdir -p "$WORK_DIR/stand-in"
    cat >"$WORK_DIR/stand-in/Dockerfile" <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends socat >/dev/null
COPY stand-in.sh /
ENTRYPOINT ["/bin/sh", "/stand-in.sh"]
DOCKERFILE
    cat >"$WORK_DIR/stand-in/stand-in.sh" <<'SHELL'
case "$1" in
    --config=*) grep -q '^receivers:' "${1#--config=}" || { echo "no configuration at ${1#--config=}" >&2; exit 1; } ;;
    *) echo "no --config" >&2; exit 1 ;;
esac
for port in 4317 4318; do socat "TCP-LISTEN:$port,fork,reuseaddr" "TCP:tinyolly:$port" & done
trap 'kill $(jobs -p); exit 0' TERM
wait
SHELL
    docker build --tag "$COLLECTOR_IMAGE" "$WORK_DIR/stand-in" || return 1
    HAS_STAND_IN=1
}

remove_stand_in() {
    if [[ $HAS_STAND_IN -eq 0 ]]; then return 0; fi
    # There only when the part was broken off.
    docker rm --force otel-collector >/dev/null 2>&1 || true
    docker image rm "$COLLECTOR_IMAGE" >/dev/null || return 1
    HAS_STAND_IN=0
}

collector_image() {
    (cd "$REPO_ROOT/docker" && docker compose --file docker-compose.yml config --format json) \
        | jq --raw-output '.services["otel-collector"].image'
}

switch_to_direct() { script "$START" --direct --no-build && is_running_as_mode direct; }

switch_to_collector() { script "$START" --no-build && start_says_collector; }

part_modes() {
    part "with a collector and without, under a running demo"
    COLLECTOR_IMAGE="$(collector_image)"
    docker ps --no-trunc --format '{{.Names}} {{.ID}}' | grep ebpf | sort >"$WORK_DIR/demo-before"
    passes "image of the collector" make_stand_in || return 0
    if [[ $HAS_STAND_IN -eq 1 ]]; then
        printf '!!! %s cannot be pulled here: A STAND-IN that passes OTLP on has its name for this part\n' "$COLLECTOR_IMAGE"
        cleanup_push remove_stand_in
    fi
    check "direct to collector" switch_to_collector
    check "traces arrive through it" new_traces_arrive "$TRACE_DEADLINE_S"
    check "collector to direct" switch_to_direct
    check "traces arrive without it" new_traces_arrive "$TRACE_DEADLINE_S"
    check "direct to collector again" switch_to_collector
    check "traces arrive through it again" new_traces_arrive "$TRACE_DEADLINE_S"
    check "and back to direct" switch_to_direct
    check "traces arrive at the end" new_traces_arrive "$TRACE_DEADLINE_S"
    check "the demo was not touched" demo_is_the_same
    if [[ $HAS_STAND_IN -eq 1 ]]; then check "the stand-in is removed" remove_stand_in; fi
}

demo_is_the_same() {
    docker ps --no-trunc --format '{{.Names}} {{.ID}}' | grep ebpf | sort | diff "$WORK_DIR/demo-before" -
}

tinyolly_is_healthy() { [[ "$(docker inspect --format '{{.State.Health.Status}}' tinyolly)" == healthy ]]; }

docker_restarts_tinyolly() { docker restart tinyolly && wait_until 60 tinyolly_is_healthy; }

part_core_restart() {
    local before flag="$WORK_DIR/keep-asking" asking
    part "core restart under a running demo"
    new_trace_arrives "$TRACE_DEADLINE_S" ebpf-frontend "$FRONTEND_URL" >/dev/null || true # the next check says so
    before="$MARKER"
    : >"$flag"
    ask_while "$flag" "$FRONTEND_URL/" >"$WORK_DIR/answers" 2>&1 &
    asking=$!
    LOADS=("$asking")
    check "02-stop-core.sh" script "$STOP"
    check "01-start-core.sh --direct after it" script "$START" --direct --no-build
    check "data from before is there" wait_until "$TRACE_DEADLINE_S" has_server_span ebpf-frontend "$before"
    check "new traces arrive" new_traces_arrive "$TRACE_DEADLINE_S"
    before="$MARKER"
    check "docker restart tinyolly" docker_restarts_tinyolly
    check "data from before is there after that too" wait_until "$TRACE_DEADLINE_S" has_server_span ebpf-backend "$before"
    check "new traces arrive after that too" new_traces_arrive "$TRACE_DEADLINE_S"
    rm -f "$flag"
    wait "$asking" || true # its answers are looked at
    LOADS=()
    check "the frontend answered all the while" all_were_answered "$WORK_DIR/answers"
    before="$MARKER"
    check "01-start-core.sh --fresh" script "$START" --fresh --direct --no-build
    check "the data is gone" is_forgotten ebpf-backend "$before"
    check "new traces arrive in the empty database" new_traces_arrive "$TRACE_DEADLINE_S"
}

is_forgotten() { [[ "$(server_spans "$1" "$2")" == "[]" ]]; }

part_agent_restart() {
    local -a before
    part "agent restart under load"
    check "the agent has its programs" agent_has_programs
    before=("${PROGRAMS[@]}")
    load_backend
    check "load on the backend" wait_until 10 load_has_begun
    check "docker kill -s KILL of the agent" docker kill --signal KILL otel-ebpf-instrumentation
    check "the dead agent's programs are gone" programs_go_away "${before[@]}"
    check "docker start of the agent" docker start otel-ebpf-instrumentation
    check "the load goes on" load_goes_on
    check "traces of both services resume" new_traces_arrive "$TRACE_DEADLINE_S"
    wait "${LOADS[@]}" || true # what they were answered is looked at
    LOADS=()
    check "all $((LOAD_SENDERS * LOAD_REQUESTS)) requests were answered with 200" no_application_error
    check "nothing but the two is a service" only_the_two_services
}

part_least_privilege() {
    local -a before
    part "least privilege"
    check "the agent was privileged so far" has_privileges true ""
    agent_has_programs || true # found out above
    before=("${PROGRAMS[@]}")
    check "01-deploy-ebpf-demo.sh --least-privilege" script "$DEPLOY" --least-privilege --no-build
    check "not privileged, four capabilities" has_privileges false "$CAPABILITIES"
    check "the process has exactly these" has_effective_capabilities
    check "traces of both services" new_traces_arrive "$TRACE_DEADLINE_S"
    check "the programs of the one before are gone" programs_go_away "${before[@]}"
    check "and back" script "$DEPLOY" --no-build
    check "privileged again" has_privileges true ""
    check "traces of both services again" new_traces_arrive "$TRACE_DEADLINE_S"
    check "nothing but the two is a service" only_the_two_services
    check "no spans of the health checks" no_health_spans
}

# leave_nothing OPTION...: both scripts that clean up.
part_cleanup() {
    local -a before
    part "clean-up${1:+ ($1)}"
    agent_has_programs || true # the check of the programs says so
    before=("${PROGRAMS[@]}")
    check "02-cleanup.sh" script "$CLEANUP"
    check "no program of the agent is left" programs_go_away "${before[@]}"
    check "02-stop-core.sh --volumes" script "$STOP" --volumes
    check "no container, network, volume or port is left" nothing_is_left
    check "02-cleanup.sh a second time" script "$CLEANUP"
    check "02-stop-core.sh --volumes a second time" script "$STOP" --volumes
}

# A PATH where only v1 is found, with a docker command that can build for it: one from before BuildKit became a plugin,
# or one that has the plugin.
path_of_v1() {
    local directory candidate="" version
    local -a directories
    IFS=: read -ra directories <<<"$PATH"
    for directory in "${directories[@]}"; do
        [[ -x $directory/docker ]] || continue
        version="$("$directory/docker" version --format '{{.Client.Version}}')" || continue
        if ! version_ge "$version" 23.0 || "$directory/docker" buildx version >/dev/null 2>&1; then
            candidate="$directory/docker"
            break
        fi
    done
    if [[ -z $candidate ]]; then return 1; fi
    mkdir -p "$WORK_DIR/v1"
    ln -sf "$COMPOSE_V1" "$WORK_DIR/v1/docker-compose"
    cat >"$WORK_DIR/v1/docker" <<SHELL
#!/bin/sh
if [ "\$1" = compose ]; then
    echo "docker: 'compose' is not a docker command." >&2
    exit 1
fi
exec "$candidate" "\$@"
SHELL
    chmod 755 "$WORK_DIR/v1/docker"
}

both_services_have_traces() {
    api "/api/traces?limit=500" '
        [.[].services[].name] | (index("ebpf-frontend") != null) and (index("ebpf-backend") != null)'
}

made_by_v1() {
    [[ "$(docker inspect --format '{{index .Config.Labels "com.docker.compose.version"}}' tinyolly)" == 1.* ]]
}

part_compose_v1() {
    part "compose v1"
    if [[ -z $COMPOSE_V1 ]]; then
        skip "the scripts with compose v1" "this machine has no docker-compose 1.x"
        return 0
    fi
    if ! path_of_v1; then
        skip "the scripts with compose v1" "no docker command here can build for it"
        return 0
    fi
    local PATH="$WORK_DIR/v1:$PATH"
    check "01-start-core.sh" builds "$START" --direct
    check "v1 made the containers" made_by_v1
    check "01-deploy-ebpf-demo.sh" builds "$DEPLOY"
    check "traces of both services" wait_until "$BANNER_DEADLINE_S" both_services_have_traces
    snapshot >"$WORK_DIR/before"
    check "01-deploy-ebpf-demo.sh a second time" builds "$DEPLOY"
    check "it restarted nothing" same_as "$WORK_DIR/before"
    check "01-deploy-ebpf-demo.sh --least-privilege" script "$DEPLOY" --least-privilege --no-build
    check "not privileged" has_privileges false "$CAPABILITIES"
    part_cleanup "compose v1"
}

native_leaves_nothing() {
    local pid
    for pid in "$@"; do
        if read_stamp "$pid"; then
            printf 'process %s is still there\n' "$pid"
            return 1
        fi
    done
    ports_are_free
}

part_native() {
    local name file
    local -a pids=() before=()
    part "without Docker"
    for name in tinyolly otel-ebpf-agent ebpf-frontend ebpf-backend; do
        if [[ ! -x $BIN_DIR/$name ]]; then
            skip "the scripts with --native" "$BIN_DIR/$name is missing; scripts/test.sh build makes it"
            return 0
        fi
    done
    # Never the data of a demo that somebody looks at.
    export DEMO_STATE_DIR="$WORK_DIR/native"
    # No engine is asked, so none is offered.
    local PATH="$WORK_DIR/no-docker"
    cleanup_push "'$REPO_ROOT/scripts/demo.sh' --stop >/dev/null"
    check "01-deploy-ebpf-demo.sh --native without a core says what to run" \
        fails_with_one_line "error: .*01-start-core.sh --native" "$DEPLOY" --native --bin-dir "$BIN_DIR"
    check "01-start-core.sh --native" script "$START" --native --fresh --bin-dir "$BIN_DIR"
    check "01-deploy-ebpf-demo.sh --native" script "$DEPLOY" --native --bin-dir "$BIN_DIR"
    BANNER=$SECONDS
    check "smoke test within $BANNER_DEADLINE_S s" smoke_passes_in_time
    for file in "$DEMO_STATE_DIR"/*.pid; do pids+=("$(cut -d ' ' -f 1 "$file")"); done
    mapfile -t before < <(bpf_programs_of "$(cut -d ' ' -f 1 "$DEMO_STATE_DIR/otel-ebpf-agent.pid")")
    check "02-cleanup.sh --native" script "$CLEANUP" --native
    check "no program of the agent is left" programs_go_away "${before[@]}"
    check "02-stop-core.sh --native --volumes" script "$STOP" --native --volumes
    check "no process and no port is left" native_leaves_nothing "${pids[@]}"
}

# --- main -------------------------------------------------------------------------------------------------------

# Whatever a failed check left behind; with our own engine it goes in any case.
remove_everything() {
    if [[ $ENGINE_IS_OURS -eq 1 && $KEEP_DATA -eq 0 ]]; then return 0; fi
    "$CLEANUP" >/dev/null 2>&1 </dev/null || true # best effort: the engine may be gone
    "$STOP" --volumes >/dev/null 2>&1 </dev/null || true
    if [[ $BASE_IS_OURS -eq 1 && $ENGINE_IS_OURS -eq 0 ]]; then
        docker image rm --force "$BASE_IMAGE" >/dev/null 2>&1 || true # likewise
    fi
}

parse_arguments() {
    local argument
    for argument in "$@"; do
        case "$argument" in
            --no-build) BUILD_OPTIONS=(--no-build) ;;
            --update-images) UPDATE_IMAGES=1 ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) usage_error "unknown argument $argument" ;;
        esac
    done
    case "$ENGINE" in
        auto | own | running) ;;
        *) usage_error "DOCKER_TEST_ENGINE is auto, own or running, not '$ENGINE'" ;;
    esac
}

main() {
    local command
    parse_arguments "$@"
    is_root || die "this test runs as root, because it starts engines and looks at BPF programs"
    for command in curl jq bpftool ip node npm tar; do
        need_cmd "$command" "scripts/setup.sh --test docker installs it"
    done
    ports_are_free >&2 || die "the ports of the walkthrough are in use, see above"
    # Settings of the shell are not for the scripts under test, nor for what they start.
    unset "${!OTEL_@}" "${!TINYOLLY_A@}" COMPOSE_FILE COMPOSE_PROJECT_NAME CI
    rm -rf "$LOG_DIR" "$WORK_DIR"
    mkdir -p "$LOG_DIR" "$ELSEWHERE"
    cleanup_on_exit
    trap 'exit 130' INT
    trap 'exit 143' TERM

    part "engine"
    use_docker_command || die "there is no Docker $DOCKER_FLOOR with compose v2; scripts/setup.sh --test docker gets it"
    COMPOSE_V1="$(compose_v1)" || COMPOSE_V1=
    say "compose v2 $(docker compose version --short), v1 ${COMPOSE_V1:-none}"
    use_engine "$ENGINE"
    if [[ $ENGINE_IS_OURS -eq 0 ]]; then say "images are built with what this engine has in its caches"; fi
    cleanup_push end_loads
    cleanup_push remove_everything

    part_compose_files
    part_without_engine
    part_first_run
    part_again
    part_traces
    part_browser
    part_modes
    part_core_restart
    part_agent_restart
    part_least_privilege
    part_cleanup
    part_compose_v1
    part_native
    finish
}

main "$@"
