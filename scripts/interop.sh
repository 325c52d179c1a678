#!/usr/bin/env bash
# bundle against the programs it must get on with: two real registries (Debian's docker-registry), skopeo, podman,
# umoci, nginx, openssl, zstd, coreutils; in-toto's Python. Each check prints ok, FAIL or skip; the last line counts them.
#
#   scripts/interop.sh [PATTERN]        with Debian's tools, about a minute after the build
#   scripts/interop.sh --all [PATTERN]  also crane, oras, regctl, cosign 2 and 3, helm, distribution 3, zot, Gitea and the
#                                       distribution-spec's conformance suite (built with Go, where their modules can be
#                                       had), Pulp (from PyPI), and CHAOS_SECONDS (3600) of bad links, restarts and kills
#
# --write, first or after --all, writes the versions that were tried into tests/COMPATIBILITY.md when no check failed.
# PATTERN chooses checks by name, as in a shell. BUNDLE names a program to test instead of building one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/registries.sh"

all='' write=''
if [ "${1:-}" = --all ]; then all=1; shift; fi
if [ "${1:-}" = --write ]; then write=1; shift; fi
pattern=${1:-*}

work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What is downloaded and built for checks stays here between runs.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bundle-interop

# --- running checks -------------------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0

skip() { printf '%s\n' "$*" >"$work/why"; exit 77; }

# check NAME: runs the function of that name in a shell and a folder of its own.
check() {
    local name=$1 code=0 began=$SECONDS
    # shellcheck disable=SC2254
    case $name in $pattern) ;; *) return 0 ;; esac
    mkdir -p "$work/checks/$name"
    set +e
    (
        set -e
        started=()
        trap stop_all EXIT
        cd "$work/checks/$name"
        "$name"
    ) >"$work/checks/$name.log" 2>&1 </dev/null
    code=$?
    set -e
    case $code in
        0)
            passed=$((passed + 1))
            printf 'ok    %s (%s s)%s\n' "$name" $((SECONDS - began)) \
                "$(tail -1 "$work/checks/$name.log" | sed -n 's/^# /: /p')"
            ;;
        77) skipped=$((skipped + 1)); printf 'skip  %s: %s\n' "$name" "$(cat "$work/why")" ;;
        *) failed=$((failed + 1)); printf 'FAIL  %s\n' "$name"; tail -25 "$work/checks/$name.log" | sed 's/^/      /' ;;
    esac
    # Layers are big and the disk may not be.
    rm -rf "$work/checks/$name"
}

same() { [ "$1" = "$2" ] || { echo "${3:-it} is $2, but should be $1"; return 1; }; }

# fails CODE COMMAND…: the command must end with this exit code.
fails() {
    local wanted=$1 code=0
    shift
    "$@" || code=$?
    same "$wanted" "$code" "the exit code of '$*'"
}

# Says whether tools may be missing: not where CI is.
tools() {
    need "$@" && return 0
    [ -z "${CI:-}" ] || die "in CI nothing of this is skipped"
    return 1
}

# --- what the checks use --------------------------------------------------------------------------------------------

# registry NAME [MORE-YAML]: a docker-registry on a free port; its address is in $served afterwards. The YAML may
# hold lines for `http:` (indented) and further top-level keys.
registry() {
    local name=$1
    cat >"$work/$name.yml" <<END
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $work/$name.data}
  delete: {enabled: true}
${storage:-}
http:
  addr: 127.0.0.1:0
${2:-}
END
    : >"$work/$name.log"
    OTEL_TRACES_EXPORTER=none start "$work/$name.log" "${registry_program:-docker-registry}" serve "$work/$name.yml"
    wait_for "docker-registry '$name'" grep -q 'listening on' "$work/$name.log"
    served=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$work/$name.log" | head -1)
}

sk() { skopeo --insecure-policy --tmpdir "$work/tmp" "$@"; }

# The digest of a manifest in a folder that skopeo wrote.
of_dir() { echo "sha256:$(sha256 "$1/manifest.json")"; }

pod() {
    podman --root "$work/podman/root" --runroot "$work/podman/run" --tmpdir "$work/podman/tmp" --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend none "$@"
}
pod_clean() { pod rmi --all --force >/dev/null 2>&1 || true; }

with_podman() {
    have podman || skip "no podman here"
    [ "$(id -u)" = 0 ] || skip "podman with its own storage needs root here"
}

# export_shop ARGUMENTS…
export_shop() { "$binary" export "$work/list.txt" --source "registry.example.com=$outside" "$@"; }

