#!/usr/bin/env bash
# Export and import of about 1 GB in a loopback docker-registry, timed against Debian's skopeo + tar + zstd and against
# what the machine can do at all (curl in parallel, and the hashes). Prints a table; raw figures stay beside it.
#
#   scripts/bench.sh [ROUNDS]      default 5; the three take turns in every round; medians are quoted
#
# Data lives in $BENCH_DIR (default ~/.cache/bundle-bench, about 6 GB). BUNDLE names a program to time instead of
# building one. As root it runs in a network namespace of its own, so that bytes on the loopback are its own.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

rounds=${1:-5}
data=${BENCH_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/bundle-bench}
work=$data
mkdir -p "$data/packages" "$data/layers"
trap 'stop_all; rm -rf "$data/run"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the corpus -----------------------------------------------------------------------------------------------------

# NAME PACKAGE…: what each layer is made of. The packages' own files, as any image made of Debian has them.
recipes() {
    cat <<END
base libc6 coreutils bash perl-base dpkg apt libapt-pkg6.0 libssl3 openssl tar gzip util-linux libstdc++6 tzdata libpython3.11-stdlib python3.11-minimal git perl-modules-5.36 libicu72
base-other libc6-dbg libgnutls30 libglib2.0-0 locales
jre openjdk-17-jre-headless
llvm libllvm14 libclang-cpp14
go golang-1.19-go golang-1.19-src
rust libstd-rust-dev
chromium chromium
firefox firefox-esr
office libreoffice-core
kernel $(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
gcc gcc-12 cpp-12 g++-12
postgres postgresql-15 libpq5
docker docker.io containerd
node libnode108
qemu qemu-system-x86 qemu-system-common
jmods openjdk-17-jdk-headless
source openjdk-17-source
fonts fonts-noto-cjk
help libreoffice-help-en-us libreoffice-common
END
}

make_corpus() {
    [ ! -e "$data/corpus.done" ] || return 0
    title "The corpus: layers from Debian packages (once)"
    need dpkg-deb dpkg apt-get apt || die "this needs Debian"
    local name packages package tree=$data/tree
    as_root apt-get update -q >/dev/null || true
    recipes | while read -r name packages; do
        [ ! -e "$data/layers/$name.diffid" ] || continue
        rm -rf "$tree"
        mkdir -p "$tree"
        for package in $packages; do
            (cd "$data/packages" && apt-get download -q "$package") >/dev/null 2>&1 </dev/null || {
                note "$package cannot be had; left out"
                continue
            }
            dpkg-deb -x "$data/packages/${package}"_*.deb "$tree"
            rm "$data/packages/${package}"_*.deb
        done
        layer "$data/layers/$name" "$tree"
        printf '%-12s %5s MB\n' "$name" $(($(size_of "$data/layers/$name") / 1000000))
        rm -rf "$tree"
    done
    local l=$data/layers app
    for app in postgres docker gcc kernel qemu office firefox chromium go rust llvm; do
        image "$app" amd64 "$l/base" "$l/$app"
    done
    image build amd64 "$l/base" "$l/gcc" "$l/llvm"
    image server amd64 "$l/base" "$l/jre" "$l/jmods"
    image worker amd64 "$l/base" "$l/jre" "$l/source"
    image search amd64 "$l/base" "$l/jre" "$l/help"
    image ui-amd64 amd64 "$l/base" "$l/node" "$l/fonts"
    image ui-arm64 arm64 "$l/base-other" "$l/node" "$l/fonts"
    touch "$data/corpus.done"
}

fill_source() {
    [ ! -e "$data/source.done" ] || return 0
    title "Into the source registry (once)"
    local name
    : >"$data/names"
    for name in postgres docker gcc kernel qemu office firefox chromium go rust llvm build server worker search; do
        push_image $name "$source/bench/$name" 1
        echo "bench/$name:1" >>"$data/names"
    done
    push_index "$source/bench/ui" 1 ui-amd64:amd64 ui-arm64:arm64
    echo "bench/ui:1" >>"$data/names"
    touch "$data/source.done"
}

# --- the workflows --------------------------------------------------------------------------------------------------

# registry NAME: as in the interoperation checks, but with its data in the bench's folder.
registry() {
    cat >"$data/$1.yml" <<END
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $data/$1.data}}
http: {addr: "127.0.0.1:0"}
END
    : >"$data/$1.log"
    start "$data/$1.log" docker-registry serve "$data/$1.yml"
    wait_for "docker-registry '$1'" grep -q 'listening on' "$data/$1.log"
    served=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$data/$1.log" | head -1)
}

now() { date +%s.%N; }
loopback() { awk '$1 == "lo:" { print $2 }' /proc/net/dev; }

