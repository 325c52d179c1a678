#!/usr/bin/env bash
# Builds bin/k1.15.12 and so on, bin/go1.26 and bin/go1.27.
set -e
cd "$(dirname "$0")"
for mod in k*.mod; do
	name=${mod%.mod}
	test -f "$name.sum" || go mod download -modfile="$mod" github.com/klauspost/compress github.com/klauspost/pgzip
	go build -mod=mod -modfile="$mod" -o "bin/$name" .
done
GOTOOLCHAIN=go1.26.8 go build -tags std -o bin/go1.26 .
GOTOOLCHAIN=go1.27.3 go build -tags std -o bin/go1.27 .
