#!/usr/bin/env bash
# Brings the dependencies forward: everything that the requirements in Cargo.toml allow, then what they hold back, then
# the checks. Changes Cargo.lock only; commit it when the end of the output says so.
#
#   scripts/update.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_rust
cd "$root"

title "Cargo.lock"
cargo update

title "Held back by a requirement in Cargo.toml, or by a dependency"
# Lines like "Unchanged NAME v1.0.0 (available: v2.0.0)". Without "available", the crate is only newer than rust-version.
unchanged=$(cargo update --verbose --dry-run 2>&1 | sed -n 's/^ *Unchanged //p')
held=$(grep -F 'available: ' <<<"$unchanged" || true)
if [ -n "$held" ]; then
    printf '%s\n' "$held"
    note "to raise one of them: its version in Cargo.toml, or that of the crate that needs it (cargo tree -i NAME)"
else
    note "none"
fi
newest=$(sed -n 's/.*requires Rust \([0-9.]*\).*/\1/p' <<<"$unchanged" | sort -V | tail -1)
[ -z "$newest" ] || note "crates in use need Rust $newest; Cargo.toml says $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"

title "Licences, sources, bans"
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --config scripts/deny.toml check licenses bans sources
    # Needs a clone of the advisory database from GitHub, which may be out of reach.
    cargo deny --config scripts/deny.toml check advisories || note "advisories were not checked, or there are some: see above"
else
    die "cargo deny is missing; install it first: cargo install cargo-deny --locked --version 0.20.2"
fi

title "Tests"
# The fuzzers have a lock of their own.
if [ -f tests/fuzz/Cargo.toml ]; then cargo update --manifest-path tests/fuzz/Cargo.toml; fi
scripts/test.sh

title "Done: commit Cargo.lock and tests/fuzz/Cargo.lock"
git diff --stat -- Cargo.lock tests/fuzz/Cargo.lock