# timed WORKFLOW: runs the function, adds "workflow seconds rss-kB loopback-bytes" to the raw figures.
timed() {
    sync
    rm -f "$data/run/rss"
    local began ended bytes
    bytes=$(loopback)
    began=$(now)
    "$1"
    ended=$(now)
    printf '%s\t%s\t%s\t%s\n' "$1" "$(echo "$ended $began" | awk '{ printf "%.3f", $1 - $2 }')" \
        "$(sort -n "$data/run/rss" 2>/dev/null | tail -1)" $(($(loopback) - bytes)) | tee -a "$data/run.tsv"
}

# measured COMMAND…: the command, its peak memory noted.
measured() { /usr/bin/time -a -o "$data/run/rss" -f %M "$@"; }

export_bundle() { measured "$binary" export "$data/list.txt" -o "$data/run/ours.tar.zst" --progress none >/dev/null; }
import_bundle() {
    measured "$binary" import "$data/run/ours.tar.zst" -d "$destination" --values "$data/run/values.yaml" --force --progress none >/dev/null
}

export_skopeo() {
    local name
    while read -r name; do
        measured skopeo --insecure-policy copy -q --all --src-tls-verify=false "docker://$source/$name" "oci:$data/run/layout:$name"
    done <"$data/names"
    tar -C "$data/run/layout" -cf - . | measured zstd -q -T0 -3 -o "$data/run/skopeo.tar.zst"
}
import_skopeo() {
    local name
    mkdir "$data/run/unpacked"
    measured zstd -q -dc "$data/run/skopeo.tar.zst" | tar -C "$data/run/unpacked" -xf -
    while read -r name; do
        measured skopeo --insecure-policy copy -q --all --dest-tls-verify=false "oci:$data/run/unpacked:$name" "docker://$destination/$name"
    done <"$data/names"
}

# Every distinct blob to a file, four at once, a hash of each as soon as it is there, and one hash over all that follows.
export_limit() {
    mkdir "$data/run/blobs"
    local pid hex
    cut -d' ' -f1 "$data/urls" | while read -r hex; do
        until [ -e "$data/run/blobs/$hex" ]; do sleep 0.02; done
        cat "$data/run/blobs/$hex"
    done | openssl dgst -sha256 >/dev/null &
    pid=$!
    xargs -n 2 -P 4 "$data/download" "$data/run/blobs" <"$data/urls"
    wait $pid
}
# Every distinct blob to the destination, four at once, into one repository; no manifests.
import_limit() { xargs -n 1 -P 4 "$data/upload" "$destination" <"$data/digests"; }

# --- all of it ------------------------------------------------------------------------------------------------------

