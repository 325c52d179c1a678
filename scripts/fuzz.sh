#!/usr/bin/env bash
# Fuzzes every reader of foreign input, from the seeds in tests/fuzz/seeds: scripts/fuzz.sh [SECONDS [TARGET…]]
# Without arguments, 10 seconds each; before a release, 1800. Findings stay in target/fuzz/findings/TARGET; their inputs belong into the seeds
# and a test once they are mended. Needs cargo-fuzz, which is installed where it is missing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_rust
cd "$root"
seconds=${1:-10}
shift || true
fuzz_version=0.13.2
if ! cargo fuzz --version >/dev/null 2>&1; then
    CARGO_TARGET_DIR=$(target_dir)/cargo-fuzz cargo install cargo-fuzz --locked --version "$fuzz_version" --quiet
fi
# The coverage instrumentation for libFuzzer is an unstable flag, which a stable compiler accepts only with this variable.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(target_dir)/fuzz
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir tests/fuzz)
# Without the address sanitizer: there is no unsafe code to catch, and the C of zstd is fuzzed by its makers.
flags=(--fuzz-dir tests/fuzz --dev --sanitizer none --target "$(rustc -vV | sed -n 's/^host: //p')")
cargo fuzz build "${flags[@]}"
for target in "${targets[@]}"; do
    corpus=$CARGO_TARGET_DIR/corpus/$target findings=$CARGO_TARGET_DIR/findings/$target
    mkdir -p "$corpus" "$findings"
    echo "== $target, $seconds s"
    cargo fuzz run "${flags[@]}" "$target" "$corpus" "tests/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=512 -max_len=200000 \
        -artifact_prefix="$findings/" -print_final_stats=1 2>&1 | tee "$findings/log" |
        grep -E '^(stat::number_of_executed_units|SUMMARY|thread|==[0-9]+== ERROR)|panicked|INITED' || true
    ! grep -qE 'panicked|==[0-9]+== ERROR|SUMMARY: libFuzzer' "$findings/log" || exit 1
    grep -q '^Done [0-9]* runs' "$findings/log" || { tail -20 "$findings/log"; exit 1; }
done
