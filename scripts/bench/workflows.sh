#!/usr/bin/env bash
# One workflow of the bench, by name: workflows.sh export_bundle
#
# Where things are comes from the environment: BUNDLE, source and destination (host:port), names (a list of
# repository:tag), run (a folder of this run's own), flat (all blobs of the payload by digest), urls, digests, helpers,
# scheme (http or https). What a workflow made stays until the next one of its kind begins.
set -euo pipefail

plain() { if [ "$scheme" = http ]; then echo "$1"; fi; }
tls_verify=$(if [ "$scheme" = http ]; then echo false; else echo true; fi)

# --- this program ---------------------------------------------------------------------------------------------------

export_bundle() {
    sed "s|^|$source/|" "$names" >"$run/list.txt"
    "$BUNDLE" export "$run/list.txt" -o "$run/bundle.tar.zst" --progress none >/dev/null
}
import_bundle() {
    "$BUNDLE" import "$run/bundle.tar.zst" -d "$destination" --values "$run/values.yaml" --force --progress none >/dev/null
}
reimport_bundle() { import_bundle; }
verify_bundle() { "$BUNDLE" verify "$run/bundle.tar.zst" --progress none >/dev/null; }

# --- what the machine can do ----------------------------------------------------------------------------------------

# Every distinct blob to a file, four at once, a hash of each as soon as it is there, and one hash over all that follows.
export_limit() {
    mkdir "$run/blobs"
    local hex
    cut -d' ' -f1 "$urls" | while read -r hex; do
        until [ -e "$run/blobs/$hex" ]; do sleep 0.02; done
        cat "$run/blobs/$hex"
    done | openssl dgst -sha256 >/dev/null &
    xargs -n 2 -P 4 "$helpers/download" "$run/blobs" <"$urls"
    wait $!
}
# Every distinct blob to the destination, four at once, into one repository; no manifests.
import_limit() { xargs -n 1 -P 4 "$helpers/upload" "$destination" <"$digests"; }
# The same in the form that nearly every registry takes, which is this program's and most peers' too.
import_limit_patch() { xargs -n 1 -P 4 "$helpers/upload_patch" "$destination" <"$digests"; }
# The hash of every blob, on all cores.
verify_limit() { sed "s|^|$flat/|" "$digests" | xargs -n 4 -P "$(nproc)" openssl dgst -sha256 >/dev/null; }

# --- skopeo: one OCI layout, tar, zstd ------------------------------------------------------------------------------

skopeo_out() {
    local name
    while read -r name; do
        "$1" --insecure-policy copy -q --all --src-tls-verify="$tls_verify" "docker://$source/$name" "oci:$run/layout:$name"
    done <"$names"
    tar -C "$run/layout" -cf - . | zstd -q -T0 -3 -o "$run/$2.tar.zst"
}
skopeo_in() {
    local name
    mkdir "$run/unpacked"
    zstd -q -dc "$run/$2.tar.zst" | tar -C "$run/unpacked" -xf -
    while read -r name; do
        "$1" --insecure-policy copy -q --all --dest-tls-verify="$tls_verify" "oci:$run/unpacked:$name" "docker://$destination/$name"
    done <"$names"
}
export_skopeo_debian() { skopeo_out /usr/bin/skopeo skopeo_debian; }
import_skopeo_debian() { skopeo_in /usr/bin/skopeo skopeo_debian; }
export_skopeo() { skopeo_out "$tools/skopeo" skopeo; }
import_skopeo() { skopeo_in "$tools/skopeo" skopeo; }

# --- crane: one OCI layout of all, tar, zstd; pushed one image at a time --------------------------------------------

