#!/usr/bin/env bash
# Layers of two releases of eight applications, as raw tars: v1 is the older release, v2 the next.
#
#   corpus.sh [LAYER…]          makes raw/v1/LAYER.tar and raw/v2/LAYER.tar (all eight without an argument)
#   corpus.sh --gzip [LAYER…]   also makes gzip/vN/LAYER.{go6,go1,py6}.gz
#
# Everything lies under $CORPUS (default: bench-data/corpus). Downloads are kept; what exists is not made again.
# Needs apt's lists (no privileges), dpkg-deb, python3, mvn with java for the jars, go for --gzip. Versions are fixed:
# corpus.packages has those of Debian (LAYER PACKAGE V1 V2), `jars` below those of Maven Central. The mirror drops old
# versions at point releases: what it no longer has must come from the cache, and the script says which.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${CORPUS:-$here/../../bench-data/corpus}
export LC_ALL=C
umask 022

# LAYER V1 V2 COORDINATE…, with @ for the version. The mtime of every jar differs between v1 and v2: the worse case.
jars() {
    cat <<END
elasticsearch 8.11.1 8.11.3 org.elasticsearch:elasticsearch:@
kafka 3.7.0 3.7.1 org.apache.kafka:kafka_2.13:@
zookeeper 3.8.3 3.8.4 org.apache.zookeeper:zookeeper:@
hadoop 3.3.5 3.3.6 org.apache.hadoop:hadoop-client-runtime:@ org.apache.hadoop:hadoop-common:@
spark 3.5.1 3.5.2 org.apache.spark:spark-core_2.12:@
END
}
all="jre elasticsearch base nginx kafka zookeeper hadoop spark"

fail() {
    echo "corpus.sh: $*" >&2
    exit 1
}

# --- downloads ------------------------------------------------------------------------------------------------------

# deb PACKAGE VERSION: prints the file's path.
deb() {
    local file
    file=$data/cache/debs/$1_${2//:/%3a}_amd64.deb
    if [ ! -e "$file" ]; then
        local temporary
        temporary=$(mktemp -d "$data/cache/debs/.XXXXXX")
        (cd "$temporary" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$1=$2" >&2) ||
            fail "the mirror does not have $1=$2 (any more), and neither does $data/cache/debs"
        mv "$temporary"/*.deb "$file"
        rmdir "$temporary"
    fi
    echo "$file"
}

# jars_of FOLDER COORDINATE…: the artifacts and all they need at run time.
jars_of() {
    local folder=$1 coordinate group artifact version
    shift
    [ ! -e "$folder/.complete" ] || return 0
    rm -rf "$folder"
    mkdir -p "$folder"
    {
        echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        echo '<groupId>corpus</groupId><artifactId>corpus</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
        for coordinate; do
            IFS=: read -r group artifact version <<<"$coordinate"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$folder/pom.xml"
    mvn -q -B -Dstyle.color=never -f "$folder/pom.xml" -Dmaven.repo.local="$data/cache/maven" \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$folder/jars" >&2 || fail "mvn could not fetch $*"
    touch "$folder/.complete"
}

# --- layers ---------------------------------------------------------------------------------------------------------

# Reads one path a line: *.deb is merged into the layer as dpkg would unpack it, *.jar goes to app/lib. Sorted by path,
# owners, modes and mtimes as in the packages.
write_tar() { # FILE JAR_MTIME
    python3 -c '
import io, os, subprocess, sys, tarfile
members = {}
for line in sys.stdin:
    path = line.strip()
    if path.endswith(".jar"):
        info = tarfile.TarInfo("app/lib/" + os.path.basename(path))
        info.size, info.mode, info.mtime = os.path.getsize(path), 0o644, int(sys.argv[2])
        info.uname = info.gname = "root"
        members[info.name] = info, path
        continue
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, stdout=subprocess.PIPE).stdout
    archive = tarfile.open(fileobj=io.BytesIO(data))
    for info in archive:
        info.name = info.name.lstrip("./")
        if info.islnk():
            info.linkname = info.linkname.lstrip("./")
        if not info.name or (info.isdir() and info.name in members):
            continue
        info.mtime = int(info.mtime)
        info.pax_headers = {}
        members[info.name] = info, archive.extractfile(info).read() if info.isreg() else None
with tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT) as out:
    # Hard links come after what they link to.
    for _, (info, content) in sorted(members.items(), key=lambda m: (m[1][0].islnk(), m[0])):
        if isinstance(content, str):
            with open(content, "rb") as file:
                out.addfile(info, file)
        else:
            out.addfile(info, io.BytesIO(content) if content is not None else None)
' "$@"
}

# paths LAYER RELEASE: the packages or jars, fetched.
paths() {
    local row
    row=$(jars | grep "^$1 " || true)
    if [ -n "$row" ]; then
        local name v1 v2 coordinates version
        read -r name v1 v2 coordinates <<<"$row"
        version=$([ "$2" = v1 ] && echo "$v1" || echo "$v2")
        # shellcheck disable=SC2086
        jars_of "$data/cache/jars/$name-$version" ${coordinates//@/$version}
        find "$data/cache/jars/$name-$version/jars" -name '*.jar'
    else
        local layer package v1 v2
        while read -r layer package v1 v2; do
            if [ "$layer" = "$1" ]; then deb "$package" "$([ "$2" = v1 ] && echo "$v1" || echo "$v2")"; fi
        done <"$here/corpus.packages"
    fi
}

layer() { # LAYER RELEASE
    local file=$data/raw/$2/$1.tar list mtime
    [ ! -e "$file" ] || return 0
    mtime=$([ "$2" = v1 ] && echo 1700000000 || echo 1710000000)
    list=$(paths "$1" "$2") || exit 1
    [ -n "$list" ] || fail "unknown layer $1"
    sort <<<"$list" | write_tar "$file.part" "$mtime"
    mv "$file.part" "$file"
    echo "$2/$1.tar: $(stat -c %s "$file") bytes"
}

gzipped() { # LAYER RELEASE
    local raw=$data/raw/$2/$1.tar out=$data/gzip/$2/$1
    [ -x "$data/cache/gzlayer" ] || (cd "$here/gzlayer" && GOFLAGS=-mod=mod GOTOOLCHAIN=local go build -o "$data/cache/gzlayer" .)
    for level in 6 1; do
        [ -e "$out.go$level.gz" ] || { "$data/cache/gzlayer" "$level" <"$raw" >"$out.part" && mv "$out.part" "$out.go$level.gz"; }
    done
    [ -e "$out.py6.gz" ] || {
        python3 -c '
import sys, zlib
z = zlib.compressobj(6, zlib.DEFLATED, 31)
while piece := sys.stdin.buffer.read(1 << 20):
    sys.stdout.buffer.write(z.compress(piece))
sys.stdout.buffer.write(z.flush())' <"$raw" >"$out.part" && mv "$out.part" "$out.py6.gz"
    }
}

gzip=
if [ "${1:-}" = --gzip ]; then
    gzip=yes
    shift
fi
mkdir -p "$data"/{cache/{debs,maven,jars},raw/{v1,v2},gzip/{v1,v2}}
for name in ${*:-$all}; do
    for release in v1 v2; do
        layer "$name" "$release"
        [ -z "$gzip" ] || gzipped "$name" "$release"
    done
done
