#!/usr/bin/env bash
# Builds the program as it is handed out: static, so that it runs on any Linux of this architecture, in an empty folder
# too. With musl if its target and compiler can be installed, otherwise with the machine's own C library (glibc 2.34 and
# later have name resolution inside). Prints the path of the program; everything else goes to stderr.
#
#   scripts/release.sh [OUTPUT]      default: target/release-static/bundle
#
# Beside the program it writes bundle.cdx.json (an SBOM in CycloneDX form), LICENSE and NOTICE, which go with every copy,
# and SHA256SUMS over all of them. With a key it signs the checksums:
#
#   SIGN_KEY=site.key                a key of `bundle keygen`, or any P-256 key in PKCS#8 or SEC1 that openssl reads
#   AIRGAP_BUNDLE_PASSPHRASE=…       its pass phrase; openssl asks for it otherwise
#   PROFILE=dev                      a quick build, to try this script
#
# A user checks the release with the public key, by either of:
#
#   base64 -d SHA256SUMS.sig >SHA256SUMS.der
#   openssl dgst -sha256 -verify site.pub -signature SHA256SUMS.der SHA256SUMS && sha256sum -c SHA256SUMS
#
#   cosign verify-blob --key site.pub --signature SHA256SUMS.sig --insecure-ignore-tlog SHA256SUMS && sha256sum -c SHA256SUMS
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_rust
# Named from the folder of the caller.
output=${1:+$(realpath -m "$1")}
key=${SIGN_KEY:+$(realpath -m "$SIGN_KEY")}
cd "$root"
profile=${PROFILE:-release}
sbom_tool=0.5.9
arch=$(uname -m)
target=$arch-unknown-linux-gnu
has_musl() { rustup target list --installed 2>/dev/null | grep -qx "$arch-unknown-linux-musl"; }
if { has_musl || rustup target add "$arch-unknown-linux-musl"; } >&2 && need musl-gcc musl-tools >&2; then
    target=$arch-unknown-linux-musl
fi
# Before the build, which takes long.
need sha256sum coreutils >&2
[ -z "$key" ] || need openssl openssl >&2
[ -z "$key" ] || [ -r "$key" ] || die "the key $key cannot be read"
tools=$(realpath -m "$(target_dir)")/release-tools
if ! PATH=$tools/bin:$PATH cargo cyclonedx --version 2>/dev/null | grep -qF "$sbom_tool"; then
    CARGO_TARGET_DIR=$tools/target cargo install cargo-cyclonedx --locked --version "$sbom_tool" --root "$tools" --quiet >&2
fi

RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
    cargo build --profile "$profile" --locked --bin bundle --target "$target" >&2
case $profile in dev) built=debug ;; *) built=$profile ;; esac
output=${output:-$(realpath -m "$(target_dir)")/release-static/bundle}
folder=$(dirname "$output")
name=$(basename "$output")
mkdir -p "$folder"
install -m 755 "$(target_dir)/$target/$built/bundle" "$output"

# An empty folder as the root: the program must not need any file of this machine.
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
install -m 755 "$output" "$empty/bundle"
size=$(size_of "$output")
[ "$profile" != release ] || [ "$size" -le $((30 << 20)) ] || die "the program has $size bytes, more than 30 MiB"
if as_root true; then
    as_root chroot "$empty" /bundle --version >&2
    printf 'registry.invalid/a/b:1\n' >"$empty/images.txt"
    # This needs no network: the name cannot be resolved.
    code=0
    as_root chroot "$empty" /bundle export /images.txt -o /x.tar.zst --retries 1 >&2 2>"$empty/err" || code=$?
    [ "$code" = 5 ] || { cat "$empty/err" >&2; die "an export in an empty root ended with $code, not 5"; }
fi

# The tool writes beside Cargo.toml only.
trap 'rm -rf "$empty" "$root/release-sbom.json"' EXIT
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0) PATH=$tools/bin:$PATH \
    cargo cyclonedx --format json --spec-version 1.5 --target "$target" --override-filename release-sbom --quiet >&2
# Without the path of the sources on this machine, so that the same commit gives the same file.
sed "s|file://$root\b|file:///bundle|g" release-sbom.json >"$folder/$name.cdx.json"

install -m 644 LICENSE NOTICE "$folder/"

cd "$folder"
sha256sum "$name" "$name.cdx.json" LICENSE NOTICE >SHA256SUMS
rm -f SHA256SUMS.sig
if [ -n "$key" ]; then
    pass=()
    [ -z "${AIRGAP_BUNDLE_PASSPHRASE:-}" ] || pass=(-passin env:AIRGAP_BUNDLE_PASSPHRASE)
    # In the form of FILE.sig of `bundle sign`: base64 of the DER signature.
    openssl dgst -sha256 -sign "$key" ${pass[@]+"${pass[@]}"} -out "$empty/sig" SHA256SUMS
    base64 -w 0 "$empty/sig" >SHA256SUMS.sig
    openssl pkey -in "$key" ${pass[@]+"${pass[@]}"} -pubout -out "$empty/pub"
    openssl dgst -sha256 -verify "$empty/pub" -signature "$empty/sig" SHA256SUMS >&2
else
    note "not signed; name a key with SIGN_KEY=FILE" >&2
fi
note "$target, $size bytes, runs in an empty root; $folder has its SBOM and SHA256SUMS" >&2
printf '%s\n' "$output"
