#!/usr/bin/env bash
# All tests. Needs a Rust toolchain; a missing C compiler is installed (Debian, as root) or named. Tests against other
# programs are run by scripts/interop.sh.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_rust
cd "$root"
exec cargo test --locked "$@"
