#!/usr/bin/env bash
# bundle against the programs it must get on with: installs Debian's (as root), then runs the tests in tests/interop.
# The last lines give figures, what was skipped and why, and the counts.
#
#   scripts/interop.sh [PATTERN]        with Debian's tools, about a minute after the build
#   scripts/interop.sh --all [PATTERN]  also crane, oras, regctl, cosign 2 and 3, helm, distribution 3, zot, Gitea and the
#                                       distribution-spec's conformance suite (built with Go, where their modules can be
#                                       had), Pulp (from PyPI), and CHAOS_SECONDS (3600) of bad links, restarts and kills
#
# --write writes the versions that were tried into tests/COMPATIBILITY.md when no test failed.
# PATTERN is a part of the names of tests. BUNDLE names a program to test instead of the one that is built.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

all='' write=''
while :; do
    case ${1:-} in
        --all) all=1 ;;
        --write) write=1 ;;
        --*) die "no such option: $1" ;;
        *) break ;;
    esac
    shift
done
pattern=${1:-}
[ -z "${BUNDLE:-}" ] || { BUNDLE=$(realpath "$BUNDLE"); export BUNDLE; }

title "Tools"
# A test whose programs cannot be installed is skipped, or fails where CI is set.
need docker-registry docker-registry skopeo skopeo curl curl zstd zstd openssl openssl || true
need podman podman umoci umoci nginx nginx htpasswd apache2-utils containerd containerd dockerd docker.io python3 python3-venv || true
need mkfs.exfat exfatprogs mount.exfat-fuse exfat-fuse mkfs.vfat dosfstools || true
[ -z "$all" ] || need psql postgresql redis-server redis-server || true

# version PROGRAM: nothing where it is missing.
version() {
    have "$1" || return 0
    case $1 in
        nginx) nginx -v 2>&1 ;;
        openssl) openssl version ;;
        *) "$1" --version ;;
    esac | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -1
}
versions=()
for program in docker-registry skopeo podman umoci nginx containerd dockerd zstd openssl; do
    number=$(version "$program")
    [ -z "$number" ] || versions+=("${program/dockerd/docker} $number")
done
versions=$(printf '%s, ' "${versions[@]}")
note "${versions%, }"

title "Tests"
need_rust
cd "$root"
arguments=()
[ -z "$all" ] || arguments+=(--include-ignored)
[ -z "$pattern" ] || arguments+=("$pattern")
cargo test --locked --test interop -- "${arguments[@]}"

# The versions that were tried, between the marks of tests/COMPATIBILITY.md.
if [ -n "$write" ] && [ -z "$pattern" ]; then
    page=tests/COMPATIBILITY.md
    written=$(
        sed '/^<!-- versions -->$/q' "$page"
        printf '%s, %s: %s.\n' "$(date +%F)" "$(. /etc/os-release && echo "$PRETTY_NAME, $(uname -m)")" "${versions%, }" |
            fold -s -w 120 | sed 's/ $//'
        sed -n '/^<!-- \/versions -->$/,$p' "$page"
    )
    printf '%s\n' "$written" >"$page"
    note "written: $page"
fi
