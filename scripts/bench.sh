#!/usr/bin/env bash
# Measures time, size and transferred bytes of this program, of comparable programs, and of the machine's limits.
#
#   scripts/bench.sh [ROUNDS [PART…]]      default: 9 rounds of every part, about three hours; c once
#
#   a        19 images of 1.7 GB through loopback registries: bundle, skopeo, crane, regctl, imgpkg, zarf, the limit
#   tls      the same with TLS on both sides, against the quickest peers
#   slow     the same over a link of 50 ms and 200 Mbit/s (bundle alone: the payload and the bandwidth are the measure)
#   b        2,000 images of 12 small layers, and the first 200 of them; import again of what is there
#   c        one image with a layer of 12 GiB: memory; an export that is killed in the middle and resumed
#
# The programs take turns in every round, and a different one begins each round. Everything is kept in $BENCH_DIR (default
# ~/.cache/bundle-bench, about 35 GB, 8 without part c): the corpora, the peers (built with Go at the versions below where
# it is there) and results.tsv. bench/table.py makes tables of it and writes them into bench/RESULTS.md; parts that were not
# run keep their tables. BUNDLE names a program to time instead of building one. As root it runs in a network namespace of
# its own, so that the bytes on the loopback are its own.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
bench=$root/scripts/bench
. "$bench/corpora.sh"

rounds=${1:-9}
shift || true
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(a tls slow b c)
data=${BENCH_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/bundle-bench}
work=$data
tools=$data/tools
run=$data/run
raw=$data/results.tsv
trap 'stop_all; rm -rf "$run"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the peers ------------------------------------------------------------------------------------------------------

# peer NAME MODULE@VERSION PACKAGE [TAGS]: built in a copy of its module, because the list of versions that `go install`
# asks for is not served by every proxy.
peer() {
    [ ! -x "$tools/$1" ] || return 0
    local module
    module=$(cd / && GOTOOLCHAIN=local go mod download -json "$2" 2>/dev/null | jq -r .Dir)
    [ -d "$module" ] || { note "$1: $2 cannot be had; left out"; return 0; }
    rm -rf "$data/peer"
    cp -r "$module" "$data/peer"
    chmod -R u+w "$data/peer"
    (cd "$data/peer" && GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0 go build -tags "${4:-}" -o "$tools/$1" "$3") >"$data/peer.log" 2>&1 ||
        note "$1: cannot be built ($(tail -1 "$data/peer.log")); left out"
    rm -rf "$data/peer"
}
make_peers() {
    mkdir -p "$tools"
    have go || { note "no Go here: peers that are built with it are left out, layers are compressed by gzip"; return 0; }
    # The checksum data base does not know every version the proxy has.
    GONOSUMDB=github.com/containers/skopeo peer skopeo github.com/containers/skopeo@v1.19.0 ./cmd/skopeo \
        'exclude_graphdriver_btrfs exclude_graphdriver_devicemapper containers_image_openpgp'
    peer crane github.com/google/go-containerregistry@v0.22.1 ./cmd/crane
    peer regctl github.com/regclient/regclient@v0.11.7 ./cmd/regctl
    peer imgpkg carvel.dev/imgpkg@v0.46.1 ./cmd/imgpkg
    peer zarf github.com/zarf-dev/zarf@v0.65.0 .
    (cd "$bench/encode" && GOTOOLCHAIN=local go build -o "$tools/encode" .)
}
# peers NAME…: those of them that are here.
peers() {
    local name
    for name in "$@"; do
        case $name in bundle | limit | skopeo_debian) echo "$name" ;; *) [ ! -x "$tools/$name" ] || echo "$name" ;; esac
    done
}

# --- registries and links -------------------------------------------------------------------------------------------