# arrived REGISTRY[/PREFIX] [CURL-ARGUMENT…]: every image is there with the digest of the source.
arrived() {
    local place=$1 name
    shift
    while read -r name; do
        same "$(scheme=http digest_of "$outside/${name%:*}" "${name##*:}")" \
            "$(digest_of "$place/${name%:*}" "${name##*:}" "$@")" "$place/$name"
    done <"$work/names"
}

# --- the file -------------------------------------------------------------------------------------------------------

zstd_reads_the_file() { zstd -q -t "$file"; }

sidecar_checks_the_file() { cd "$(dirname "$file")" && sha256sum -c --quiet "$(basename "$file").sha256"; }

coreutils_check_the_unpacked_bundle() { cd "$unpacked" && sha256sum -c --quiet SHA256SUMS && jq -e . index.json >/dev/null; }

stdout_is_the_same_file() { export_shop -o - | cmp - "$file"; }

# mounted PROGRAM…: a loop device over ./medium, mounted on ./mnt by the program. Unmounted when the check ends.
mounted() {
    [ "$(id -u)" = 0 ] || skip "mounting needs root here"
    loop=$(losetup --show -f medium) || skip "no loop device here"
    trap 'umount mnt || true; losetup -d "$loop" || true; stop_all' EXIT
    mkdir -p mnt
    "$@" "$loop" mnt || skip "'$*' cannot mount here"
}

# Sectors the kernel has written to a loop device.
sectors() { awk '{print $7}' "/sys/block/${1#/dev/}/stat"; }

exfat_is_written_in_order() {
    tools mkfs.exfat exfatprogs mount.exfat-fuse exfat-fuse || skip "no exFAT here"
    [ -e /dev/fuse ] || skip "no FUSE here"
    truncate -s 300M medium
    mkfs.exfat medium
    mounted mount.exfat-fuse
    written_in_order
}

# Where the kernel has the file system; there is no other way to mount it.
vfat_is_written_in_order() {
    tools mkfs.vfat dosfstools || skip "no mkfs.vfat here"
    truncate -s 300M medium
    mkfs.vfat -F 32 medium
    mounted mount -t vfat
    written_in_order
}

# Exports to ./mnt, a file system without sparse files, and what reaches the medium under it: in order, and at offsets
# all the same.
written_in_order() {
    local before ordered scattered
    before=$(sectors "$loop")
    export_shop -o mnt/shop.tar.zst 2>said
    grep 'fills gaps with zeros' said
    sync -f mnt
    ordered=$(($(sectors "$loop") - before))
    cmp mnt/shop.tar.zst "$file"
    (cd mnt && sha256sum -c --quiet shop.tar.zst.sha256)
    before=$(sectors "$loop")
    AIRGAP_BUNDLE_MEDIUM=sparse export_shop -o mnt/again.tar.zst
    sync -f mnt
    scattered=$(($(sectors "$loop") - before))
    cmp mnt/again.tar.zst "$file"
    # Killed in the middle of it, and gone on with; with a spool beside the medium too.
    rm mnt/*
    local arguments=(export "$work/list.txt" --source "registry.example.com=$outside" -o mnt/shop.tar.zst --limit-rate 3M) pid
    "$binary" "${arguments[@]}" & pid=$!
    wait_for "a part of it" sh -c '[ $(stat -c %s mnt/shop.tar.zst.partial) -gt 2000000 ]'
    kill -9 $pid
    wait $pid || true
    mkdir spool
    "$binary" "${arguments[@]}" --spool spool
    cmp mnt/shop.tar.zst "$file"
    ls -A spool mnt
    same 'shop.tar.zst shop.tar.zst.sha256' "$(echo $(ls -A mnt))" "what is on the medium"
    local size
    size=$(stat -c %s "$file")
    [ $((ordered * 512)) -le $((size * 105 / 100)) ] || die "in order, $((ordered * 512)) bytes reached the medium for $size"
    echo "# in order $((ordered * 512 * 100 / size)) % of the file reached the medium, at offsets $((scattered * 512 * 100 / size)) %"
}

# skopeo takes no Docker schema 2 image out of an OCI layout, whoever made it; those it reads as docker-archive.
skopeo_reads() {
    local name
    while read -r name; do
        rm -rf out
        if [ "$name" = shop/worker:2.4.0 ]; then continue; fi
        sk copy -q --all --preserve-digests "$1:registry.example.com/$name" dir:out
        same "$(digest_of "$outside/${name%:*}" "${name##*:}")" "$(of_dir out)" "$name"
    done <"$work/names"
}
skopeo_reads_the_file() { skopeo_reads "oci-archive:$file"; }
skopeo_reads_the_unpacked_layout() { skopeo_reads "oci:$unpacked"; }
skopeo_reads_the_file_as_a_docker_archive() {
    local name
    while read -r name; do
        rm -rf out
        sk copy -q "docker-archive:$file:registry.example.com/$name" dir:out
        jq -r .config.digest out/manifest.json
    done <"$work/names" | tee configs
    grep "$(sha256 "$work/images/worker.config")" configs
}

podman_loads_the_file() {
    with_podman
    local name
    pod_clean
    pod load --signature-policy "$work/policy.json" -i "$file"
    while read -r name; do pod image inspect --format '{{.Id}}' "registry.example.com/$name"; done <"$work/names"
    pod_clean
}

umoci_reads_the_unpacked_layout() {
    have umoci || skip "no umoci here"
    umoci ls --layout "$unpacked" >listed
    sed 's|^|registry.example.com/|' "$work/names" | sort | diff - <(sort listed)
    # umoci's own notion of a tag has no slashes and colons, so it gets a layout under short names.
    cp -r "$unpacked" short
    jq '.manifests |= map(.annotations["org.opencontainers.image.ref.name"] |= gsub("[^a-z0-9.]"; "-"))' \
        "$unpacked/index.json" >short/index.json
    umoci raw unpack --rootless --image short:registry.example.com-shop-server-2.4.0 server
    test -s server/app/server.jar
    umoci raw unpack --rootless --image short:registry.example.com-tools-wait-latest wait
    test -s wait/bin/wait
}

# --- import ---------------------------------------------------------------------------------------------------------

import_keeps_every_digest() {
    "$binary" import "$file" -d "$inside" --report report.json
    arrived "$inside"
    local name
    while read -r name; do
        rm -rf out
        sk copy -q --all --preserve-digests --src-tls-verify=false "docker://$inside/$name" dir:out
        same "$(digest_of "$outside/${name%:*}" "${name##*:}")" "$(of_dir out)" "$name"
    done <"$work/names"
    grep "imageRegistry: $inside" shop.values.yaml
    "$binary" import "$file" -d "$inside" --report again.json
    same '0 0' "$(jq -r '"\(.totals.uploadedBlobs) \(.totals.blobBytes)"' again.json)" "what a second import sent"
}

import_from_stdin() {
    "$binary" import - -d "$inside/piped" --values piped.yaml <"$file"
    arrived "$inside/piped"
    export_shop -o - | "$binary" import - -d "$inside/straight" --values straight.yaml
    arrived "$inside/straight"
}

basic_auth() {
    have htpasswd || skip "no htpasswd here"
    htpasswd -Bbn carrier 'pass word' >"$work/htpasswd"
    registry private "auth: {htpasswd: {realm: private, path: $work/htpasswd}}"
    local auth=(--auth-file "$PWD/auth.json")
    fails 2 "$binary" import "$file" -d "$served" "${auth[@]}"
    echo '{}' >nobody.json
    fails 4 "$binary" import "$file" -d "$served" --auth-file nobody.json
    echo wrong | fails 4 "$binary" login "$served" -u carrier --password-stdin "${auth[@]}"
    test ! -e auth.json
    printf 'pass word' | "$binary" login "$served" -u carrier --password-stdin "${auth[@]}"
    same 600 "$(stat -c %a auth.json)" "the mode of the login"
    "$binary" import "$file" -d "$served" "${auth[@]}"
    arrived "$served" --user 'carrier:pass word'
    sk inspect --raw --tls-verify=false --authfile auth.json "docker://$served/tools/wait:latest" >raw
    "$binary" export "$work/list.txt" --source "registry.example.com=$served" -o back.tar.zst "${auth[@]}"
    cmp <("$binary" inspect "$file" --format json | jq '[.bundle.images[].digest]') \
        <("$binary" inspect back.tar.zst --format json | jq '[.bundle.images[].digest]')
    "$binary" logout "$served" "${auth[@]}"
    fails 4 "$binary" import "$file" -d "$served/again" --force "${auth[@]}"
}

# Tokens signed with a certificate, as docker-registry asks for them, for whoever is known and for nobody.
token_auth() {
    have python3 || skip "no Python here"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=tests' -keyout token.key -out token.pem
    start token.log python3 "$root/tests/interop/token_server.py" token.key token.pem token.address tokens 'carrier:pass word'
    wait_for "the token server" test -s token.address
    registry tokens "auth: {token: {realm: 'http://$(cat token.address)/token', service: registry.test, issuer: tests, rootcertbundle: $PWD/token.pem}}"
    local auth=(--auth-file "$PWD/auth.json") name
    echo '{}' >nobody.json
    fails 4 "$binary" import "$file" -d "$served/public" --auth-file nobody.json
    echo wrong | fails 4 "$binary" login "$served" -u carrier --password-stdin "${auth[@]}"
    printf 'pass word' | "$binary" login "$served" -u carrier --password-stdin "${auth[@]}"
    : >tokens
    "$binary" import "$file" -d "$served/public" "${auth[@]}"
    local import=$(grep -c . tokens)
    # Everybody may read what is public.
    sed "s|^|$served/public/|" "$work/names" >public.txt
    "$binary" export public.txt -o back.tar.zst --auth-file nobody.json
    grep -q '^anonymous repository:public/shop/ui:pull$' tokens
    while read -r name; do
        sk inspect --raw --tls-verify=false --authfile nobody.json "docker://$served/public/$name" >raw
        same "$(digest_of "$outside/${name%:*}" "${name##*:}")" "sha256:$(sha256 raw)" "$name"
    done <"$work/names"
    "$binary" import "$file" -d "$served/private" --values private.yaml "${auth[@]}"
    sed "s|^|$served/private/|" "$work/names" >private.txt
    fails 4 "$binary" export private.txt -o none.tar.zst --auth-file nobody.json
    "$binary" export private.txt -o private.tar.zst "${auth[@]}"
    "$binary" verify private.tar.zst
    echo "# $import tokens for an import of four repositories"
}

# A private authority and a certificate for 127.0.0.1.
certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=Private CA' \
        -keyout ca.key -out ca.pem
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=registry -keyout tls.key -out tls.csr
    openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out tls.pem \
        -extfile <(echo subjectAltName=IP:127.0.0.1,DNS:localhost)
}

tls_from_a_private_authority() {
    certificates
    registry tls "  tls: {certificate: $PWD/tls.pem, key: $PWD/tls.key}"
    fails 5 "$binary" import "$file" -d "$served"
    "$binary" import "$file" -d "$served" --ca-file ca.pem
    scheme=https arrived "$served" --cacert ca.pem
    "$binary" import "$file" -d "$served/unverified" --force --tls-no-verify "$served"
    "$binary" export "$work/list.txt" --source "registry.example.com=$served" -o back.tar.zst --ca-file ca.pem
    "$binary" verify back.tar.zst
}

# nginx_conf HTTP-LINES SERVER-LINES: an nginx.conf with one server, which keeps to this folder.
nginx_conf() {
    cat >nginx.conf <<END
daemon off; user root; pid $PWD/nginx.pid; error_log $PWD/error.log;
events {}
http {
    access_log $PWD/access.log;
    client_body_temp_path $PWD/body; proxy_temp_path $PWD/proxy; fastcgi_temp_path $PWD/f; uwsgi_temp_path $PWD/u; scgi_temp_path $PWD/s;
    $1
    server {
        $2
    }
}
END
}

# behind_proxy DIRECTIVES: nginx on a free port; its address is in $proxied afterwards.
behind_proxy() {
    local port tries=0
    while :; do
        port=$((20000 + RANDOM % 20000))
        nginx_conf "client_max_body_size ${body_limit:-0};" \
            "listen 127.0.0.1:$port; location / { proxy_set_header Host \$http_host; $1 }"
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            start nginx.log nginx -c "$PWD/nginx.conf"
            if wait_for nginx test -s nginx.pid; then break; fi
        fi
        tries=$((tries + 1))
        [ $tries -lt 20 ]
    done
    proxied=127.0.0.1:$port
    wait_for nginx curl -s -o /dev/null "http://$proxied/v2/"
}

# proxied SERVER-LINES [LISTEN-OPTIONS]: nginx before $served, on a free port; the address is in $served afterwards.
proxied() {
    have nginx || skip "no nginx here"
    local port tries=0
    while :; do
        port=$((20000 + RANDOM % 20000))
        nginx_conf '' "listen 127.0.0.1:$port ${2:-};
        $1
        location / { proxy_pass http://$served; proxy_set_header Host \$http_host; proxy_set_header X-Forwarded-Proto \$scheme; }"
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            start nginx.log nginx -c "$PWD/nginx.conf"
            if wait_for nginx test -s nginx.pid; then break; fi
        fi
        tries=$((tries + 1))
        [ $tries -lt 20 ]
    done
    served=127.0.0.1:$port
}

# nginx gives out the file and what is signed of it, to whom it knows, and sends on to where they lie.
from_a_web_server() {
    have htpasswd || skip "no htpasswd here"
    certificates
    mkdir files
    cp "$file" files/shop.tar.zst
    "$binary" keygen -o site --no-passphrase
    "$binary" sign files/shop.tar.zst --key site.key
    htpasswd -bmc htpasswd carrier 'pass word'
    registry web
    local registry=$served shown=(--ca-file ca.pem --auth-file auth.json)
    proxied "ssl_certificate $PWD/tls.pem; ssl_certificate_key $PWD/tls.key; rewrite ^/latest/(.*) /files/\$1 redirect;
        location /files/ { alias $PWD/files/; auth_basic files; auth_basic_user_file $PWD/htpasswd; }" ssl
    local address=https://$served/latest/shop.tar.zst
    fails 5 "$binary" import "$address" -d "$registry" --retries 1 2>errors
    grep -- '--ca-file' errors
    fails 4 "$binary" import "$address" -d "$registry" --ca-file ca.pem
    printf 'pass word' | "$binary" login "$served" --no-check --username carrier --password-stdin --auth-file auth.json
    "$binary" verify "$address" "${shown[@]}" --verify-key site.pub
    "$binary" import "$address" -d "$registry" "${shown[@]}" --verify-key site.pub
    arrived "$registry"
    echo "# $(grep -c ' 206 ' access.log) ranges"
}

# A proxy that takes bodies of 1 MB at most, as nginx does unless told otherwise.
behind_nginx() {
    registry behind
    proxied 'client_max_body_size 1m;'
    "$binary" import "$file" -d "$served"
    arrived "$served"
}

# nginx lets in whoever shows a certificate of the private authority, and nobody else.
mutual_tls_behind_nginx() {
    certificates
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=carrier -keyout client.key -out client.csr
    openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out client.pem
    registry mutual
    proxied "ssl_certificate $PWD/tls.pem; ssl_certificate_key $PWD/tls.key; ssl_client_certificate $PWD/ca.pem; ssl_verify_client on; client_max_body_size 0;" ssl
    local code=0 shown=(--ca-file ca.pem --client-cert client.pem --client-key client.key)
    "$binary" import "$file" -d "$served" --ca-file ca.pem 2>errors || code=$?
    cat errors
    [ $code != 0 ] && [ $code != 7 ]
    grep -q '^error: ' errors
    "$binary" import "$file" -d "$served" "${shown[@]}"
    scheme=https arrived "$served" --cacert ca.pem --cert client.pem --key client.key
    "$binary" export "$work/list.txt" --source "registry.example.com=$served" -o back.tar.zst "${shown[@]}"
    "$binary" verify back.tar.zst
    # The same from certs.d, where container tools look for it.
    mkdir -p "config/containers/certs.d/$served"
    cp ca.pem "config/containers/certs.d/$served/ca.crt"
    cp client.pem "config/containers/certs.d/$served/client.cert"
    cp client.key "config/containers/certs.d/$served/client.key"
    XDG_CONFIG_HOME=$PWD/config "$binary" import "$file" -d "$served/again" --values again.yaml
    scheme=https arrived "$served/again" --cacert ca.pem --cert client.pem --key client.key
}

# HTTP/2 connections that are given up after every third request (GOAWAY), on both sides.
behind_nginx_that_hangs_up() {
    certificates
    registry hangs
    proxied "ssl_certificate $PWD/tls.pem; ssl_certificate_key $PWD/tls.key; client_max_body_size 0; keepalive_requests 3;" 'ssl http2'
    "$binary" import "$file" -d "$served" --ca-file ca.pem --http2
    scheme=https arrived "$served" --cacert ca.pem
    "$binary" export "$work/list.txt" --source "registry.example.com=$served" -o back.tar.zst --ca-file ca.pem --http2
    "$binary" verify back.tar.zst
    grep -q 'HTTP/2' access.log
    echo "# $(grep -c . access.log) requests"
}

# big_image: one layer of 40 MB in the outer registry, and a bundle of it: more than may be sent again.
big_image() {
    mkdir -p tree
    head -c 40000000 /dev/urandom >tree/data
    layer "$work/layers/big" tree
    rm -r tree
    image big amd64 "$work/layers/big"
    push_image big "$outside/big/image" 1
    "$binary" export <(echo "$outside/big/image:1") -o big.tar.zst
}

# killed_in_the_middle COMMAND…: kill -9 when about half of big_image is on its way.
killed_in_the_middle() {
    "$@" --limit-rate 10M & local pid=$!
    sleep 2.5
    kill -9 $pid
    wait $pid || true
}

# The registry goes away and comes back while a stream is read; sessions in its storage survive that.
a_registry_that_restarts_in_the_middle_of_a_pipe() {
    big_image
    # A secret of its own would make the sessions of an earlier process unreadable.
    registry restarts '  secret: the-same'
    local address=$served
    "$binary" import - -d "$address" --limit-rate 10M --values big.yaml <big.tar.zst & local pid=$!
    sleep 1.5
    kill "${started[-1]}"
    wait "${started[-1]}" || true
    sleep 2
    sed -i "s/addr: .*/addr: $address/" "$work/restarts.yml"
    OTEL_TRACES_EXPORTER=none start "$work/restarts.log" docker-registry serve "$work/restarts.yml"
    local code=0
    wait $pid || code=$?
    # Cut in the middle of a chunk, docker-registry 2.8 forgets the upload: then that has to be said, and sent again.
    if [ $code != 0 ]; then
        same 7 $code "the exit code"
        "$binary" import - -d "$address" --values big.yaml --force <big.tar.zst
    fi
    same "$(digest_of "$outside/big/image" 1)" "$(digest_of "$address/big/image" 1)" big
    mkdir spool
    "$binary" import - -d "$address/again" --values again.yaml --spool spool <big.tar.zst
    echo "# exit code $code"
}

# What is there already stays good; what would have to be sent is refused before anything is.
read_only_registry() {
    registry closing
    "$binary" import "$file" -d "$served/full"
    kill "${started[-1]}"
    wait "${started[-1]}" || true
    cp -r "$work/closing.data" "$work/closed.data"
    storage='  maintenance: {readonly: {enabled: true}}' registry closed
    fails 1 "$binary" import "$file" -d "$served/empty" --values none.yaml 2>errors
    cat errors
    grep -q '^error: ' errors
    grep -q 'read-only' errors
    if grep -qi panicked errors; then return 1; fi
    test ! -e none.yaml
    "$binary" import "$file" -d "$served/full" --force
    arrived "$served/full"
}

# Amazon ECR: the API is moto's, the registry behind ECR's host name is docker-registry, reached through nginx as a proxy.
ecr_by_moto() {
    have nginx || skip "no nginx here"
    moto
    local host=123456789012.dkr.ecr.eu-west-1.amazonaws.com password
    export AWS_ENDPOINT_URL=$aws AWS_ACCESS_KEY_ID=example AWS_SECRET_ACCESS_KEY=example AWS_DEFAULT_REGION=eu-west-1
    password=$("$moto_python" -c 'import base64, boto3
client = boto3.client("ecr")
token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
print(base64.b64decode(token).decode().split(":", 1)[1])')
    htpasswd -Bbn AWS "$password" >"$work/ecr.htpasswd"
    registry ecr "auth: {htpasswd: {realm: ecr, path: $work/ecr.htpasswd}}"
    behind_proxy "proxy_pass http://$served;"
    export HTTP_PROXY=http://$proxied
    "$binary" import "$file" -d "$host/mirror" --plain-http "$host" --dry-run | tee plan
    grep -q '^repositories to be made:' plan
    "$binary" import "$file" -d "$host/mirror" --plain-http "$host" --ecr-immutable-tags --ecr-scan-on-push
    arrived "$served/mirror" --user "AWS:$password"
    env -u HTTP_PROXY "$moto_python" -c 'import boto3
made = boto3.client("ecr").describe_repositories()["repositories"]
assert all(r["imageTagMutability"] == "IMMUTABLE" and r["imageScanningConfiguration"]["scanOnPush"] for r in made), made
print("# %d repositories made" % len(made))'
}

# A bundle in S3, as moto has it: verified and imported by ranges, with credentials and region from a profile.
bundle_in_s3_by_moto() {
    moto
    "$moto_python" -c 'import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
s3.create_bucket(Bucket="carried", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
s3.upload_file(sys.argv[2], "carried", "2026/shop.tar.zst")' "$aws" "$file"
    mkdir aws
    printf '[inside]\naws_access_key_id = a\naws_secret_access_key = b\n' >aws/credentials
    printf '[profile inside]\nregion = eu-central-1\n' >aws/config
    export AWS_CONFIG_FILE=$PWD/aws/config AWS_SHARED_CREDENTIALS_FILE=$PWD/aws/credentials AWS_PROFILE=inside AWS_ENDPOINT_URL=$aws
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION
    "$binary" verify s3://carried/2026/shop.tar.zst
    serve inside --dir inside
    "$binary" import s3://carried/2026/shop.tar.zst -d "$served" --values v.yaml
    arrived "$served"
    fails 5 "$binary" verify s3://carried/2026/absent.tar.zst
}

# The manifests for Kubernetes against the schema of its API; nothing more: there is no cluster here.
kubernetes_manifests_fit_the_schema() {
    have python3 || skip "no Python here"
    local home=$cache/kubernetes-validate-1.37.0
    if [ ! -x "$home/bin/kubernetes-validate" ]; then
        { python3 -m venv "$home" && "$home/bin/pip" install -q kubernetes-validate==1.37.0; } >pip.log 2>&1 ||
            skip "kubernetes-validate cannot be had: $(tail -1 pip.log)"
    fi
    "$home/bin/kubernetes-validate" --strict "$root/scripts/kubernetes/job.yaml"
}

# moto: a server that plays AWS; its address is in $aws afterwards, a Python with boto3 in $moto_python.
moto() {
    local home=$cache/moto-5.1.15-s3
    have python3 || skip "no Python here"
    if [ ! -x "$home/bin/moto_server" ]; then
        { python3 -m venv "$home" && "$home/bin/pip" install -q 'moto[ecr,s3,server]==5.1.15'; } >pip.log 2>&1 ||
            skip "moto cannot be had: $(tail -1 pip.log)"
    fi
    moto_python=$home/bin/python
    start moto.log "$home/bin/moto_server" -H 127.0.0.1 -p 0
    wait_for moto grep -q 'Running on' moto.log
    aws=$(sed -n 's/.*Running on \(http:[^ ]*\).*/\1/p' moto.log | head -1)
}

# --- serve ----------------------------------------------------------------------------------------------------------

serve_a_bundle_to_skopeo() {
    serve file "$file"
    local name digest
    while read -r name; do
        digest=$(digest_of "$outside/${name%:*}" "${name##*:}")
        rm -rf out
        sk copy -q --all --preserve-digests --src-tls-verify=false "docker://$served/$name" dir:out
        same "$digest" "$(of_dir out)" "$name"
        rm -rf out
        sk copy -q --all --preserve-digests --src-tls-verify=false "docker://$served/${name%:*}@$digest" dir:out
        same "$digest" "$(of_dir out)" "$name@$digest"
    done <"$work/names"
    sk list-tags --tls-verify=false "docker://$served/shop/ui" | jq -e '.Tags == ["2.4.0"]'
    fails 1 sk copy -q --dest-tls-verify=false dir:out "docker://$served/shop/ui:new"
}

# What the manual tells scanners to do (`bundle help trust`, "Scanning before the gap"), with skopeo in the scanner's place.
scanners_read_from_a_bundle() {
    serve file "$file"
    "$binary" inspect "$file" --format json |
        jq -r '.bundle.images[] | (.name | sub("^[^/]*/"; "") | sub("[:@].*"; "")) + "@" + .digest' >images
    same "$(wc -l <"$work/names")" "$(wc -l <images)" "the number of images"
    local image digest tags arch
    while read -r image; do
        rm -rf folder
        digest=${image#*@}
        tags=$(sk list-tags --tls-verify=false "docker://$served/${image%@*}" | jq -r '.Tags[]')
        test -n "$tags"
        # A tag leads to the same image.
        same "$digest" "$(digest_of "$served/${image%@*}" "$tags")" "$image by its tag"
        arch=$(sk inspect --config --tls-verify=false --override-arch amd64 "docker://$served/$image" | jq -r .architecture)
        same amd64 "$arch" "the platform of $image"
        sk copy -q --all --preserve-digests --src-tls-verify=false "docker://$served/$image" dir:folder
        same "$digest" "$(of_dir folder)" "$image"
        # Everything a scanner unpacks is there, and is what the manifest says.
        local layer
        for layer in $(jq -r '.layers[]?.digest' folder/*manifest.json | sort -u); do
            same "${layer#sha256:}" "$(sha256 "folder/${layer#sha256:}")" "a layer of $image"
        done
    done <images
    echo "# $(wc -l <images) images"
}

serve_a_bundle_to_podman() {
    with_podman
    pod_clean
    serve file "$file"
    local digest
    pod pull -q --tls-verify=false --signature-policy "$work/policy.json" "$served/shop/server:2.4.0"
    digest=$(digest_of "$outside/shop/ui" 2.4.0)
    pod pull -q --tls-verify=false --signature-policy "$work/policy.json" "$served/shop/ui@$digest"
    pod_clean
}

serve_a_folder_to_skopeo_and_podman() {
    serve folder --dir "$PWD/registry"
    local name
    while read -r name; do
        sk copy -q --all --preserve-digests --src-tls-verify=false --dest-tls-verify=false \
            "docker://$outside/$name" "docker://$served/$name"
    done <"$work/names"
    arrived "$served"
    sk delete --tls-verify=false "docker://$served/tools/wait:latest"
    fails 1 sk inspect --raw --tls-verify=false "docker://$served/tools/wait:latest"
    with_podman
    pod_clean
    pod pull -q --tls-verify=false --signature-policy "$work/policy.json" "$served/shop/server:2.4.0"
    pod push -q --tls-verify=false --signature-policy "$work/policy.json" "$served/shop/server:2.4.0" "$served/new/server:1"
    sk inspect --raw --tls-verify=false "docker://$served/new/server:1" | jq -e '.layers | length == 3'
    pod_clean
}

# --- what the cluster needs -------------------------------------------------------------------------------------------

# mirrors RUNTIME REGISTRY[/PREFIX] [MORE…]: the configuration, in the folder mirrors.
mirrors() { "$binary" mirrors "$file" -d "$2" --for "$1" -o mirrors --force "${@:3}"; }

# The names of the chart, pulled from the registry inside: with and without a path, with and without source hosts.
mirrors_lead_skopeo_and_podman_inside() {
    local place name way
    mkdir out
    for way in '' --keep-host; do
        for place in "$inside/mirrors" "$inside/mirrors/deep/er"; do
            "$binary" import "$file" -d "$place" --values values.yaml --force $way
            mirrors podman "$place" $way
            while read -r name; do
                rm -rf out/image
                sk --registries-conf mirrors/50-bundle.conf copy -q --all --preserve-digests \
                    "docker://registry.example.com/$name" dir:out/image
                same "$(digest_of "$outside/${name%:*}" "${name##*:}")" "$(of_dir out/image)" "$name"
            done <"$work/names"
        done
    done
    with_podman
    pod_clean
    CONTAINERS_REGISTRIES_CONF=$PWD/mirrors/50-bundle.conf pod pull -q --signature-policy "$work/policy.json" \
        registry.example.com/shop/server:2.4.0
    pod_clean
}

# A containerd of our own; skips where it does not run. ctr COMMAND… talks to it.
with_containerd() {
    have containerd || skip "no containerd here"
    [ "$(id -u)" = 0 ] || skip "containerd needs root"
    cat >containerd.toml <<END
version = 2
root = "$PWD/containerd/root"
state = "$PWD/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "$PWD/containerd/socket"
[ttrpc]
address = "$PWD/containerd/ttrpc"
END
    mkdir containerd
    start containerd.log containerd --config containerd.toml
    (wait_for containerd test -S containerd/socket) || skip "containerd does not run here: $(tail -1 containerd.log)"
}
ctr() { command ctr --address containerd/socket --namespace k8s.io "$@"; }

# ctr_has: every image is in containerd, whole, with the digest of the source.
ctr_has() {
    local name
    while read -r name; do
        ctr images check "name==registry.example.com/$name" >checked
        grep -q "$(digest_of "$outside/${name%:*}" "${name##*:}") complete" checked
    done <"$work/names"
}

containerd_pulls_through_its_mirrors() {
    with_containerd
    local place way name
    for way in '' --keep-host; do
        for place in "$inside/hosts" "$inside/hosts/deep/er"; do
            "$binary" import "$file" -d "$place" --values values.yaml --force $way
            mirrors containerd "$place" $way
            while read -r name; do
                ctr images pull --snapshotter native --hosts-dir mirrors/certs.d "registry.example.com/$name"
            done <"$work/names"
            ctr_has
            while read -r name; do ctr images rm "registry.example.com/$name"; done <"$work/names"
        done
    done
}

kustomize_renames_images() {
    have kubectl || skip "no kubectl here"
    local name
    mirrors kustomize "$inside/kustomize" --pin
    mkdir app
    mv mirrors app/bundle
    printf 'resources: [pods.yaml]\ncomponents: [bundle]\n' >app/kustomization.yaml
    while read -r name; do
        printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {containers: [{name: a, image: "registry.example.com/%s"}]}\n' \
            "${name//[:.\/]/-}" "$name"
    done <"$work/names" >app/pods.yaml
    kubectl kustomize app >rendered.yaml
    while read -r name; do
        grep -F "image: $inside/kustomize/${name%:*}@$(digest_of "$outside/${name%:*}" "${name##*:}")" rendered.yaml
    done <"$work/names"
}

# --- without a registry -----------------------------------------------------------------------------------------------

# What K3s and RKE2 do with a file in their images folder.
containerd_imports_the_file() {
    with_containerd
    zstd -q -dc "$file" >bundle.tar
    ctr images import --snapshotter native bundle.tar
    ctr_has
    fails 1 command ctr --address containerd/socket images import "$file"
}

docker_loads_the_file() {
    have dockerd || skip "no dockerd here"
    [ "$(id -u)" = 0 ] || skip "dockerd needs root"
    mkdir docker
    export DOCKER_HOST=unix://$PWD/docker/socket
    start docker.log dockerd --data-root "$PWD/docker/root" --exec-root "$PWD/docker/exec" --pidfile "$PWD/docker/pid" \
        --host "$DOCKER_HOST" --iptables=false --ip6tables=false --bridge=none --storage-driver vfs
    (wait_for dockerd test -S docker/socket && wait_for dockerd docker version) || skip "dockerd does not run here: $(tail -1 docker.log)"
    local name
    zstd -q -dc "$file" | docker load
    while read -r name; do docker image inspect --format '{{.Id}}' "registry.example.com/$name"; done <"$work/names"
    fails 1 docker load -i "$file"
}

# Docker schema 2 images are not found in an OCI layout; podman load has them.
podman_pulls_from_the_file() {
    with_podman
    local name
    pod_clean
    while read -r name; do
        if [ "$name" = shop/worker:2.4.0 ]; then continue; fi
        pod pull -q --signature-policy "$work/policy.json" "oci-archive:$file:registry.example.com/$name"
        pod image inspect --format '{{.Digest}}' "registry.example.com/$name"
    done <"$work/names"
    pod_clean
}

# --- layouts of other tools -----------------------------------------------------------------------------------------

layouts_of_other_tools() {
    local name form
    # skopeo writes the whole name into org.opencontainers.image.ref.name.
    while read -r name; do
        sk copy -q --all --preserve-digests --src-tls-verify=false "docker://$outside/$name" "oci:layout:registry.example.com/$name"
    done <"$work/names"
    tar -C layout -cf layout.tar .
    gzip -k layout.tar
    zstd -q layout.tar -o layout.tar.zst
    tar -C layout -cf reversed.tar index.json blobs oci-layout
    for form in layout layout.tar layout.tar.gz layout.tar.zst reversed.tar; do
        "$binary" inspect "$form" >/dev/null
        "$binary" import "$form" -d "$inside/foreign/${form//./-}" --force
        arrived "$inside/foreign/${form//./-}"
    done
    mkdir spool
    for form in layout.tar layout.tar.gz layout.tar.zst reversed.tar; do
        "$binary" import - -d "$inside/foreign/piped-${form//./-}" --spool spool --values "$form.yaml" <"$form"
        arrived "$inside/foreign/piped-${form//./-}"
    done
    same '' "$(ls -A spool)" "what stays in the spool"
}

nameless_layout_of_skopeo() {
    sk copy -q --all --preserve-digests --src-tls-verify=false "docker://$outside/shop/ui:2.4.0" oci-archive:ui.tar
    "$binary" import ui.tar -d "$inside/nameless" --name registry.example.com/shop/ui:2.4.0
    same "$(digest_of "$outside/shop/ui" 2.4.0)" "$(digest_of "$inside/nameless/shop/ui" 2.4.0)" ui
}

# in_bundle FILE MEMBER: a member of a bundle, on stdout.
in_bundle() { zstd -q -dc "$1" | tar -xO "$2"; }

openssl_and_signatures() {
    export AIRGAP_BUNDLE_PASSPHRASE=geheim
    cp "$file" shop.tar.zst
    # Ours, checked by openssl: made at export, and later.
    "$binary" keygen -o ours
    openssl pkey -in ours.key -passin pass:geheim -pubout | cmp - ours.pub
    export_shop -o signed.tar.zst --sign-key ours.key
    in_bundle signed.tar.zst bundle.json >bundle.json
    in_bundle signed.tar.zst bundle.json.sig | base64 -d >embedded.der
    openssl dgst -sha256 -verify ours.pub -signature embedded.der bundle.json
    "$binary" sign shop.tar.zst --key ours.key
    base64 -d shop.tar.zst.sig >beside.der
    openssl dgst -sha256 -verify ours.pub -signature beside.der bundle.json
    fails 1 openssl dgst -sha256 -verify ours.pub -signature beside.der "$unpacked/index.json"
    # openssl's keys, in each form it writes.
    openssl ecparam -name prime256v1 -genkey -out sec1.key
    openssl ec -in sec1.key -pubout -out theirs.pub
    openssl pkcs8 -topk8 -nocrypt -in sec1.key -out pkcs8.key
    openssl pkcs8 -topk8 -passout pass:geheim -in sec1.key -out default.key
    openssl pkcs8 -topk8 -scrypt -passout pass:geheim -in sec1.key -out scrypt.key
    local key
    for key in sec1 pkcs8 default scrypt; do
        rm -f shop.tar.zst.s*
        "$binary" sign shop.tar.zst --key "$key.key"
        "$binary" verify shop.tar.zst --verify-key theirs.pub | grep -F 'signed by theirs.pub'
        fails 3 "$binary" verify shop.tar.zst --verify-key ours.pub
    done
    # Signatures openssl makes, as they are and in base64.
    rm -f shop.tar.zst.s*
    openssl dgst -sha256 -sign sec1.key -out shop.tar.zst.sig bundle.json
    "$binary" import shop.tar.zst -d "$inside/openssl" --verify-key theirs.pub
    base64 -w 76 shop.tar.zst.sig >again && mv again shop.tar.zst.sig
    "$binary" import shop.tar.zst -d "$inside/openssl" --verify-key theirs.pub
    openssl dgst -sha256 -sign sec1.key -out shop.tar.zst.sig "$unpacked/index.json"
    fails 3 "$binary" import shop.tar.zst -d "$inside/openssl" --verify-key theirs.pub
    echo "# $(openssl version | cut -d' ' -f1-2)"
}

# Statements, receipts and approvals, read and checked by the libraries of in-toto.
in_toto_and_statements() {
    local home=$cache/in-toto-0.9.3
    have python3 || skip "no Python here"
    if ! "$home/bin/python" -c 'import in_toto_attestation, securesystemslib.dsse' 2>/dev/null; then
        { python3 -m venv "$home" &&
            "$home/bin/pip" install -q 'in-toto-attestation==0.9.3' 'securesystemslib[crypto]==1.6.0'; } >pip.log 2>&1 ||
            skip "in-toto cannot be had: $(tail -1 pip.log)"
    fi
    "$binary" keygen -o ours --no-passphrase
    "$binary" keygen -o other --no-passphrase
    export_shop -o shop.tar.zst --statement
    "$binary" import shop.tar.zst -d "$inside/in-toto" --receipt receipt.json
    "$binary" sign --role approver shop.tar.zst --key ours.key
    cat >check.py <<'PYTHON'
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import Parse
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

def kind(text):
    statement = statement_pb2.Statement()
    Parse(text, statement)
    Statement.copy_from_pb(statement).validate()
    return statement.predicate_type

assert kind(open("shop.tar.zst.statement.json").read()) == "urn:airgap-bundle:statement:1"
assert kind(open("receipt.json").read()) == "urn:airgap-bundle:receipt:1"
line = open("shop.tar.zst.approvals").read()
key = load_pem_public_key(open(sys.argv[1], "rb").read())
key = SSlibKey.from_crypto(key, keyid=json.loads(line)["signatures"][0]["keyid"])
envelope = Envelope.from_dict(json.loads(line))
envelope.verify([key], 1)
assert kind(envelope.payload) == "urn:airgap-bundle:approval:1"
PYTHON
    "$home/bin/python" check.py ours.pub
    fails 1 "$home/bin/python" check.py other.pub
}

# --- what is built with Go (--all) ----------------------------------------------------------------------------------

# go_program NAME PACKAGE@VERSION: builds it once; its path is in $program afterwards.
go_program() {
    have go || skip "no Go here"
    program=$cache/${2##*@}/$1
    [ -x "$program" ] && return
    mkdir -p "$cache/${2##*@}"
    GOBIN=$cache/${2##*@} GOTOOLCHAIN=local CGO_ENABLED=0 go install "$2" >go.log 2>&1 ||
        skip "$2 cannot be had: $(grep -m1 -E '403|404|error|rror:|cannot|requires|replace|dial|no ' go.log || tail -1 go.log)"
    [ -x "$program" ] || skip "$2 builds no $1"
}

# built_in_a_copy NAME MODULE@VERSION PACKAGE TAGS [FOLDER…]: the same in a copy of the module, as `go install` wants a list
# of versions that is not served for all. The folders of the module that the program reads are beside it then.
built_in_a_copy() {
    local name=$1 module=$2 package=$3 tags=$4 source home folder
    shift 4
    have go || skip "no Go here"
    home=$cache/$name-${module##*@}
    program=$home/$name
    [ -x "$program" ] && return
    mkdir -p "$home"
    source=$(GOTOOLCHAIN=local go mod download -json "$module" 2>go.log | jq -r .Dir)
    [ -d "$source" ] || skip "$name cannot be had: $(tail -1 go.log)"
    cp -r "$source" module
    chmod -R u+w module
    (cd module && GOTOOLCHAIN=local GOFLAGS=-mod=mod go build -tags "$tags" -o "$program" "$package") >go.log 2>&1 ||
        skip "$name cannot be built: $(tail -1 go.log)"
    for folder in "$@"; do cp -r "module/$folder" "$home/"; done
    rm -rf module
}

crane_reads_and_writes() {
    go_program crane github.com/google/go-containerregistry/cmd/crane@v0.22.1
    local name
    serve file "$file"
    local from=$served
    serve folder --dir "$PWD/registry"
    while read -r name; do
        same "$(digest_of "$outside/${name%:*}" "${name##*:}")" "$("$program" digest --insecure "$from/$name")" "$name"
        "$program" copy --insecure "$from/$name" "$served/$name"
        # It takes every layer for gzip, so it cannot read the one that is not compressed.
        [ "$name" = tools/wait:latest ] || "$program" validate --insecure --remote "$served/$name"
    done <"$work/names"
    arrived "$served"
    # An OCI layout with one entry per image, and one without names.
    "$program" pull --insecure --format=oci --annotate-ref "$outside/shop/server:2.4.0" "$outside/tools/wait:latest" layout
    "$binary" inspect layout
    "$binary" import layout -d "$inside/crane"
    same "$(digest_of "$outside/tools/wait" latest)" "$(digest_of "$inside/crane/tools/wait" latest)" wait
}

oras_reads_and_writes() {
    go_program oras oras.land/oras/cmd/oras@v1.3.6
    serve folder --dir "$PWD/registry"
    local name
    while read -r name; do
        "$program" cp -r --from-oci-layout --to-plain-http "$unpacked:registry.example.com/$name" "$served/$name" ||
            "$program" cp -r --from-oci-layout-path "$unpacked" --to-plain-http "registry.example.com/$name" "$served/$name"
    done <"$work/names"
    arrived "$served"
    echo hello >file.txt
    "$program" attach --plain-http --artifact-type application/x.test "$served/shop/server:2.4.0" file.txt
    "$program" discover --plain-http --format json "$served/shop/server:2.4.0" | jq -e '(.referrers // .manifests) | length == 1'
}

regctl_reads_and_writes() {
    go_program regctl github.com/regclient/regclient/cmd/regctl@v0.11.7
    export REGCTL_CONFIG=$PWD/regctl.json
    serve folder --dir "$PWD/registry"
    local name
    "$program" registry set --tls disabled "$served"
    "$program" registry set --tls disabled "$outside"
    while read -r name; do
        "$program" image copy "$outside/$name" "$served/$name"
    done <"$work/names"
    arrived "$served"
    "$program" image export "$outside/shop/ui:2.4.0" ui.tar
    "$binary" import ui.tar -d "$inside/regctl" --name registry.example.com/shop/ui:2.4.0
    same "$(digest_of "$outside/shop/ui" 2.4.0)" "$(digest_of "$inside/regctl/shop/ui" 2.4.0)" ui
}

# cosign_and_signatures VERSION: keys and signatures, the older file and the newer bundle, both ways.
cosign_and_signatures() {
    go_program cosign "github.com/sigstore/cosign/v${1%%.*}/cmd/cosign@v$1"
    export AIRGAP_BUNDLE_PASSPHRASE=geheim COSIGN_PASSWORD=geheim HOME=$PWD
    # Newer bundles are not checked without a trusted root, and an empty one does for signatures by keys.
    echo '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}' >root.json
    cp "$file" shop.tar.zst
    in_bundle shop.tar.zst bundle.json >bundle.json
    verified() { "$program" verify-blob --insecure-ignore-tlog=true "$@"; }
    local newer="--new-bundle-format=true --trusted-root root.json" key older=
    case $1 in 3.*) older='--use-signing-config=false' ;; esac
    "$binary" keygen -o ours
    "$program" generate-key-pair
    for key in ours cosign; do
        rm -f shop.tar.zst.s*
        "$binary" sign shop.tar.zst --key $key.key
        verified --key $key.pub --new-bundle-format=false --signature shop.tar.zst.sig bundle.json
        verified --key $key.pub $newer --bundle shop.tar.zst.sigstore.json bundle.json
        fails 1 verified --key $key.pub $newer --bundle shop.tar.zst.sigstore.json "$unpacked/index.json"
    done
    rm -f shop.tar.zst.s*
    "$program" sign-blob -y $older --tlog-upload=false --key cosign.key --new-bundle-format=false --output-signature shop.tar.zst.sig bundle.json
    "$binary" verify shop.tar.zst --verify-key cosign.pub | grep -F ': shop.tar.zst.sig'
    rm shop.tar.zst.sig
    "$program" sign-blob -y $older --tlog-upload=false --key cosign.key --new-bundle-format=true --bundle shop.tar.zst.sigstore.json bundle.json
    "$binary" verify shop.tar.zst --verify-key cosign.pub | grep -F ': shop.tar.zst.sigstore.json'
    fails 3 "$binary" verify shop.tar.zst --verify-key ours.pub
    # The statement of an export is an attestation about bundle.json.
    attested() {
        "$program" verify-blob-attestation --insecure-ignore-tlog=true --key ours.pub $newer \
            --bundle stated.tar.zst.statement.json.sigstore.json --type urn:airgap-bundle:statement:1 "$1"
    }
    export_shop -o stated.tar.zst --statement --sign-key ours.key
    attested bundle.json
    fails 1 attested "$unpacked/index.json"
}
cosign_2_and_signatures() { cosign_and_signatures 2.6.1; }
cosign_3_and_signatures() { cosign_and_signatures 3.0.2; }

distribution_3() {
    go_program registry github.com/distribution/distribution/v3/cmd/registry@v3.1.2
    registry_program=$program registry three
    "$binary" import "$file" -d "$served"
    arrived "$served"
    "$binary" export "$work/list.txt" --source "registry.example.com=$served" -o back.tar.zst
    "$binary" verify back.tar.zst
    # It keeps what it got of an upload, so that nothing of it is sent again.
    big_image
    killed_in_the_middle "$binary" import big.tar.zst -d "$served/killed" --values big.yaml
    "$binary" import big.tar.zst -d "$served/killed" --values big.yaml --report big.json
    [ "$(jq .totals.bytesSent big.json)" -lt 32000000 ]
    echo "# $(jq .totals.bytesSent big.json) bytes of 40 MB were left to send after kill -9"
}

# timed COMMAND…: its milliseconds in $took.
timed() {
    local began
    began=$(date +%s%N)
    "$@"
    took=$((($(date +%s%N) - began) / 1000000))
}

# --limit-rate over ten seconds, of one large layer and of several at once: no faster than the limit; how much slower
# depends on the machine, and is reported.
limit_rate_holds() {
    local n layers=() kind figures=''
    for n in 1 2 3 4 5 6 7 8 9 10; do
        head -c 5000000 /dev/urandom >"$work/layers/part-$n"
        echo "sha256:$(sha256 "$work/layers/part-$n")" >"$work/layers/part-$n.diffid"
        layers+=("$work/layers/part-$n")
    done
    cat "${layers[@]}" >"$work/layers/parts"
    echo "sha256:$(sha256 "$work/layers/parts")" >"$work/layers/parts.diffid"
    image one amd64 "$work/layers/parts"
    image many amd64 "${layers[@]}"
    serve destination --dir "$PWD/destination"
    for kind in one many; do
        push_image $kind "$outside/rate/$kind" 1
        timed "$binary" export <(echo "$outside/rate/$kind:1") -o $kind.tar.zst --limit-rate 5M
        figures+="export of $kind layer(s) $took ms, "
        [ $took -ge 9500 ] || { echo "$figures"; return 1; }
        timed "$binary" import $kind.tar.zst -d "$served" --limit-rate 5M
        figures+="import $took ms, "
        [ $took -ge 9500 ] || { echo "$figures"; return 1; }
    done
    rm "${layers[@]}" "$work/layers/parts"
    echo "# 50 MB at 5 MB/s: ${figures%, }"
}

# A layer beyond 4 GiB through every part of it: source, file, both kinds of serving, destination.
a_layer_of_5_gib() {
    [ "$(df --output=avail -B1 . | tail -1)" -gt $((30 << 30)) ] || skip "no 30 GB to spare here"
    truncate -s 5G "$work/layers/huge"
    touch "$work/layers/huge.plain"
    echo "sha256:$(sha256 "$work/layers/huge")" >"$work/layers/huge.diffid"
    image huge amd64 "$work/layers/huge"
    # As a layer that says it is compressed: one that does not would be.
    sed -i "s|$oci_layer\"|$oci_layer+gzip\"|" "$work/images/huge.json"
    serve source --dir "$PWD/source"
    push_image huge "$served/huge/image" 1
    local digest peak
    digest=$(digest_of "$served/huge/image" 1)
    echo "$served/huge/image:1" >huge.txt
    "$binary" export huge.txt -o huge.tar.zst
    "$binary" verify huge.tar.zst
    serve destination --dir "$PWD/destination"
    # The most memory any of them had.
    "$binary" import huge.tar.zst -d "$served" & local pid=$!
    peak=0
    while kill -0 $pid 2>/dev/null; do
        peak=$(awk '/VmHWM/ {print $2}' /proc/$pid/status 2>/dev/null || echo "$peak")
        sleep 0.2
    done
    wait $pid
    same "$digest" "$(digest_of "$served/huge/image" 1)" huge
    cmp "$work/layers/huge" <(curl -fsS "http://$served/v2/huge/image/blobs/$(cat "$work/layers/huge.diffid")")
    rm "$work/layers/huge"
    echo "# import took ${peak:-?} kB of memory"
}

# zot 1.4.3, the last version whose module can be had: its path is in $program.
zot_program() {
    CGO_ENABLED=0 built_in_a_copy zot github.com/project-zot/zot@v1.4.3 ./cmd/zot containers_image_openpgp
}

# zot: one on a free port; its address is in $served afterwards.
zot() {
    zot_program
    local port tries=0
    while :; do
        port=$((20000 + RANDOM % 20000))
        printf '{"storage": {"rootDirectory": "%s"}, "http": {"address": "127.0.0.1", "port": "%s"}, "log": {"level": "info"}}' \
            "$PWD/zot.data" "$port" >zot.json
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            start zot.log "$program" serve zot.json
            if (wait_for zot curl -fsS -o /dev/null "http://127.0.0.1:$port/v2/"); then break; fi
        fi
        tries=$((tries + 1))
        [ $tries -lt 20 ]
    done
    served=127.0.0.1:$port
}

# zot takes OCI types only: the image of Docker's older kind is refused by name, and the others arrive.
zot_registry() {
    zot
    fails 7 "$binary" import "$file" -d "$served" --keep-going --report report.json 2>errors
    cat errors
    same 'registry.example.com/shop/worker:2.4.0' "$(jq -r '.images[] | select(.state == "failed") | .name' report.json)" "what failed"
    grep -q 'media type' errors
    local name
    grep -v worker "$work/names" >taken
    while read -r name; do
        same "$(digest_of "$outside/${name%:*}" "${name##*:}")" "$(digest_of "$served/${name%:*}" "${name##*:}")" "$name"
        echo "$served/$name" >>back.txt
    done <taken
    "$binary" export back.txt -o back.tar.zst
    "$binary" verify back.tar.zst
    "$binary" import back.tar.zst -d "$served" --values again.yaml --report again.json
    same 0 "$(jq .totals.blobBytes again.json)" "what a second import sent"
}

# signed_at REGISTRY: the shop's server and ui signed there by both generations of cosign, with an SBOM from oras at
# each, and one at a child of the index.
signed_at() {
    local place=$1 name child
    for name in shop/server shop/ui; do
        "$cosign2" sign --yes --key cosign.key --tlog-upload=false --allow-http-registry --allow-insecure-registry \
            "$place/$name@$(digest_of "$place/$name" 2.4.0)"
        "$cosign3" sign --yes --key cosign.key --use-signing-config=false --tlog-upload=false --allow-http-registry \
            --allow-insecure-registry "$place/$name@$(digest_of "$place/$name" 2.4.0)"
        "$oras" attach --plain-http --artifact-type application/spdx+json "$place/$name:2.4.0" sbom.json
    done
    child=$("$oras" manifest fetch --plain-http "$place/shop/ui:2.4.0" | jq -r '.manifests[0].digest')
    "$oras" attach --plain-http --artifact-type application/spdx+json "$place/shop/ui@$child" sbom.json
}

# found_at REGISTRY[/PREFIX]: all of that is found there. (In a list that cosign wrote itself it has the type of its
# config.)
found_at() {
    local place=$1 name child kinds
    for name in shop/server shop/ui; do
        "$cosign2" verify --key cosign.pub --insecure-ignore-tlog --allow-http-registry --allow-insecure-registry \
            "$place/$name:2.4.0"
        "$cosign3" verify --key cosign.pub --trusted-root root.json --insecure-ignore-tlog --allow-http-registry \
            --allow-insecure-registry "$place/$name:2.4.0"
        kinds=$("$oras" discover --plain-http --format json "$place/$name:2.4.0" | jq -r '[.referrers[].artifactType] | sort | join(" ")')
        if [ "$place" = "$without" ]; then kinds=${kinds/vnd.oci.empty/vnd.dev.sigstore.bundle.v0.3}; kinds=${kinds/v0.3.v1/v0.3}; fi
        same 'application/spdx+json application/vnd.dev.sigstore.bundle.v0.3+json' "$kinds" "what refers to $place/$name"
    done
    child=$("$oras" manifest fetch --plain-http "$place/shop/ui:2.4.0" | jq -r '.manifests[0].digest')
    "$oras" discover --plain-http --format json "$place/shop/ui@$child" | jq -e '.referrers | length == 1'
}

# Signatures, SBOMs and referrers: from a registry with and one without the referrers API into one of each kind.
signatures_behind_the_gap() {
    go_program cosign github.com/sigstore/cosign/v2/cmd/cosign@v2.6.1
    local cosign2=$program cosign3 oras place kind done=''
    go_program cosign github.com/sigstore/cosign/v3/cmd/cosign@v3.0.2
    cosign3=$program
    go_program oras oras.land/oras/cmd/oras@v1.3.6
    oras=$program
    COSIGN_PASSWORD='' "$cosign2" generate-key-pair
    export COSIGN_PASSWORD=''
    # cosign wants to be told that there is nothing to trust but the key.
    echo '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}' >root.json
    echo '{"spdxVersion":"SPDX-2.3"}' >sbom.json
    printf 'registry.example.com/%s:2.4.0\n' shop/server shop/ui >signed.txt
    serve api --dir "$PWD/api"
    local with=$served
    registry none
    local without=$served
    (go_program registry github.com/distribution/distribution/v3/cmd/registry@v3.1.2) && {
        program=$cache/v3.1.2/registry
        registry_program=$program registry three
        done=$served
    }
    for place in "$with" "$without"; do
        make_shop "$place"
        signed_at "$place"
        found_at "$place"
        "$binary" export signed.txt --source "registry.example.com=$place" -o signed.tar.zst --force
        for kind in "$with" "$without" $done; do
            "$binary" import signed.tar.zst -d "$kind/from/${place##*:}" --values values.yaml --force
            found_at "$kind/from/${place##*:}"
        done
    done
    echo "# cosign 2, cosign 3 and oras find them in $(set -- "$with" "$without" $done; echo $#) registries, from two"
}

# helm VERB…: the real one, with nothing of the user's.
helm() {
    go_program helm helm.sh/helm/v3/cmd/helm@v3.19.0
    HELM_CONFIG_HOME=$PWD/helm HELM_CACHE_HOME=$PWD/helm HELM_DATA_HOME=$PWD/helm "$program" "$@"
}

# Charts from a registry and from this machine, through the gap, and out of it by Helm.
helm_pulls_charts() {
    local version
    helm create shop
    helm package shop --version 0.1.0+build.5
    helm push shop-0.1.0+build.5.tgz "oci://$outside/charts" --plain-http
    helm package shop --version 0.2.0
    export_shop -o charts.tar.zst --add "oci://$outside/charts/shop:0.1.0+build.5" --add shop-0.2.0.tgz
    "$binary" import charts.tar.zst -d "$inside/helm"
    serve file charts.tar.zst
    mkdir pulled
    for version in 0.1.0+build.5 0.2.0; do
        helm pull "oci://$inside/helm/charts/shop" --version $version --plain-http -d pulled
        cmp "pulled/shop-$version.tgz" "shop-$version.tgz"
        helm template "oci://$served/charts/shop" --version $version --plain-http | grep '^kind: Deployment'
    done
}

# push_catalog CATALOG NAME…: an image of its own for every name of a catalog, in the registry outside.
push_catalog() {
    local number=0 name
    for name in $("$binary" catalog show "$1" --format json | jq -r '.images[].image' | sed "s/\$VERSION/$2/" | sort -u); do
        number=$((number + 1))
        image "of-$1-$number" amd64 "$work/layers/wait"
        name=${name#*/}
        push_image "of-$1-$number" "$outside/catalogs/${name%:*}" "${name##*:}"
    done
}

# The loop: a chart with the value paths of StackState's is rendered by Helm with the values of an import, and
# everything it names then is in the bundle, and in the registry at the right digest.
helm_loop_is_closed() {
    local place style mapping
    push_catalog stackstate@4.1 sts-v4.1.4
    "$binary" export stackstate@4.1 -o s.tar.zst --source "quay.io=$outside/catalogs" --source "docker.io=$outside/catalogs" \
        --source "docker.elastic.co=$outside/catalogs"
    for mapping in '' --keep-host; do
        for place in "$inside/loop" "$inside/loop/a/b"; do
            for style in '' --per-image '--per-image --pin' --pin; do
                # shellcheck disable=SC2086
                "$binary" import s.tar.zst -d "$place" $mapping $style --values values.yaml --force
                helm template s "$root/tests/charts/stackstate" --values values.yaml >rendered.yaml
                # shellcheck disable=SC2086
                "$binary" verify s.tar.zst --manifests - -d "$place" $mapping --strict <rendered.yaml
                # shellcheck disable=SC2086
                "$binary" verify s.tar.zst --manifests rendered.yaml $mapping --names-only
                case $style in *pin*) test "$(grep -c 'image: .*@sha256:' rendered.yaml)" = 28 ;; esac
            done
        done
    done
    # Without the values, or with a tag that nobody carried, it is no proof.
    helm template s "$root/tests/charts/stackstate" >rendered.yaml
    fails 3 "$binary" verify s.tar.zst --manifests rendered.yaml --names-only
    helm template s "$root/tests/charts/stackstate" --values values.yaml --set zookeeper.image.tag=3.7.0 >rendered.yaml
    fails 3 "$binary" verify s.tar.zst --manifests rendered.yaml --names-only -d "$place" --keep-host
    # What discover makes of the chart is the catalog; but for the suffix, which the page leaves out.
    PATH=$(dirname "$program"):$PATH "$binary" catalog discover --chart "$root/tests/charts/stackstate" \
        --helm-arg=--set=stackstate.components.all.image.repositorySuffix= --diff stackstate@4.1 --exit-code
}

# The same with a chart as it is published: cert-manager's, out of its Go module.
helm_loop_is_closed_for_cert_manager() {
    have go || skip "no Go here"
    local module place=$inside/cert/manager style
    module=$(GOFLAGS=-mod=mod GOTOOLCHAIN=local go mod download -json github.com/cert-manager/cert-manager@v1.21.2 2>go.log | jq -r .Dir) ||
        skip "cert-manager's module cannot be had: $(tail -1 go.log)"
    push_catalog cert-manager@1.21 v1.21.2
    "$binary" export cert-manager -o c.tar.zst --source "quay.io=$outside/catalogs"
    for style in '' --per-image '--per-image --pin'; do
        # shellcheck disable=SC2086
        "$binary" import c.tar.zst -d "$place" $style --values values.yaml --force
        cp -r "$module/deploy/charts/cert-manager" chart
        chmod -R u+w chart
        # The release fills in the version that stands for it in the sources.
        sed -i 's/^appVersion: .*/appVersion: v1.21.2/' chart/Chart.yaml
        helm template c chart --kube-version 1.30 --values values.yaml >rendered.yaml
        rm -r chart
        # The image of its solver is only told in an argument, so it is probable, and counts all the same.
        "$binary" verify c.tar.zst --manifests rendered.yaml -d "$place" --strict
    done
}

# The distribution-spec's own suite against the embedded registry: every API, every kind of content it knows.
conformance() {
    go_program conformance github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
    serve folder --dir "$PWD/registry"
    OCI_REGISTRY=$served OCI_TLS=disabled OCI_RESULTS_DIR=$PWD/results OCI_API_BLOBS_UPLOAD_CANCEL=true \
        OCI_API_BLOBS_DIGEST_HEADER=true OCI_API_MANIFESTS_DIGEST_HEADER=true "$program" >out || {
        cat out
        return 1
    }
    cat out
    # Skipped is what needs a guess of ours (a mount without its source); disabled, what no registry has to have.
    count() { grep -cE "^  [A-Z].*\.: +$1\$" out || true; }
    echo "# $(count Pass) kinds of requests and of content pass, $(count Skip) skipped, $(count Disabled) disabled"
}

# A link that cuts, stalls, slows and corrupts, registries that restart, a program that is killed; tests/it/chaos.rs
# has the rounds. Its figures are in the file chaos-figures, in the folder where builds go.
chaos() {
    local figures
    figures=$(target_dir)/chaos-figures
    (cd "$root" && CHAOS_SECONDS=${CHAOS_SECONDS:-3600} cargo test --locked --test it chaos:: -- --nocapture) >"$figures" 2>&1 ||
        { grep -E '^seed [0-9]+:|panicked|assertion' "$figures"; tail -25 "$figures"; echo "All of it is in $figures"; return 1; }
    grep -E '^(seed [0-9]|#)' "$figures"
}

# With Debian's registry, exports and imports are killed at random moments and run again, until they get through.
killed_again_and_again() {
    local until=$((SECONDS + ${KILLS_SECONDS:-120})) round=0 kills=0 pid
    RANDOM=${CHAOS_SEED:-1}
    # Slow enough that a kill meets something: about three seconds a run.
    local rate=5M
    # killed COMMAND…: runs it until it is done, killing it now and then.
    killed() {
        while :; do
            "$@" &
            pid=$!
            sleep "$((RANDOM % 3)).$((RANDOM % 10))"
            if [ $((RANDOM % 5)) != 0 ] && kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
            if wait $pid; then return; fi
        done
    }
    while [ $SECONDS -lt $until ]; do
        round=$((round + 1))
        rm -rf shop.tar.zst* inside.data
        # Not through a function: a kill would meet the shell around the program.
        killed "$binary" export "$work/list.txt" --source "registry.example.com=$outside" -o shop.tar.zst --limit-rate $rate
        cmp shop.tar.zst "$file"
        sha256sum -c --quiet shop.tar.zst.sha256
        test "$(ls)" = $'shop.tar.zst\nshop.tar.zst.sha256'
        registry "chaos$round"
        killed "$binary" import shop.tar.zst -d "$served" --limit-rate $rate --force
        arrived "$served"
        stop_all
        rm -rf "$work/chaos$round.data" shop.values.yaml
    done
    echo "# $round rounds, $kills kills"
}

# --- all of it ------------------------------------------------------------------------------------------------------

title "Building"
need_rust
cd "$root"
if [ -z "${BUNDLE:-}" ]; then cargo build --locked --bin bundle; fi
binary=${BUNDLE:-$(target_dir)/debug/bundle}
binary=$(realpath "$binary")

title "Tools"
tools docker-registry docker-registry skopeo skopeo curl curl jq jq zstd zstd openssl openssl || {
    note "without these nothing can be checked"
    printf '0 passed, 0 failed, 1 skipped\n'
    exit 0
}
tools podman podman umoci umoci nginx nginx htpasswd apache2-utils containerd containerd dockerd docker.io ||
    note "checks that need them are skipped"
"$binary" --version
docker-registry --version
skopeo --version
! have podman || podman --version
! have umoci || umoci --version
! have nginx || nginx -v 2>&1
! have containerd || containerd --version
! have dockerd || dockerd --version
zstd --version

# Nothing of the user's logins or configuration is used.
# (REGISTRY_AUTH_FILE would do for skopeo and podman, but docker-registry takes it for a setting of its own.)
export XDG_RUNTIME_DIR=$work/run XDG_CONFIG_HOME=$work/config DOCKER_CONFIG=$work/docker
export CONTAINERS_STORAGE_CONF=$work/storage.conf
mkdir -p "$XDG_RUNTIME_DIR" "$XDG_CONFIG_HOME" "$DOCKER_CONFIG"
# podman insists that this file is there.
echo '{}' >"$DOCKER_CONFIG/config.json"
mkdir -p "$work/tmp" "$work/podman"
printf '[storage]\ndriver = "vfs"\nrunroot = "%s"\ngraphroot = "%s"\n' "$work/podman/run" "$work/podman/root" >"$work/storage.conf"
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$work/policy.json"

title "Two registries, a small application in the first, a bundle of it"
registry outside
outside=$served
registry inside
inside=$served
make_shop "$outside" >"$work/names"
sed 's|^|registry.example.com/|' "$work/names" >"$work/list.txt"
cat "$work/list.txt"
mkdir "$work/out"
file=$work/out/shop.tar.zst
export_shop -o "$file"
unpacked=$work/unpacked
mkdir "$unpacked"
zstd -q -dc "$file" | tar -C "$unpacked" -x

title "Checks"
for name in \
    zstd_reads_the_file sidecar_checks_the_file coreutils_check_the_unpacked_bundle stdout_is_the_same_file exfat_is_written_in_order vfat_is_written_in_order \
    skopeo_reads_the_file skopeo_reads_the_unpacked_layout \
    skopeo_reads_the_file_as_a_docker_archive podman_loads_the_file umoci_reads_the_unpacked_layout \
    import_keeps_every_digest import_from_stdin basic_auth token_auth tls_from_a_private_authority mutual_tls_behind_nginx behind_nginx \
    behind_nginx_that_hangs_up a_registry_that_restarts_in_the_middle_of_a_pipe ecr_by_moto bundle_in_s3_by_moto from_a_web_server \
    read_only_registry serve_a_bundle_to_skopeo scanners_read_from_a_bundle serve_a_bundle_to_podman serve_a_folder_to_skopeo_and_podman \
    mirrors_lead_skopeo_and_podman_inside containerd_pulls_through_its_mirrors kustomize_renames_images \
    containerd_imports_the_file docker_loads_the_file podman_pulls_from_the_file \
    layouts_of_other_tools nameless_layout_of_skopeo openssl_and_signatures in_toto_and_statements; do
    check $name
done
if [ -n "$all" ]; then
    for name in crane_reads_and_writes oras_reads_and_writes regctl_reads_and_writes cosign_2_and_signatures \
        cosign_3_and_signatures distribution_3 signatures_behind_the_gap a_layer_of_5_gib zot_registry gitea_registry pulp_registry kubernetes_manifests_fit_the_schema \
        helm_pulls_charts helm_loop_is_closed helm_loop_is_closed_for_cert_manager \
        conformance limit_rate_holds killed_again_and_again chaos; do
        check $name
    done
fi

# The versions that were tried, between the marks of tests/COMPATIBILITY.md.
write_versions() {
    local page=$root/tests/COMPATIBILITY.md names=() name version
    for name in docker-registry skopeo podman umoci nginx containerd dockerd zstd openssl; do
        have "$name" || continue
        version=$(case $name in
            nginx) nginx -v 2>&1 ;;
            openssl) openssl version ;;
            *) "$name" --version ;;
        esac | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -1)
        names+=("$name $version")
    done
    local list
    list=$(printf '%s, ' "${names[@]}")
    {
        sed '/^<!-- versions -->$/q' "$page"
        printf '%s, %s: %s.\n' "$(date +%F)" "$(. /etc/os-release && echo "$PRETTY_NAME, $(uname -m)")" "${list%, }" | fold -s -w 120 | sed 's/ $//'
        sed -n '/^<!-- \/versions -->$/,$p' "$page"
    } >"$work/page"
    cat "$work/page" >"$page"
    note "written: tests/COMPATIBILITY.md"
}
if [ -n "$write" ] && [ $failed = 0 ] && [ "$pattern" = '*' ]; then write_versions; fi

title "Result"
printf '%s passed, %s failed, %s skipped\n' $passed $failed $skipped
[ $failed = 0 ]
