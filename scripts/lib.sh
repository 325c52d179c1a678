# Functions for all scripts: messages, installing packages, processes that end with the script, and images made with
# tar, gzip and curl. Sourced with bash; expects `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# --- words ----------------------------------------------------------------------------------------------------------

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ -z "${CI:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Shows a command as one would type it, then runs it.
show() {
    printf '%s$ %s%s\n' "$bold" "${*//"$binary"/bundle}" "$plain"
    "$@"
}
binary='no program yet'

# --- installing -----------------------------------------------------------------------------------------------------

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo && sudo -n true 2>/dev/null; then sudo "$@"; else return 1; fi
}

# need COMMAND PACKAGE [COMMAND PACKAGE]…: installs the Debian packages of commands that are missing; fails when that
# cannot be done. Daemons that come with a package are not started.
need() {
    local missing=() commands=()
    while [ $# -gt 0 ]; do
        have "$1" || { missing+=("$2"); commands+=("$1"); }
        shift 2
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    note "missing here: ${commands[*]}"
    have apt-get || { note "no apt-get; install these first: ${missing[*]}"; return 1; }
    as_root true || { note "not root; install these first: apt-get install ${missing[*]}"; return 1; }
    note "installing ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -20 "$log"
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    hash -r
}

# A Rust toolchain, and the C compiler that some crates need.
need_rust() {
    have cargo || PATH=$PATH:$HOME/.cargo/bin
    have cargo || die "no Rust toolchain; see https://rustup.rs"
    have cc || need cc gcc ld binutils || die "a C compiler is needed (zstd and ring are built from C)"
}

# Where cargo puts what it builds.
target_dir() { echo "${CARGO_TARGET_DIR:-$root/target}"; }

# --- processes ------------------------------------------------------------------------------------------------------

started=()

# start LOG COMMAND…: runs a command in the background until the script ends.
start() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
    started+=($!)
}

stop_all() {
    local pid
    for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
    for pid in ${started[@]+"${started[@]}"}; do wait "$pid" 2>/dev/null || true; done
    started=()
}

# wait_for WHAT COMMAND…: until the command succeeds; twenty seconds at most.
wait_for() {
    local what=$1 tries=0
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { tail -n 5 "$work"/*.log; die "$what did not come up"; }
        sleep 0.1
    done
}

# serve NAME ARGUMENTS…: starts the embedded registry on a free port; its address is in $served afterwards.
serve() {
    local name=$1
    shift
    rm -f "$work/$name.address"
    start "$work/$name.log" "$binary" serve "$@" --address 127.0.0.1:0 --address-file "$work/$name.address"
    wait_for "the registry '$name'" test -s "$work/$name.address"
    served=$(cat "$work/$name.address")
}

# --- images ---------------------------------------------------------------------------------------------------------

sha256() { if have sha256sum; then sha256sum "$1" | cut -d' ' -f1; else shasum -a 256 "$1" | cut -d' ' -f1; fi; }
size_of() { wc -c <"$1" | tr -d ' '; }

oci_index=application/vnd.oci.image.index.v1+json
oci_manifest=application/vnd.oci.image.manifest.v1+json
oci_config=application/vnd.oci.image.config.v1+json
oci_layer=application/vnd.oci.image.layer.v1.tar
docker_manifest=application/vnd.docker.distribution.manifest.v2+json
docker_config=application/vnd.docker.container.image.v1+json
docker_layer=application/vnd.docker.image.rootfs.diff.tar

# layer FILE FOLDER [plain]: the folder as a layer. Leaves FILE (gzip, unless plain) and FILE.diffid.
layer() {
    tar -C "$2" -cf "$1.tar" .
    echo "sha256:$(sha256 "$1.tar")" >"$1.diffid"
    if [ "${3:-}" = plain ]; then
        mv "$1.tar" "$1"
        touch "$1.plain"
    else
        gzip -n -6 <"$1.tar" >"$1"
        rm "$1.tar"
    fi
}

# stuff FILE KILOBYTES: a file that compresses about as well as programs do.
stuff() {
    head -c "$(($2 * 384))" /dev/urandom >"$1"
    head -c "$(($2 * 192))" /dev/urandom | od -An -tx1 -v | tr -d ' \n' >>"$1"
    head -c "$(($2 * 256))" /dev/zero >>"$1"
}

# push_blob REGISTRY/REPOSITORY FILE
push_blob() {
    local base="http://${1%%/*}" path=${1#*/} digest location joint
    digest=sha256:$(sha256 "$2")
    if curl -fsSI -o /dev/null "$base/v2/$path/blobs/$digest" 2>/dev/null; then return; fi
    location=$(curl -fsS -X POST -H 'Content-Length: 0' -D - -o /dev/null "$base/v2/$path/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    case $location in http*) ;; *) location=$base$location ;; esac
    case $location in *\?*) joint='&' ;; *) joint='?' ;; esac
    curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' -T "$2" "$location${joint}digest=$digest"
}

# push_manifest REGISTRY/REPOSITORY TAG-OR-DIGEST FILE TYPE
push_manifest() {
    curl -fsS -o /dev/null -X PUT -H "Content-Type: $4" -T "$3" "http://${1%%/*}/v2/${1#*/}/manifests/$2"
}

