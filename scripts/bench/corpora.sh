# The corpora of the bench, made once and kept in $data. Sourced by bench.sh.
#
# A: images as the built-in catalog has them: layers of Debian's packages and of jars, compressed by what pushes images.
# B: 2,000 images of 12 small layers, most of them shared. C: one image with a layer of 12 GiB, half of it zeros.

# NAME ENCODER PACKAGE…: what each layer is made of. Packages of Debian, or NAME==VERSION of PyPI (Java's jars come so).
recipes() {
    cat <<END
base docker libc6 coreutils bash perl-base dpkg apt libapt-pkg6.0 libssl3 openssl tar gzip util-linux libstdc++6 tzdata libpython3.11-stdlib python3.11-minimal git perl-modules-5.36 libicu72
base-other docker libc6-dbg libgnutls30 libglib2.0-0 locales
jre docker openjdk-17-jre-headless
llvm docker libllvm14 libclang-cpp14
go docker golang-1.19-go golang-1.19-src
rust crane libstd-rust-dev
chromium docker chromium
firefox podman firefox-esr
office docker libreoffice-core
kernel podman $(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
gcc docker gcc-12 cpp-12 g++-12
postgres pigz postgresql-15 libpq5
docker docker docker.io containerd
node buildkit-zstd libnode108
qemu zlib qemu-system-x86 qemu-system-common
jmods docker openjdk-17-jdk-headless
source crane openjdk-17-source
fonts buildkit-zstd fonts-noto-cjk
help gnu libreoffice-help-en-us libreoffice-common
spark docker pyspark==3.5.4
flink docker apache-flink-libraries==1.20.0
END
}

# encoded FILE FOLDER ENCODER: the folder as a layer, compressed as that tool does it. Leaves FILE and FILE.diffid.
encoded() {
    tar -C "$2" -cf "$1.tar" .
    echo "sha256:$(sha256 "$1.tar")" >"$1.diffid"
    case $3 in
        gnu) gzip -n -6 <"$1.tar" >"$1" ;;
        pigz) pigz -n -6 <"$1.tar" >"$1" ;;
        zlib) python3 -c 'import sys, zlib
z = zlib.compressobj(6, zlib.DEFLATED, 31)
while piece := sys.stdin.buffer.read(1 << 20): sys.stdout.buffer.write(z.compress(piece))
sys.stdout.buffer.write(z.flush())' <"$1.tar" >"$1" ;;
        *) "$tools/encode" "$3" <"$1.tar" >"$1" ;;
    esac
    [ "$3" != buildkit-zstd ] || touch "$1.zstd"
    rm "$1.tar"
}

fetched() { # PACKAGE FOLDER: unpacks it there
    local got=$data/packages
    rm -rf "$got"
    mkdir -p "$got"
    case $1 in
        *==*)
            python3 -m pip download -q --no-deps -d "$got" "$1" </dev/null >/dev/null 2>&1 || return 1
            tar -C "$2" -xzf "$got"/*.tar.gz ;;
        *)
            (cd "$got" && apt-get download -q "$1") >/dev/null 2>&1 </dev/null || return 1
            dpkg-deb -x "$got"/*.deb "$2" ;;
    esac
    rm -rf "$got"
}

make_corpus_a() {
    [ ! -e "$data/corpus.done" ] || return 0
    title "Corpus A: layers of Debian's packages and of jars (once)"
    need dpkg-deb dpkg apt-get apt pigz pigz python3 python3 || die "this needs Debian"
    local name encoder packages package tree=$data/tree
    mkdir -p "$data/layers"
    as_root apt-get update -q >/dev/null || true
    recipes | while read -r name encoder packages; do
        [ ! -e "$data/layers/$name.diffid" ] || continue
        rm -rf "$tree"
        mkdir -p "$tree"
        for package in $packages; do
            fetched "$package" "$tree" || note "$package cannot be had; left out"
        done
        encoded "$data/layers/$name" "$tree" "$encoder"
        printf '%-12s %5s MB  %s\n' "$name" $(($(size_of "$data/layers/$name") / 1000000)) "$encoder"
        rm -rf "$tree"
    done
    local l=$data/layers app
    for app in docker gcc kernel qemu office firefox chromium go rust llvm; do
        image "$app" amd64 "$l/base" "$l/$app"
    done
    docker=1 image postgres amd64 "$l/base" "$l/postgres"
    image build amd64 "$l/base" "$l/gcc" "$l/llvm"
    image server amd64 "$l/base" "$l/jre" "$l/jmods"
    image worker amd64 "$l/base" "$l/jre" "$l/source"
    image search amd64 "$l/base" "$l/jre" "$l/help"
    image spark-driver amd64 "$l/base" "$l/jre" "$l/spark"
    image spark-worker amd64 "$l/base" "$l/jre" "$l/spark" "$l/source"
    image flink amd64 "$l/base" "$l/jre" "$l/flink"
    image ui-amd64 amd64 "$l/base" "$l/node" "$l/fonts"
    image ui-arm64 arm64 "$l/base-other" "$l/node" "$l/fonts"
    touch "$data/corpus.done"
}

fill_a() { # into $source
    [ ! -e "$data/a.done" ] || return 0
    title "Corpus A into its registry (once)"
    local name
    : >"$data/a.names"
    for name in postgres docker gcc kernel qemu office firefox chromium go rust llvm build server worker search spark-driver spark-worker flink; do
        push_image $name "$source/bench/$name" 1
        echo "bench/$name:1" >>"$data/a.names"
    done
    push_index "$source/bench/ui" 1 ui-amd64:amd64 ui-arm64:arm64
    echo "bench/ui:1" >>"$data/a.names"
    touch "$data/a.done"
}

fill_b() { # into $source
    [ ! -e "$data/b.done" ] || return 0
    title "Corpus B: 2,000 images of 12 layers (once)"
    rm -rf "$data/b.layout"
    python3 "$bench/many.py" "$data/b.layout" 2000 >"$data/b.names"
    "$BUNDLE" import "$data/b.layout" -d "$source" --values /dev/null --force --progress none >/dev/null
    rm -rf "$data/b.layout"
    touch "$data/b.done"
}

fill_c() { # into $source, whose data are in $data/c.data
    [ ! -e "$data/c.done" ] || return 0
    title "Corpus C: a layer of 12 GiB (once)"
    local file=$data/big.layer digest hex at=$data/c.data/docker/registry/v2
    digest=$(python3 "$bench/big.py" "$file" 12)
    hex=${digest#*:}
    # By hand into the registry's storage, so that it is not sent through it and the holes stay holes.
    mkdir -p "$at/blobs/sha256/${hex:0:2}/$hex" "$at/repositories/bench/big/_layers/sha256/$hex"
    size=$(size_of "$file")
    mv "$file" "$at/blobs/sha256/${hex:0:2}/$hex/data"
    printf %s "$digest" >"$at/repositories/bench/big/_layers/sha256/$hex/link"
    printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["%s"]}}' "$digest" >"$data/big.config"
    printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","size":%s,"digest":"sha256:%s"},"layers":[{"mediaType":"%s","size":%s,"digest":"%s"}]}' \
        "$oci_manifest" "$oci_config" "$(size_of "$data/big.config")" "$(sha256 "$data/big.config")" "$oci_layer" "$size" "$digest" >"$data/big.json"
    push_blob "$source/bench/big" "$data/big.config"
    push_manifest "$source/bench/big" 1 "$data/big.json" "$oci_manifest"
    echo bench/big:1 >"$data/c.names"
    touch "$data/c.done"
}
