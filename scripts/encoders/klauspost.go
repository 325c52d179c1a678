//go:build !std

package main

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/pgzip"
)

const isStd = false

func newWriter(to io.Writer, level int) (writer, error) { return flate.NewWriter(to, level) }

// The deflate data of pgzip.
func compressPgzip(level, blockSize int, data []byte, list []piece, to io.Writer) {
	var b bytes.Buffer
	w, err := pgzip.NewWriterLevel(&b, level)
	fail(err)
	fail(w.SetConcurrency(blockSize, 2))
	write(w, data, list)
	_, err = to.Write(b.Bytes()[10 : b.Len()-8])
	fail(err)
}
