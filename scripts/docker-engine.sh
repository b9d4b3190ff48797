#!/usr/bin/env bash
# A Docker engine for tests: the one that runs when it can be used, or one of our own, beside any other and without a
# trace afterwards; Docker itself, where the machine has none or an old one. Sourced after lib.sh, never run.

ENGINE_DIR="${CARGO_TARGET_DIR:-$REPO_ROOT/target}/docker-test"
# What the walkthrough calls its containers; nothing else may have these names.
ENGINE_CONTAINERS=(tinyolly otel-collector ebpf-frontend ebpf-backend otel-ebpf-instrumentation)
ENGINE_START_DEADLINE_S=60
ENGINE_STOP_DEADLINE_S=10
CAP_NET_ADMIN=12
CAP_SYS_ADMIN=21
# A network device of our own, so that another engine's docker0 is not touched. At most 15 characters.
ENGINE_BRIDGE=tinyolly-test0
# The first whose addresses nobody else has.
ENGINE_POOLS=(10.213 10.214 10.215 10.216 10.217)
# Marks our rules, to take exactly them away again.
ENGINE_COMMENT=tinyolly-test

BASE_IMAGE=debian:bookworm-slim
BASE_SUITE=bookworm
BASE_PULL_DEADLINE_S=20
# From this version on the engine knows CAP_BPF, which the agent without privileges needs, and gives a privileged container
# what root has on the machine, not more. Debian 12 has an older one.
DOCKER_FLOOR="23.0"
# A release with packages of a new enough Docker, which run on the one before it too.
BUNDLE_SUITE=trixie
# runc, which needs the C library of its own release, is the machine's.
BUNDLE_PACKAGES=(docker.io docker-cli docker-compose docker-buildx containerd)
DEBIAN_MIRROR="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Set by use_engine and ensure_base_image: whether the engine is ours, and whether the image was made here.
ENGINE_IS_OURS=0
BASE_IS_OURS=0
export ENGINE_IS_OURS BASE_IS_OURS

# --- Docker without installing it -------------------------------------------------------------------------------

# Programs of our own lie here, and a DOCKER_CONFIG that knows their plugins: nobody's ~/.docker is written to.
BUNDLE_DIR="$ENGINE_DIR/bundle"

has_bundle() { [[ -x $BUNDLE_DIR/usr/sbin/dockerd && -x $BUNDLE_DIR/config/cli-plugins/docker-compose ]]; }

docker_command_is_good() {
    local version
    version="$(version_of docker)" && version_ge "$version" "$DOCKER_FLOOR" && docker compose version >/dev/null 2>&1
}

dockerd_is_good() {
    local version
    version="$(version_of dockerd)" && version_ge "$version" "$DOCKER_FLOOR"
}

# Puts our own programs first where the machine's will not do.
use_docker_command() {
    if docker_command_is_good && { engine_answers || dockerd_is_good; }; then return 0; fi
    # The engine that the user's own configuration names would be forgotten with it.
    if [[ -z ${DOCKER_HOST:-} ]] && have docker; then
        DOCKER_HOST="$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null)" || true # none
        if [[ -n $DOCKER_HOST ]]; then export DOCKER_HOST; fi
    fi
    export PATH="$BUNDLE_DIR/usr/bin:$BUNDLE_DIR/usr/sbin:$PATH" DOCKER_CONFIG="$BUNDLE_DIR/config"
    hash -r
    docker_command_is_good && dockerd_is_good
}