if [ -z "${BENCH_INSIDE:-}" ]; then
    title "Building"
    need_rust
    need docker-registry docker-registry skopeo skopeo curl curl jq jq zstd zstd openssl openssl ip iproute2 || exit 1
    [ -x /usr/bin/time ] || need /usr/bin/time time || exit 1
    if [ -z "${BUNDLE:-}" ]; then (cd "$root" && cargo build --release --locked --bin bundle); fi
    BUNDLE=$(realpath "${BUNDLE:-$(target_dir)/release/bundle}")
    export BUNDLE
    make_corpus
    if [ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null; then
        BENCH_INSIDE=1 unshare -n bash -c 'ip link set lo up && exec "$@"' - "$0" "$rounds"
        exit
    fi
    note "the loopback is shared with others here: bytes on the wire may be too many"
fi
binary=$BUNDLE

rm -rf "$data/run"
mkdir -p "$data/run"
registry source
source=$served
fill_source
sed "s|^|$source/|" "$data/names" >"$data/list.txt"

# What is to be moved: every distinct blob once.
"$binary" export "$data/list.txt" -o "$data/run/ours.tar.zst" --progress none >/dev/null
"$binary" inspect "$data/run/ours.tar.zst" --format json >"$data/run/inspect.json"
jq -r '.bundle.blobs[] | select(.role == "layer" or .role == "config") | .digest' "$data/run/inspect.json" | sort -u >"$data/digests"
payload=$(jq '[.bundle.blobs[].size] | add' "$data/run/inspect.json")
alone=$(jq '[.bundle.images[].size] | add' "$data/run/inspect.json")
# Any one repository that has the blob will do; the registry links blobs per repository.
: >"$data/urls"
while read -r digest; do
    while read -r name; do
        if curl -fsI -o /dev/null "http://$source/v2/${name%:*}/blobs/$digest"; then
            printf '%s http://%s/v2/%s/blobs/%s\n' "${digest#*:}" "$source" "${name%:*}" "$digest" >>"$data/urls"
            break
        fi
    done <"$data/names"
done <"$data/digests"
mkdir -p "$data/flat"
for file in "$data"/layers/* "$data"/images/*.config; do
    case $file in *.diffid) continue ;; esac
    [ -e "$data/flat/sha256:$(sha256 "$file")" ] || ln "$file" "$data/flat/sha256:$(sha256 "$file")"
done
cat >"$data/download" <<'END'
#!/bin/bash
set -e
curl -fsS -o "$1/$2.part" "$3"
openssl dgst -sha256 "$1/$2.part" >/dev/null
mv "$1/$2.part" "$1/$2"
END
cat >"$data/upload" <<END
#!/bin/bash
set -e
location=\$(curl -fsS -X POST -H 'Content-Length: 0' -D - -o /dev/null "http://\$1/v2/limit/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' -T "$data/flat/\$2" "\$location&digest=\$2"
END
chmod +x "$data/download" "$data/upload"
rm -f "$data/run/"*.tar.zst*

# into_empty WORKFLOW: an import into a registry that has nothing.
into_empty() {
    rm -rf "$data/destination.data"
    registry destination
    destination=$served
    timed "$1"
    kill "${started[-1]}"
    wait "${started[-1]}" 2>/dev/null || true
    unset 'started[-1]'
    rm -rf "$data/destination.data"
}

title "$rounds rounds"
: >"$data/run.tsv"
for _ in $(seq "$rounds"); do
    rm -rf "$data/run/"*.tar.zst* "$data/run/layout" "$data/run/blobs"
    timed export_bundle
    timed export_skopeo
    rm -rf "$data/run/layout"
    timed export_limit
    rm -rf "$data/run/blobs"
    into_empty import_bundle
    into_empty import_skopeo
    rm -rf "$data/run/unpacked"
    into_empty import_limit
done

# Peak disk, untimed: how much the folder holds at most while the workflow runs, the finished archive included.
peak() {
    local most=0 size
    "$1" &
    local pid=$!
    while kill -0 $pid 2>/dev/null; do
        size=$(du -sk "$data/run" | cut -f1)
        [ "$size" -le "$most" ] || most=$size
        sleep 0.05
    done
    wait $pid
    echo $((most / 1024))
}
rm -rf "$data/run/"*.tar.zst* "$data/run/layout"
disk_ours=$(peak export_bundle)
archive_ours=$(size_of "$data/run/ours.tar.zst")
rm -rf "$data/run/"*.tar.zst*
disk_skopeo=$(peak export_skopeo)
archive_skopeo=$(size_of "$data/run/skopeo.tar.zst")

median() { awk -F'\t' -v w="$1" -v c="$2" '$1 == w { print $c }' "$data/run.tsv" | sort -n | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
range() { awk -F'\t' -v w="$1" '$1 == w { print $2 }' "$data/run.tsv" | sort -n | sed -n '1p;$p' | paste -sd- | sed 's/\([0-9]*\.[0-9]\)[0-9]*/\1/g'; }
row() {
    local rss
    rss=$(median "$1" 3)
    printf '| %s | %.2f (%s) | %s | %s | %s |\n' "$2" "$(median "$1" 2)" "$(range "$1")" "$3" \
        "${rss:+$((${rss%.*} / 1024)) MiB}" "$(median "$1" 4 | awk '{ printf "%.0f MB", $1 / 1e6 }')"
}
ratio() { echo "$(median "$1" 2) $(median "$2" 2)" | awk '{ printf "%.2f", $1 / $2 }'; }
{
    printf '%s, %s cores, %s; %s, docker-registry and skopeo of Debian (%s); %s rounds, medians (min-max); %s\n\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(free -g | awk '/^Mem/ { print $2 " GiB" }')" \
        "$("$binary" --version)" "$(skopeo --version)" "$rounds" "$(date +%F)"
    printf '%s images, %s distinct blobs, %s MB (%s MB if each image were carried alone); client and registries share the cores\n\n' \
        "$(wc -l <"$data/names" | tr -d ' ')" "$(wc -l <"$data/digests" | tr -d ' ')" $((payload / 1000000)) $((alone / 1000000))
    echo '| | seconds | peak disk | peak memory | loopback |'
    echo '|---|---|---|---|---|'
    row export_bundle "export: bundle" "$disk_ours MiB"
    row export_skopeo "export: skopeo, tar, zstd" "$disk_skopeo MiB"
    row export_limit "export: curl and hashes only" ""
    row import_bundle "import: bundle" "0"
    row import_skopeo "import: zstd, tar, skopeo" "the layout again"
    row import_limit "import: curl only" ""
    printf '\nexport: %s x the limit, skopeo takes %s x as long; import: %s x the limit, skopeo takes %s x as long\n' \
        "$(ratio export_bundle export_limit)" "$(ratio export_skopeo export_bundle)" \
        "$(ratio import_bundle import_limit)" "$(ratio import_skopeo import_bundle)"
    printf 'archive: %s MB (bundle), %s MB (skopeo, tar, zstd -3)\n' $((archive_ours / 1000000)) $((archive_skopeo / 1000000))
} | tee "$data/results.md"
cp "$data/run.tsv" "$data/results.tsv"
note
note "kept: $data/results.md, $data/results.tsv"