# image NAME ARCHITECTURE LAYER…: makes $work/images/NAME.{json,config} of layers that `layer` made. With
# docker=1 in front it is a Docker image of the older kind (schema 2), else an OCI one.
image() {
    local name=$1 arch=$2 file diffs='' descs='' kind=$oci_manifest config_type=$oci_config layer_type=$oci_layer
    shift 2
    mkdir -p "$work/images"
    if [ -n "${docker:-}" ]; then
        kind=$docker_manifest config_type=$docker_config layer_type=$docker_layer
    fi
    for file in "$@"; do
        local zip=+gzip
        if [ -n "${docker:-}" ]; then zip=.gzip; fi
        if [ -e "$file.plain" ]; then zip=''; elif [ -e "$file.zstd" ]; then zip=+zstd; fi
        diffs+="${diffs:+,}\"$(cat "$file.diffid")\""
        descs+="${descs:+,}{\"mediaType\":\"$layer_type$zip\",\"size\":$(size_of "$file"),\"digest\":\"sha256:$(sha256 "$file")\"}"
    done
    printf '{"architecture":"%s","os":"linux","config":{"Cmd":["/bin/app"],"Labels":{"name":"%s"}},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
        "$arch" "$name" "$diffs" >"$work/images/$name.config"
    printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","size":%s,"digest":"sha256:%s"},"layers":[%s]}' \
        "$kind" "$config_type" "$(size_of "$work/images/$name.config")" "$(sha256 "$work/images/$name.config")" "$descs" \
        >"$work/images/$name.json"
    echo "$kind" >"$work/images/$name.type"
    printf '%s\n' "$@" >"$work/images/$name.layers"
}

# push_image NAME REGISTRY/REPOSITORY [TAG]: without a tag by digest alone.
push_image() {
    local name=$1 file
    while read -r file; do push_blob "$2" "$file"; done <"$work/images/$name.layers"
    push_blob "$2" "$work/images/$name.config"
    push_manifest "$2" "${3:-sha256:$(sha256 "$work/images/$name.json")}" "$work/images/$name.json" \
        "$(cat "$work/images/$name.type")"
}

# push_index REGISTRY/REPOSITORY TAG NAME:ARCHITECTURE…: one index over images that `image` made.
push_index() {
    local place=$1 tag=$2 item descs=''
    shift 2
    for item in "$@"; do
        push_image "${item%:*}" "$place"
        descs+="${descs:+,}{\"mediaType\":\"$oci_manifest\",\"size\":$(size_of "$work/images/${item%:*}.json"),\"digest\":\"sha256:$(sha256 "$work/images/${item%:*}.json")\",\"platform\":{\"architecture\":\"${item#*:}\",\"os\":\"linux\"}}"
    done
    printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}' "$oci_index" "$descs" >"$work/images/index.json"
    push_manifest "$place" "$tag" "$work/images/index.json" "$oci_index"
}

# digest_of REGISTRY/REPOSITORY TAG: what a registry says the tag is.
digest_of() {
    local place=$1 tag=$2
    curl -fsSI -H "Accept: $oci_index, $oci_manifest, $docker_manifest" \
        "${scheme:-http}://${place%%/*}/v2/${place#*/}/manifests/$tag" |
        tr -d '\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p'
}

# make_shop REGISTRY: a small application as it is found in the wild, in the registry. Two services on one base and
# one runtime, one image for two platforms, one small tool whose layer is not compressed. Names on stdout, one per
# line, without the registry.
make_shop() {
    local registry=$1 tree=$work/tree
    mkdir -p "$tree" "$work/layers"
    local arch
    for arch in amd64 arm64; do
        rm -rf "$tree"; mkdir -p "$tree/etc" "$tree/bin" "$tree/usr/lib"
        printf 'PRETTY_NAME="Shop Linux 12 (%s)"\n' "$arch" >"$tree/etc/os-release"
        stuff "$tree/bin/sh" 600; stuff "$tree/usr/lib/libc.so.6" 3000
        layer "$work/layers/base-$arch" "$tree"
        rm -rf "$tree"; mkdir -p "$tree/srv/www"
        stuff "$tree/srv/www/$arch.wasm" 1500; echo '<h1>shop</h1>' >"$tree/srv/www/index.html"
        layer "$work/layers/ui-$arch" "$tree"
    done
    rm -rf "$tree"; mkdir -p "$tree/opt/java/lib"
    stuff "$tree/opt/java/lib/modules" 9000
    layer "$work/layers/java" "$tree"
    local app
    for app in server worker; do
        rm -rf "$tree"; mkdir -p "$tree/app"
        stuff "$tree/app/$app.jar" 2000
        layer "$work/layers/$app" "$tree"
    done
    rm -rf "$tree"; mkdir -p "$tree/bin"
    stuff "$tree/bin/wait" 400
    layer "$work/layers/wait" "$tree" plain
    rm -rf "$tree"
    image server amd64 "$work/layers/base-amd64" "$work/layers/java" "$work/layers/server"
    docker=1 image worker amd64 "$work/layers/base-amd64" "$work/layers/java" "$work/layers/worker"
    image ui-amd64 amd64 "$work/layers/base-amd64" "$work/layers/ui-amd64"
    image ui-arm64 arm64 "$work/layers/base-arm64" "$work/layers/ui-arm64"
    image wait amd64 "$work/layers/wait"
    push_image server "$registry/shop/server" 2.4.0
    push_image worker "$registry/shop/worker" 2.4.0
    push_index "$registry/shop/ui" 2.4.0 ui-amd64:amd64 ui-arm64:arm64
    push_image wait "$registry/tools/wait" latest
    printf '%s\n' shop/server:2.4.0 shop/worker:2.4.0 shop/ui:2.4.0 tools/wait:latest
}
