//go:build std

package main

import (
	"compress/flate"
	"io"
)

const isStd = true

func newWriter(to io.Writer, level int) (writer, error) { return flate.NewWriter(to, level) }

func compressPgzip(level, blockSize int, data []byte, list []piece, to io.Writer) {
	panic("no pgzip")
}