# registry NAME: Debian's, over $scheme, with its data in $data/NAME.data; its address is in $served afterwards.
registry() {
    local tls=''
    [ "$scheme" = http ] || tls=", tls: {certificate: $data/tls.crt, key: $data/tls.key}"
    cat >"$data/$1.yml" <<END
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $data/$1.data}}
http: {addr: "127.0.0.1:0"$tls}
END
    : >"$data/$1.log"
    start "$data/$1.log" docker-registry serve "$data/$1.yml"
    wait_for "docker-registry '$1'" grep -q 'listening on' "$data/$1.log"
    served=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$data/$1.log" | head -1)
}
# slowly: $served from now on behind a link of 50 ms and 200 Mbit/s.
slowly() {
    : >"$data/link.address"
    python3 "$bench/link.py" "$served" 25 200 >"$data/link.address" 2>"$data/link.log" </dev/null &
    started+=($!)
    wait_for 'the slow link' test -s "$data/link.address"
    served=$(cat "$data/link.address")
}
# The last process that was started, ended.
stop_last() {
    kill "${started[-1]}"
    wait "${started[-1]}" 2>/dev/null || true
    unset 'started[-1]'
}
# An authority and a certificate of its for the registries. curl asks CURL_CA_BUNDLE first, everybody
# else SSL_CERT_FILE.
authority() {
    local make='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650'
    if [ ! -e "$data/tls.crt" ] || [ ! -e "$data/ca.crt" ]; then
        $make -subj /CN=bench-authority -keyout "$data/ca.key" -out "$data/ca.crt" 2>/dev/null
        $make -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
            -CA "$data/ca.crt" -CAkey "$data/ca.key" -keyout "$data/tls.key" -out "$data/tls.crt" 2>/dev/null
    fi
    export SSL_CERT_FILE=$data/ca.crt CURL_CA_BUNDLE=$data/ca.crt
}

# --- measuring ------------------------------------------------------------------------------------------------------

# timed PART ROUND WORKFLOW
timed() { python3 "$bench/measure.py" "$raw" "$1" "$2" "$run" "$3" "$bench/workflows.sh" "$3"; }

# fact PART NAME VALUE: what is not a measurement, in the same file.
fact() { printf 'fact\t%s\t%s\t%s\n' "$1" "$2" "$3" | tee -a "$raw"; }

