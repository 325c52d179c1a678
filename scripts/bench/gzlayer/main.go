// gzlayer LEVEL <tar >gz: a layer as docker, buildkit (6) or crane (1) compress it. Build with Go 1.26, because later
// versions have another encoder.
package main

import (
	"compress/gzip"
	"io"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
)

func main() {
	if !strings.HasPrefix(runtime.Version(), "go1.26") {
		log.Fatalf("built with %s, not Go 1.26", runtime.Version())
	}
	level, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	out, err := gzip.NewWriterLevel(os.Stdout, level)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(out, os.Stdin); err != nil {
		log.Fatal(err)
	}
	if err := out.Close(); err != nil {
		log.Fatal(err)
	}
}