export_crane() {
    # shellcheck disable=SC2046
    "$tools/crane" pull $(plain --insecure) --format=oci --annotate-ref $(sed "s|^|$source/|" "$names") "$run/layout"
    tar -C "$run/layout" -cf - . | zstd -q -T0 -3 -o "$run/crane.tar.zst"
}
import_crane() {
    mkdir "$run/unpacked" "$run/one"
    zstd -q -dc "$run/crane.tar.zst" | tar -C "$run/unpacked" -xf -
    ln -s "$run/unpacked/blobs" "$run/one/blobs"
    cp "$run/unpacked/oci-layout" "$run/one/"
    local name
    while read -r name; do
        jq --arg name "$name" '.manifests |= map(select(.annotations["org.opencontainers.image.ref.name"] | endswith("/" + $name)))' \
            "$run/unpacked/index.json" >"$run/one/index.json"
        "$tools/crane" push $(plain --insecure) "$run/one" "$destination/$name" >/dev/null 2>&1
    done <"$names"
}

# --- regctl: the same by way of ocidir ------------------------------------------------------------------------------

regctl_for() { REGCTL_CONFIG=$run/regctl.json "$tools/regctl" registry set "$1" --tls "$(if [ "$scheme" = http ]; then echo disabled; else echo enabled; fi)" 2>/dev/null; }
export_regctl() {
    local name
    regctl_for "$source"
    while read -r name; do
        REGCTL_CONFIG=$run/regctl.json "$tools/regctl" image copy "$source/$name" "ocidir://$run/layout:$(tr '/:' '__' <<<"$name")" >/dev/null 2>&1
    done <"$names"
    tar -C "$run/layout" -cf - . | zstd -q -T0 -3 -o "$run/regctl.tar.zst"
}
import_regctl() {
    local name
    mkdir "$run/unpacked"
    zstd -q -dc "$run/regctl.tar.zst" | tar -C "$run/unpacked" -xf -
    regctl_for "$destination"
    while read -r name; do
        REGCTL_CONFIG=$run/regctl.json "$tools/regctl" image copy "ocidir://$run/unpacked:$(tr '/:' '__' <<<"$name")" "$destination/$name" >/dev/null 2>&1
    done <"$names"
}

# --- imgpkg: one tar; all images into one repository, by digest only ------------------------------------------------

export_imgpkg() {
    { printf 'apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n'; sed "s|^|- image: $source/|" "$pinned"; } >"$run/images.yml"
    "$tools/imgpkg" copy $(plain --registry-insecure) --lock "$run/images.yml" --to-tar "$run/imgpkg.tar" >/dev/null 2>&1
    zstd -q -T0 -3 "$run/imgpkg.tar" -o "$run/imgpkg.tar.zst"
}
import_imgpkg() {
    zstd -q -d "$run/imgpkg.tar.zst" -o "$run/imgpkg.in.tar"
    "$tools/imgpkg" copy $(plain --registry-insecure) --tar "$run/imgpkg.in.tar" --to-repo "$destination/bench/all" >/dev/null 2>&1
}

# --- zarf: a package of one component -------------------------------------------------------------------------------

export_zarf() {
    mkdir -p "$run/zarf"
    { printf 'kind: ZarfPackageConfig\nmetadata:\n  name: bench\n  version: 1.0.0\ncomponents:\n- name: images\n  required: true\n  images:\n'
      sed "s|^|  - $source/|" "$names"; } >"$run/zarf/zarf.yaml"
    "$tools/zarf" package create "$run/zarf" --skip-sbom -a amd64 --confirm $(plain --plain-http) --no-color \
        --zarf-cache "$run/zarf.cache" --tmpdir "$run" -o "$run" >"$run/zarf.log" 2>&1
    mv "$run"/zarf-package-*.tar.zst "$run/zarf.tar.zst"
}
import_zarf() {
    ln "$run/zarf.tar.zst" "$run/zarf-package-bench-amd64-1.0.0.tar.zst"
    "$tools/zarf" package mirror-resources "$run/zarf-package-bench-amd64-1.0.0.tar.zst" --images --no-img-checksum --confirm \
        $(plain --plain-http) --no-color --registry-url "$destination" --zarf-cache "$run/zarf.cache" --tmpdir "$run" >"$run/zarf.log" 2>&1
}

"$1"