# into_empty PART ROUND WORKFLOW: an import into a registry that has nothing. Says how many names have their digest after it.
into_empty() {
    rm -rf "$data/destination.data"
    registry destination
    [ "$1" != slow ] || slowly
    export destination=$served
    rm -rf "$run/unpacked" "$run/one" "$run/imgpkg.in.tar" "$run/zarf-package-bench-amd64-1.0.0.tar.zst"
    timed "$1" "$2" "$3"
    if [ "$2" = 1 ] && [ "$1" = a ]; then
        fact "$1" "kept_$3" "$(while read -r pin; do
            name=$(sed -n "s|^${pin%@*}:|&|p" "$names")
            [ "$(digest_of "$destination/${name%:*}" "${name##*:}" 2>/dev/null)" != "${pin#*@}" ] || echo kept
        done <"$pinned" | wc -l)"
    fi
    [ "$1" != slow ] || stop_last
    stop_last
    rm -rf "$data/destination.data" "$run/unpacked" "$run/one" "$run/imgpkg.in.tar"
}

# Every distinct blob of corpus A: where it is, and a file of it.
list_blobs() {
    local digest name file
    sed "s|^|$source/|" "$names" >"$run/list.txt"
    "$BUNDLE" export "$run/list.txt" -o "$run/bundle.tar.zst" --progress none >/dev/null
    "$BUNDLE" inspect "$run/bundle.tar.zst" --format json >"$run/inspect.json"
    jq -r '.bundle.blobs[] | select(.role == "layer" or .role == "config") | .digest' "$run/inspect.json" | sort -u >"$digests"
    fact "$part" payload "$(jq '[.bundle.blobs[].size] | add' "$run/inspect.json")"
    fact "$part" alone "$(jq '[.bundle.images[].size] | add' "$run/inspect.json")"
    fact "$part" images "$(wc -l <"$names")"
    fact "$part" blobs "$(wc -l <"$digests")"
    while read -r name; do echo "${name%:*}@$(digest_of "$source/${name%:*}" "${name##*:}")"; done <"$names" >"$pinned"
    # Any one repository that has the blob will do; the registry links blobs per repository.
    while read -r digest; do
        while read -r name; do
            if curl -fsI -o /dev/null "$scheme://$source/v2/${name%:*}/blobs/$digest"; then
                printf '%s %s://%s/v2/%s/blobs/%s\n' "${digest#*:}" "$scheme" "$source" "${name%:*}" "$digest"
                break
            fi
        done <"$names"
    done <"$digests" >"$urls"
    mkdir -p "$flat"
    for file in "$data"/layers/* "$data"/images/*.config; do
        case $file in *.diffid | *.zstd) continue ;; esac
        [ -e "$flat/sha256:$(sha256 "$file")" ] || ln "$file" "$flat/sha256:$(sha256 "$file")"
    done
    mkdir -p "$helpers"
    cat >"$helpers/download" <<'END'
#!/bin/bash
set -e
curl -fsS -o "$1/$2.part" "$3"
openssl dgst -sha256 "$1/$2.part" >/dev/null
mv "$1/$2.part" "$1/$2"
END
    cat >"$helpers/upload" <<END
#!/bin/bash
set -e
location=\$(curl -fsS -X POST -H 'Content-Length: 0' -D - -o /dev/null "$scheme://\$1/v2/limit/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' -T "$flat/\$2" "\$location&digest=\$2"
END
    cat >"$helpers/upload_patch" <<END
#!/bin/bash
set -e
place() { tr -d '\r' | sed -n 's/^[Ll]ocation: //p'; }
location=\$(curl -fsS -X POST -H 'Content-Length: 0' -D - -o /dev/null "$scheme://\$1/v2/limit/blobs/uploads/" | place)
location=\$(curl -fsS -X PATCH -H 'Content-Type: application/octet-stream' -D - -o /dev/null -T "$flat/\$2" "\$location" | place)
curl -fsS -o /dev/null -X PUT -H 'Content-Length: 0' "\$location&digest=\$2"
END
    chmod +x "$helpers"/*
}

# --- the parts ------------------------------------------------------------------------------------------------------

open_a() {
    rm -rf "$run"
    mkdir -p "$run"
    registry source
    export source=$served names=$data/a.names
    fill_a
    list_blobs
    rm -f "$run"/*.tar.zst*
}

# in_turn ROUND NAMES…: the names, another one first in each round. Whoever comes first after the exports finds the memory
# and the disk as they left it.
in_turn() {
    local skip=$((($1 - 1) % ($# - 1)))
    shift
    printf '%s\n' "${@:skip + 1}" "${@:1:skip}"
}

# rounds_of PART WORKFLOWS…: export of each, then import of each, and verify; so often.
rounds_of() {
    local part=$1 round name
    shift
    for round in $(seq "$rounds"); do
        rm -rf "${run:?}"/*
        for name in $(in_turn "$round" "$@"); do
            timed "$part" "$round" "export_$name"
            [ ! -e "$run/$name.tar.zst" ] || [ "$round" != 1 ] || fact "$part" "archive_$name" "$(size_of "$run/$name.tar.zst")"
            find "$run" -mindepth 1 -maxdepth 1 ! -name '*.tar.zst*' ! -name list.txt -exec rm -rf {} +
        done
        for name in $(in_turn "$round" "$@" limit_patch); do into_empty "$part" "$round" "import_$name"; done
        timed "$part" "$round" verify_bundle
        timed "$part" "$round" verify_limit
    done
}

part_a() {
    export scheme=http
    open_a
    # shellcheck disable=SC2046
    rounds_of a $(peers bundle limit skopeo_debian skopeo crane regctl imgpkg zarf)
}

part_tls() {
    # The corpus goes into its registry in plain HTTP.
    export scheme=http
    open_a
    stop_all
    export scheme=https
    authority
    open_a
    # shellcheck disable=SC2046
    rounds_of tls $(peers bundle limit skopeo crane imgpkg)
    unset SSL_CERT_FILE CURL_CA_BUNDLE
}

part_slow() {
    export scheme=http
    open_a
    slowly
    export source=$served
    local round
    for round in $(seq "$rounds"); do
        rm -f "$run"/*.tar.zst*
        timed slow "$round" export_bundle
        into_empty slow "$round" import_bundle
    done
}

part_b() {
    export scheme=http
    rm -rf "$run"
    mkdir -p "$run"
    registry b
    export source=$served
    fill_b
    head -200 "$data/b.names" >"$data/b200.names"
    local round size
    for round in $(seq "$rounds"); do
        for size in b200 b; do
            export names=$data/$size.names
            rm -rf "${run:?}"/* "$data/destination.data"
            timed $size "$round" export_bundle
            registry destination
            export destination=$served
            timed $size "$round" import_bundle
            timed $size "$round" reimport_bundle
            slowly
            export destination=$served
            timed $size-slow "$round" reimport_bundle
            stop_last
            stop_last
        done
    done
    rm -rf "$data/destination.data"
}

part_c() {
    export scheme=http
    rm -rf "$run"
    mkdir -p "$run"
    registry c
    export source=$served names=$data/c.names
    fill_c
    timed c 1 export_bundle
    fact c archive "$(size_of "$run/bundle.tar.zst")"
    into_empty c 1 import_bundle
    rm -f "$run"/*.tar.zst*
    # Killed when half of it has come; what the second run moves is counted.
    local began half=$((6 << 30))
    loopback() { awk '$1 == "lo:" { print $2 }' /proc/net/dev; }
    began=$(loopback)
    "$bench/workflows.sh" export_bundle >/dev/null 2>&1 &
    until [ $(($(loopback) - began)) -ge $half ]; do sleep 0.1; done
    pkill -9 -f "^$BUNDLE export $run/list.txt" || die "the export was over before half of it had come"
    wait $! || true
    fact c moved_before_kill $(($(loopback) - began))
    timed c-resumed 1 export_bundle
}

# --- all of it ------------------------------------------------------------------------------------------------------

if [ -z "${BENCH_INSIDE:-}" ]; then
    title "Building"
    mkdir -p "$data"
    need_rust
    need docker-registry docker-registry skopeo skopeo curl curl jq jq zstd zstd openssl openssl ip iproute2 python3 python3 || exit 1
    if [ -z "${BUNDLE:-}" ]; then BUNDLE=$("$root/scripts/release.sh"); fi
    BUNDLE=$(realpath "$BUNDLE")
    export BUNDLE
    make_peers
    make_corpus_a
    if [ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null; then
        BENCH_INSIDE=1 unshare -n bash -c 'ip link set lo up && exec "$@"' - "$0" "$rounds" "${parts[@]}"
        exit
    fi
    note "the loopback is shared with others here: bytes on the wire may be too many"
fi
binary=$BUNDLE
export tools run flat=$data/flat urls=$data/urls digests=$data/digests pinned=$data/pinned helpers=$data/helpers

for part in "${parts[@]}"; do
    title "Part $part"
    # Older figures of this part go; those of others stay beside the new ones.
    [ ! -e "$raw" ] || awk -F'\t' -v p="$part" '{ k = $1 == "fact" ? $2 : $1; sub(/^b.*/, "b", k); sub(/^c.*/, "c", k); if (k != p) print }' "$raw" >"$raw.new"
    [ ! -e "$raw.new" ] || mv "$raw.new" "$raw"
    fact "$part" machine "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(free -g | awk '/^Mem/ { print $2 " GiB" }')"
    fact "$part" program "$("$BUNDLE" --version)"
    fact "$part" date "$(date +%F)"
    "part_$part"
    stop_all
done
python3 "$bench/table.py" "$raw" "$bench/RESULTS.md" | tee "$data/results.md"
note
note "kept: $data/results.md, $data/results.tsv"
