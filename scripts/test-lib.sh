#!/usr/bin/env bash
# What test.sh and docker-test.sh share beside lib.sh. Sourced, never run.

# Ids of the BPF programs that a process holds, by its descriptors of programs and links.
bpf_programs_of() { sed -nE 's/^prog_id:[[:space:]]*//p' /proc/"$1"/fdinfo/* 2>/dev/null | sort -u; }

# Whether none of the programs is loaded any more. The kernel does not give an id again soon.
programs_are_gone() {
    local id
    for id in "$@"; do
        if bpftool prog show id "$id" >/dev/null 2>&1; then return 1; fi
    done
}