# Unpacks Debian's packages, with lists and caches of its own: nothing of the machine's apt changes, and no service is
# installed.
fetch_bundle() {
    local work="$ENGINE_DIR/apt" file
    local -a options
    rm -rf "$work" "$BUNDLE_DIR" "$BUNDLE_DIR.new"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$BUNDLE_DIR.new/config/cli-plugins"
    printf 'deb [signed-by=%s] %s %s main\n' "$DEBIAN_KEYRING" "$DEBIAN_MIRROR" "$BUNDLE_SUITE" >"$work/sources.list"
    options=(-qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update || return 1
    (cd "$work" && apt-get "${options[@]}" download "${BUNDLE_PACKAGES[@]}" >/dev/null) || return 1
    for file in "$work"/*.deb; do dpkg-deb --extract "$file" "$BUNDLE_DIR.new" || return 1; done
    for file in "$BUNDLE_DIR.new"/usr/libexec/docker/cli-plugins/*; do
        ln -s "../../${file#"$BUNDLE_DIR.new/"}" "$BUNDLE_DIR.new/config/cli-plugins/" || return 1
    done
    mv "$BUNDLE_DIR.new" "$BUNDLE_DIR"
    rm -rf "$work"
    for file in sbin/dockerd bin/docker bin/containerd; do
        "$BUNDLE_DIR/usr/$file" --version >/dev/null || return 1
    done
}

# --- compose ----------------------------------------------------------------------------------------------------

# Prints the docker-compose that is v1, if any: the name alone does not say it.
compose_v1() {
    local directory version
    local -a directories
    IFS=: read -ra directories <<<"$PATH"
    for directory in "${directories[@]}"; do
        [[ -x $directory/docker-compose ]] || continue
        version="$("$directory/docker-compose" version --short 2>/dev/null </dev/null)" || continue
        if [[ $version == 1.* ]]; then
            printf '%s\n' "$directory/docker-compose"
            return 0
        fi
    done
    return 1
}

# --- an engine that runs ----------------------------------------------------------------------------------------

engine_answers() { timeout 10 docker version >/dev/null 2>&1; }

# Prints why the engine that answers is not used for tests, or nothing.
engine_objection() {
    local name
    local version
    version="$(docker version --format '{{.Server.Version}}')"
    if ! version_ge "$version" "$DOCKER_FLOOR"; then
        printf 'Docker %s is older than %s\n' "$version" "$DOCKER_FLOOR"
        return 0
    fi
    case "$(docker version --format '{{.Server.Os}}' 2>/dev/null)|${DOCKER_HOST:-unix:}" in
        "linux|unix:"*) ;;
        *)
            printf 'it is not on this machine\n'
            return 0
            ;;
    esac
    if [[ "$(docker info --format '{{.KernelVersion}}')" != "$(uname -r)" ]]; then
        printf 'it runs in a machine of its own\n'
        return 0
    fi
    if [[ "$(docker info --format '{{.SecurityOptions}}')" =~ rootless|userns ]]; then
        printf 'it runs rootless or with userns-remap\n'
        return 0
    fi
    for name in "${ENGINE_CONTAINERS[@]}"; do
        if docker container inspect "$name" >/dev/null 2>&1; then
            printf 'it has a container %s\n' "$name"
            return 0
        fi
    done
    if docker network inspect tinyolly-network >/dev/null 2>&1; then
        printf 'it has a network tinyolly-network\n'
    elif docker volume inspect tinyolly-data >/dev/null 2>&1; then
        printf 'it has a volume tinyolly-data\n'
    fi
}

# Prints what keeps this machine from running an engine of our own, or nothing.
engine_hindrance() {
    local command
    for command in iptables setpriv ip runc; do
        if ! have "$command"; then
            printf 'there is no %s\n' "$command"
            return 0
        fi
    done
    # A container, more often than not.
    if ! has_capability "$CAP_SYS_ADMIN" || ! has_capability "$CAP_NET_ADMIN"; then
        printf 'it may not make networks and mounts\n'
    elif ! grep --quiet cgroup /proc/mounts; then
        printf 'it has no control groups mounted\n'
    fi
}

engine_can_run() { { have docker && engine_answers; } || [[ -z "$(engine_hindrance)" ]]; }

# --- an engine of our own ---------------------------------------------------------------------------------------

# Prints the first two numbers of a pool that no route of the machine overlaps.
free_pool() {
    local pool routes
    for pool in "${ENGINE_POOLS[@]}"; do
        routes="$(ip -4 route show to root "$pool.0.0/16" && ip -4 route show to match "$pool.0.0/16")"
        if ! grep --quiet --invert-match -e '^default' -e '^$' <<<"$routes"; then
            printf '%s\n' "$pool"
            return 0
        fi
    done
    return 1
}

# rules ACTION POOL: ACTION is -I or -D. Containers may reach other machines, for the packages that a build needs; the
# engine itself is kept from the packet filter, where it would throw another engine's rules away. Ports published on
# loopback pass through docker-proxy in any case.
rules() {
    iptables --wait --table nat "$1" POSTROUTING --source "$2.0.0/16" ! --destination "$2.0.0/16" \
        --match comment --comment "$ENGINE_COMMENT" --jump MASQUERADE \
        && iptables --wait "$1" FORWARD --source "$2.0.0/16" --match comment --comment "$ENGINE_COMMENT" --jump ACCEPT \
        && iptables --wait "$1" FORWARD --destination "$2.0.0/16" --match comment --comment "$ENGINE_COMMENT" --jump ACCEPT
}

# Pids of what the engine in a directory started: each names the directory.
engine_children() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        if { tr '\0' ' ' <"$file"; } 2>/dev/null | grep --quiet --fixed-strings -e "$1/exec"; then
            file="${file#/proc/}"
            printf '%s\n' "${file%/cmdline}"
        fi
    done
}

engine_is_gone() { ! is_live "$ENGINE_DIR/engine.pid"; }

# Ends an engine of ours, also one that an earlier run left behind, and puts back what it changed. KEEP_DATA=1 keeps
# images and build caches.
stop_engine() {
    local run pool forward pid device mount
    local -a ids=()
    [[ -r $ENGINE_DIR/engine.state ]] || return 0
    read -r run pool forward <"$ENGINE_DIR/engine.state"
    if pid="$(live_pid "$ENGINE_DIR/engine.pid")"; then
        # At once: the engine would give each ten seconds.
        mapfile -t ids < <(timeout 5 docker --host "unix://$run/docker.sock" ps --all --quiet 2>/dev/null)
        if [[ ${#ids[@]} -gt 0 ]]; then
            timeout "$ENGINE_STOP_DEADLINE_S" docker --host "unix://$run/docker.sock" rm --force --volumes "${ids[@]}" \
                >/dev/null 2>&1 || true # the engine's end ends them too
        fi
        # One that ended this moment cannot be signalled; that is fine here and below.
        kill -TERM "$pid" 2>/dev/null || true
        wait_until "$ENGINE_STOP_DEADLINE_S" engine_is_gone || kill -KILL "$pid" 2>/dev/null || true
    fi
    for pid in $(engine_children "$run"); do kill -KILL "$pid" 2>/dev/null || true; done
    while read -r mount; do
        umount --lazy "$mount" || warn "$mount is still mounted"
    done < <(awk '{ print $2 }' /proc/mounts | grep -e "^$run/" -e "^$ENGINE_DIR/data/" | sort --reverse)
    # Its own bridge, and those of networks that it had no time to remove.
    for device in $(ip -4 -oneline address show to "$pool.0.0/16" | awk '{ print $2 }'); do
        ip link delete "$device" 2>/dev/null || warn "network device $device could not be removed"
    done
    while rules -D "$pool" 2>/dev/null; do :; done
    if [[ $forward == 0 ]]; then echo 0 >/proc/sys/net/ipv4/ip_forward; fi
    rm -rf "$run"
    if [[ ${KEEP_DATA:-0} -eq 0 ]]; then rm -rf "${ENGINE_DIR:?}/data"; fi
    # Last: as long as it is there, the next run does all this once more.
    rm -f "$ENGINE_DIR/engine.state" "$ENGINE_DIR/engine.pid"
}

engine_is_up() { [[ -S $1/docker.sock ]] && docker --host "unix://$1/docker.sock" version >/dev/null 2>&1; }

engine_has_started_or_ended() { engine_is_up "$1" || engine_is_gone; }

# launch_engine RUN POOL DRIVER
launch_engine() {
    local run="$1" pool="$2"
    # A group of its own, out of reach of Ctrl-C; told to end when this script dies, however that happens. A namespace
    # of its own in case it finds a containerd of the machine.
    setsid setpriv --pdeathsig TERM dockerd --config-file "$run/daemon.json" --host "unix://$run/docker.sock" \
        --pidfile "$run/dockerd.pid" --data-root "$ENGINE_DIR/data" --exec-root "$run/exec" --group root \
        --storage-driver "$3" --bridge "$ENGINE_BRIDGE" --iptables=false \
        --default-address-pool "base=$pool.128.0/17,size=24" --containerd-namespace "$ENGINE_COMMENT" \
        --containerd-plugins-namespace "$ENGINE_COMMENT-plugins" </dev/null >>"$ENGINE_DIR/dockerd.log" 2>&1 &
    write_pid_file "$ENGINE_DIR/engine.pid" $! || return 1
    wait_until "$ENGINE_START_DEADLINE_S" engine_has_started_or_ended "$run" && engine_is_up "$run"
}

# start_engine: not in a subshell, whose end would be the engine's.
start_engine() {
    local run pool driver
    is_root || die "an engine of our own needs root"
    need_cmd dockerd "scripts/setup.sh --test docker installs it"
    need_cmd iptables "scripts/setup.sh --test docker installs it"
    mkdir -p "$ENGINE_DIR"
    stop_engine
    pool="$(free_pool)" || die "no free network for an engine: ${ENGINE_POOLS[*]} are all in use"
    # The paths of sockets are short by law.
    run="$(mktemp --directory /tmp/tinyolly-engine.XXXXXX)"
    cleanup_push stop_engine
    printf '%s %s %s\n' "$run" "$pool" "$(</proc/sys/net/ipv4/ip_forward)" >"$ENGINE_DIR/engine.state"
    # Not the machine's /etc/docker/daemon.json.
    printf '{}\n' >"$run/daemon.json"
    : >"$ENGINE_DIR/dockerd.log"
    if ! ip link add "$ENGINE_BRIDGE" type bridge || ! ip address add "$pool.0.1/24" dev "$ENGINE_BRIDGE" \
        || ! ip link set "$ENGINE_BRIDGE" up || ! rules -I "$pool"; then
        die "no network for an engine; the messages are above"
    fi
    for driver in overlay2 vfs; do
        if launch_engine "$run" "$pool" "$driver"; then
            export DOCKER_HOST="unix://$run/docker.sock"
            ENGINE_IS_OURS=1
            say "Docker $(docker version --format '{{.Server.Version}}') of our own ($driver, data in $ENGINE_DIR/data)"
            return 0
        fi
        warn "no engine with $driver: $(tail -n 1 "$ENGINE_DIR/dockerd.log")"
        engine_is_gone || break # it hangs, and would with another driver too
    done
    die "no engine could be started; see $ENGINE_DIR/dockerd.log"
}

# use_engine auto|own|running
use_engine() {
    local objection
    if [[ $1 != own ]]; then
        if ! engine_answers; then
            objection="none answers"
        else
            objection="$(engine_objection)"
        fi
        if [[ -z $objection ]]; then
            say "using the engine that runs: Docker $(docker version --format '{{.Server.Version}}')"
            return 0
        fi
        [[ $1 == auto ]] || die "the engine that runs cannot be used: $objection"
        say "no engine that runs is used: $objection"
    fi
    start_engine
}

# --- the base image ---------------------------------------------------------------------------------------------

# Takes the image from the registry, or makes the same of Debian's packages where no registry can be reached.
ensure_base_image() {
    if docker image inspect "$BASE_IMAGE" >/dev/null 2>&1; then
        say "base image $BASE_IMAGE: there already"
    elif timeout "$BASE_PULL_DEADLINE_S" docker pull --quiet "$BASE_IMAGE" >/dev/null 2>&1 </dev/null; then
        say "base image $BASE_IMAGE: PULLED"
    else
        make_base_image || return 1
        BASE_IS_OURS=1
        say "base image $BASE_IMAGE: could not be pulled; MADE WITH DEBOOTSTRAP from $DEBIAN_MIRROR"
    fi
}

make_base_image() {
    local root="$ENGINE_DIR/base" certificates=/usr/local/share/ca-certificates
    have debootstrap || { warn "debootstrap is missing; scripts/setup.sh --test docker installs it" && return 1; }
    # A debootstrap that was killed leaves mounts.
    umount --recursive --lazy "$root/proc" "$root/sys" 2>/dev/null || true # none
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --keyring="$DEBIAN_KEYRING" "$BASE_SUITE" "$root" "$DEBIAN_MIRROR" \
        >"$ENGINE_DIR/debootstrap.log" 2>&1 || {
        warn "debootstrap failed: $(tail -n 1 "$ENGINE_DIR/debootstrap.log")"
        return 1
    }
    rm -f "$root/etc/apt/sources.list"
    # As in the official image; the compiler comes from the security suite.
    cat >"$root/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: $DEBIAN_MIRROR
Suites: $BASE_SUITE $BASE_SUITE-updates
Components: main
Signed-By: $DEBIAN_KEYRING

Types: deb
URIs: ${DEBIAN_MIRROR%/debian}/debian-security
Suites: $BASE_SUITE-security
Components: main
Signed-By: $DEBIAN_KEYRING
SOURCES
    # For networks that inspect TLS: the package ca-certificates takes them up when it is installed.
    if compgen -G "$certificates/*.crt" >/dev/null; then
        mkdir -p "$root$certificates"
        cp --dereference "$certificates"/*.crt "$root$certificates/"
    fi
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb "$root"/var/log/*.log
    tar --create --one-file-system --directory "$root" . | docker import - "$BASE_IMAGE" >/dev/null || return 1
    rm -rf "$root"
}
