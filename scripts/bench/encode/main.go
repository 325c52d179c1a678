// Compresses as the tools that push images do: encode docker|crane|podman|buildkit-zstd <LAYER.tar >LAYER.
package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

func encoder(kind string, out io.Writer) (io.WriteCloser, error) {
	switch kind {
	case "docker":
		return gzip.NewWriter(out), nil
	case "crane":
		return gzip.NewWriterLevel(out, gzip.BestSpeed)
	case "podman":
		return pgzip.NewWriter(out), nil
	case "buildkit-zstd":
		return zstd.NewWriter(out)
	}
	return nil, fmt.Errorf("no encoder is named %q", kind)
}

func run(kind string) error {
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	packed, err := encoder(kind, out)
	if err != nil {
		return err
	}
	if _, err := io.Copy(packed, bufio.NewReaderSize(os.Stdin, 1<<20)); err != nil {
		return err
	}
	if err := packed.Close(); err != nil {
		return err
	}
	return out.Flush()
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
