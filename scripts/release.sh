#!/usr/bin/env bash
# Builds the program as it is handed out: static, so that it runs on any Linux of this architecture, in an empty folder too.
# With musl where its target and compiler can be had, else with the machine's own C library (glibc 2.34 and later have name
# resolution inside). Prints the path of the program; what it checks goes to stderr.
#
#   scripts/release.sh [OUTPUT]      default: target/release-static/bundle
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_rust
cd "$root"
arch=$(uname -m)
target=$arch-unknown-linux-gnu
has_musl() { rustup target list --installed 2>/dev/null | grep -qx "$arch-unknown-linux-musl"; }
if { has_musl || rustup target add "$arch-unknown-linux-musl"; } >&2 && need musl-gcc musl-tools >&2; then
    target=$arch-unknown-linux-musl
fi
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo build --release --locked --bin bundle --target "$target" >&2
output=${1:-$(target_dir)/release-static/bundle}
mkdir -p "$(dirname "$output")"
install -m 755 "$(target_dir)/$target/release/bundle" "$output"

# An empty folder as the root of everything: nothing of this machine helps.
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
install -m 755 "$output" "$empty/bundle"
size=$(size_of "$output")
[ "$size" -le $((30 << 20)) ] || die "the program has $size bytes, more than 30 MiB"
if as_root true; then
    as_root chroot "$empty" /bundle --version >&2
    printf 'registry.invalid/a/b:1\n' >"$empty/images.txt"
    # No network is needed to know that there is none.
    code=0
    as_root chroot "$empty" /bundle export /images.txt -o /x.tar.zst --retries 1 >&2 2>"$empty/err" || code=$?
    [ "$code" = 5 ] || { cat "$empty/err" >&2; die "an export in an empty root ended with $code, not 5"; }
fi
note "$target, $size bytes, runs in an empty root" >&2
printf '%s\n' "$output"
