#!/usr/bin/env bash
# From a fresh clone to images on the other side of a gap, on this machine only: builds the program, makes a small
# application's images in an embedded registry, exports them, and imports them into a second embedded registry.
# Needs a Rust toolchain; everything else that is missing is installed (Debian, as root) or named. BUNDLE names a program
# to use instead of the one that is built.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

title "Building (two or three minutes the first time)"
need curl curl tar tar gzip gzip || exit 1
if [ -n "${BUNDLE:-}" ]; then
    binary=$(realpath "$BUNDLE")
else
    need_rust
    cd "$root"
    # Without the features for Amazon ECR and S3, which nothing here needs: they are a
    # third of the compile time. The profile leaves out what takes time too.
    cargo build --locked --profile lean --bin bundle --no-default-features
    binary=$(target_dir)/lean/bundle
fi
"$binary" --version

title "An application's images, in a registry outside"
serve outside --dir "$work/outside"
outside=$served
make_shop "$outside" | sed "s|^|$outside/|"

place=$(target_dir)/quickstart
rm -rf "$place"
mkdir -p "$place"
cd "$place"

title "The catalog: which images, and where the Helm chart names them"
cat >shop.yaml <<'END'
name: shop
version: "2.4"
registryOverride: global.imageRegistry
variables:
  VERSION:
    default: 2.4.0
    description: the version of the shop
images:
  - chart: shop
    component: Server
    image: registry.example.com/shop/server:$VERSION
    registry: server.image.registry
    repository: server.image.repository
    tag: server.image.tag
  - chart: shop
    component: Worker
    image: registry.example.com/shop/worker:$VERSION
    registry: worker.image.registry
    repository: worker.image.repository
    tag: worker.image.tag
  - chart: shop
    component: UI
    image: registry.example.com/shop/ui:$VERSION
    registry: ui.image.registry
    repository: ui.image.repository
    tag: ui.image.tag
  - chart: shop
    component: multiple
    image: registry.example.com/tools/wait:latest
    registry: wait.image.registry
    repository: wait.image.repository
    tag: wait.image.tag
END
show "$binary" catalog show shop.yaml

title "Outside: the plan, and nothing written"
# The catalog's names are what the chart uses; --source says where they are pulled from today.
show "$binary" export shop.yaml --set VERSION=2.4.0 --source "registry.example.com=$outside" --dry-run

title "Outside: one file"
show "$binary" export shop.yaml --set VERSION=2.4.0 --source "registry.example.com=$outside"

title "What is in it, and whether every byte is intact"
show "$binary" inspect shop-2.4.tar.zst
show "$binary" verify shop-2.4.tar.zst

title "Inside: into a registry that has never seen the first one"
serve inside --dir "$work/inside"
inside=$served
show "$binary" import shop-2.4.tar.zst -d "$inside"

title "The same digests on both sides, as each registry reports them"
for name in shop/server:2.4.0 shop/worker:2.4.0 shop/ui:2.4.0 tools/wait:latest; do
    there=$(digest_of "$inside/${name%:*}" "${name##*:}")
    [ -n "$there" ] && [ "$there" = "$(digest_of "$outside/${name%:*}" "${name##*:}")" ] || die "$name differs"
    printf '%-20s %s\n' "$name" "$there"
done

title "For the chart: helm upgrade … --values shop-2.4.values.yaml"
cat shop-2.4.values.yaml

title "Done in $SECONDS s"
note "The bundle and the values file are in $place;"
note "the program is $binary."
[ -n "${BUNDLE:-}" ] || note "It is a debug build without Amazon ECR and S3; cargo build --release --locked builds all of it."
