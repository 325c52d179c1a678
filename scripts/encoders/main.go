// Streams of the real encoders, with which tests/it/encoders.rs compares: Go's compress/flate, klauspost/compress and
// klauspost/pgzip. build.sh makes one program for each version, bin/go1.26, bin/go1.27 and bin/k1.15.12 to bin/k1.20.3.
//
//	bin/go1.26 golden >../../tests/it/golden/encoders/go126.json   digests for the inputs below
//	bin/k1.18.2 golden 7 8 9                                       the same at some levels
//	bin/go1.26 inputs DIR                                          the inputs themselves, for zlib.py
//	bin/k1.18.0 check                                              compares records on standard input
//	bin/k1.18.0 time LEVEL FILE                                    seconds to compress a file
//	bin/k1.18.0 digest LEVEL                                       the digest of standard input, compressed
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// xorshift64*
type random uint64

func (r *random) next() uint64 {
	*r ^= *r >> 12
	*r ^= *r << 25
	*r ^= *r >> 27
	return uint64(*r) * 0x2545f4914f6cdd1d
}

func (r *random) below(n uint64) uint64 { return (r.next() >> 32) % n }

func (r *random) bytes(n int, mask byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.next()>>56) & mask
	}
	return b
}

// Words from a list, common ones first, and some lines again.
func (r *random) text(n int) []byte {
	words := make([][]byte, 500)
	for i := range words {
		for range 2 + r.below(9) {
			words[i] = append(words[i], byte('a'+r.below(26)))
		}
	}
	var b []byte
	for len(b) < n {
		if len(b) > 200 && r.below(40) == 0 {
			from := int(r.below(uint64(len(b) - 100)))
			b = append(b, b[from:from+int(20+r.below(80))]...)
		}
		b = append(b, words[r.below(1+r.below(500))]...)
		b = append(b, " \n"[r.below(10)/9])
	}
	return b[:n]
}

type input struct {
	name string
	data []byte
}

func inputs() (list []input) {
	add := func(name string, data []byte) { list = append(list, input{name, data}) }
	r := random(0x9e3779b97f4a7c15)
	text := r.text(300000)
	add("empty", nil)
	add("one byte", []byte("a"))
	add("zeros", make([]byte, 300000))
	add("random", r.bytes(100000, 0xff))
	add("text", text)
	for _, n := range []int{3, 4, 16, 17, 127, 128, 261, 262, 32767, 32768, 32769, 65273, 65274, 65535, 65536, 65537} {
		add("text of "+strconv.Itoa(n), text[:n])
	}
	// A block again after as many bytes as the largest offset, one less and one more.
	for _, n := range []int{32767, 32768, 32769} {
		var b []byte
		for len(b) < n {
			b = append(append(b, r.bytes(12, 0xff)...), make([]byte, 20)...)
		}
		b = b[:n]
		add("again after "+strconv.Itoa(n), bytes.Repeat(b, 4))
	}
	var runs []byte
	for n := 1; n <= 600; n++ {
		runs = append(runs, bytes.Repeat(r.bytes(1, 0xff), n)...)
	}
	add("runs", runs)
	var lengths []byte
	b := r.bytes(600, 0xff)
	for n := 1; n <= 300; n++ {
		lengths = append(append(lengths, b[:n]...), r.bytes(3, 0xff)...)
	}
	add("lengths", lengths)
	add("few literals", r.bytes(120000, 0x3f))
	add("two literals", r.bytes(60000, 0x01))
	// Most positions have to be made smaller after 16 MiB.
	var long []byte
	b = r.bytes(20000, 0xff)
	for len(long) < 17500000 {
		b[r.below(20000)]++
		long = append(long, b...)
	}
	add("long", long)
	// Symbols as often as Fibonacci numbers, which would have the longest codes.
	var fibonacci []byte
	for symbol, now, next := byte(0), 1, 1; symbol < 22; symbol, now, next = symbol+1, next, now+next {
		fibonacci = append(fibonacci, bytes.Repeat([]byte{symbol}, now)...)
	}
	for n := len(fibonacci); n > 1; n-- {
		other := r.below(uint64(n))
		fibonacci[n-1], fibonacci[other] = fibonacci[other], fibonacci[n-1]
	}
	add("fibonacci", fibonacci)
	// Matches with a large offset at the last position before the window moves, where the sizes of writes matter.
	b = r.bytes(300000, 0xff)
	for n := 65274; n < len(b); n += 32768 {
		copy(b[n:n+20], b[n-32700:])
	}
	add("window end", b)
	// At level 1, each flush of few bytes lets the positions grow, until they have to be made smaller.
	add("below the largest position", append(text[:65529:65529], text...))
	add("above the largest position", append(text[:65600:65600], text...))
	// Matches of four bytes, which must not be too far away.
	b = r.bytes(20000, 0xff)
	for n := 5000; n < len(b); n += 50 {
		copy(b[n:n+4], b[n-4095-int(r.below(4)):])
	}
	add("short matches", b)
	// Written in pieces of 1 to 300 bytes, so that the kinds of blocks are near each other in size.
	add("growing text", text[:45150])
	add("growing zeros", make([]byte, 45150))
	add("growing digits", r.bytes(45150, 0x0b))
	add("growing letters", r.bytes(45150, 0x3f))
	add("growing bytes", r.bytes(45150, 0xff))
	return list
}

type piece struct {
	size  int
	flush bool
}

// Sizes of writes, with flushes after some.
func pieces(n int) (list []piece) {
	r := random(uint64(n) + 1)
	for n > 0 || len(list) < 3 {
		most := []uint64{20, 300, 5000, 70000, 400000}[r.below(5)]
		size := min(int(r.below(most)), n)
		n -= size
		list = append(list, piece{size, r.below(3) == 0})
	}
	return list
}

// Go's own encoder up to 1.26, in which the sizes of writes can matter.
var isOld = isStd && strings.HasPrefix(runtime.Version(), "go1.26")

// Ways to write an input, by name.
func ways(name string, level, n int) map[string][]piece {
	singles := func(n int, flush bool) []piece { return slices.Repeat([]piece{{1, flush}}, n) }
	switch name {
	case "below the largest position", "above the largest position":
		if !isOld || level != 1 {
			return nil
		}
		return map[string][]piece{"flushes": append(singles(n-300000, true), piece{300000, false})}
	case "growing text", "growing zeros", "growing digits", "growing letters", "growing bytes":
		var list []piece
		for size := 1; size <= 300; size++ {
			list = append(list, piece{size, true})
		}
		return map[string][]piece{"growing": list}
	case "long":
		other := 5
		if isOld {
			other = 2
		}
		if level != 6 && level != other {
			return nil
		}
		return map[string][]piece{"whole": {{n, false}}}
	case "window end":
		if isOld {
			return map[string][]piece{"whole": {{n, false}}, "bytes": singles(n, false)}
		}
	}
	return map[string][]piece{"whole": {{n, false}}, "pieces": pieces(n)}
}

type writer interface {
	io.WriteCloser
	Flush() error
}

func compress(level int, data []byte, list []piece, to io.Writer) {
	w, err := newWriter(to, level)
	fail(err)
	write(w, data, list)
}

func write(w writer, data []byte, list []piece) {
	for _, p := range list {
		_, err := w.Write(data[:p.size])
		fail(err)
		data = data[p.size:]
		if p.flush {
			fail(w.Flush())
		}
	}
	fail(w.Close())
}

// How an encoder is named: "5", or "pgzip 5 1048576".
func golden(only []string) {
	all := map[string]map[string]map[string][2]any{}
	for _, in := range inputs() {
		levels := map[string]map[string][2]any{}
		add := func(name, way string, stream []byte) {
			if levels[name] == nil {
				levels[name] = map[string][2]any{}
			}
			sum := sha256.Sum256(stream)
			levels[name][way] = [2]any{len(stream), hex.EncodeToString(sum[:])}
		}
		for level := -2; level <= 9; level++ {
			if level == -1 || len(only) > 0 && !slices.Contains(only, strconv.Itoa(level)) {
				continue
			}
			for way, list := range ways(in.name, level, len(in.data)) {
				var b bytes.Buffer
				compress(level, in.data, list, &b)
				add(strconv.Itoa(level), way, b.Bytes())
			}
			if n := len(in.data); isStd {
			} else if n < 1000000 && !strings.HasPrefix(in.name, "growing") {
				var b bytes.Buffer
				compressPgzip(level, 20000, in.data, pieces(n), &b)
				add("pgzip "+strconv.Itoa(level)+" 20000", "pieces", b.Bytes())
			} else if level == 5 {
				var b bytes.Buffer
				compressPgzip(level, 1<<20, in.data, []piece{{n, false}}, &b)
				add("pgzip "+strconv.Itoa(level)+" 1048576", "whole", b.Bytes())
			}
		}
		if len(levels) > 0 {
			all[in.name] = levels
		}
	}
	out, err := json.MarshalIndent(all, "", " ")
	fail(err)
	// One line for each stream.
	out = bytes.ReplaceAll(out, []byte("[\n    "), []byte("["))
	out = bytes.ReplaceAll(out, []byte(",\n    \""), []byte(", \""))
	out = bytes.ReplaceAll(out, []byte("\"\n   ]"), []byte("\"]"))
	fmt.Printf("%s\n", out)
}

func check() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	number := func() (n uint32, end bool) {
		err := binary.Read(in, binary.LittleEndian, &n)
		if err == io.EOF {
			return 0, true
		}
		fail(err)
		return n, false
	}
	must := func() int {
		n, end := number()
		if end {
			fail(io.ErrUnexpectedEOF)
		}
		return int(n)
	}
	records, raw, different := 0, 0, 0
	for {
		first, end := number()
		if end {
			break
		}
		kind, level, parameter := int(first), int(int32(must())), must()
		list, total := make([]piece, must()), 0
		for i := range list {
			n := must()
			list[i] = piece{n >> 1, n&1 == 1}
			total += n >> 1
		}
		data := make([]byte, total)
		_, err := io.ReadFull(in, data)
		fail(err)
		stream := make([]byte, must())
		_, err = io.ReadFull(in, stream)
		fail(err)
		var b bytes.Buffer
		switch kind {
		case 0:
			compress(level, data, list, &b)
		case 1:
			compressPgzip(level, parameter, data, list, &b)
		}
		records++
		raw += total
		if !bytes.Equal(b.Bytes(), stream) {
			different++
			if different < 30 {
				fmt.Printf("record %d differs: kind %d, level %d, parameter %d, %d bytes, %d writes\n", records, kind, level, parameter, total, len(list))
			}
		}
	}
	fmt.Printf("%d records, %d bytes, %d differ\n", records, raw, different)
	if different > 0 {
		os.Exit(1)
	}
}

func measure(level int, file string) {
	data, err := os.ReadFile(file)
	fail(err)
	start := time.Now()
	var list []piece
	for n := len(data); n > 0; n -= 32768 {
		list = append(list, piece{min(n, 32768), false})
	}
	compress(level, data, list, io.Discard)
	fmt.Printf("%.3f\n", time.Since(start).Seconds())
}

func digest(level int) {
	sum := sha256.New()
	w, err := newWriter(sum, level)
	fail(err)
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{os.Stdin}, make([]byte, 1<<20))
	fail(err)
	fail(w.Close())
	fmt.Printf("%x\n", sum.Sum(nil))
}

func main() {
	switch os.Args[1] {
	case "golden":
		golden(os.Args[2:])
	case "inputs":
		for _, in := range inputs() {
			fail(os.WriteFile(os.Args[2]+"/"+in.name, in.data, 0o644))
		}
	case "check":
		check()
	case "digest":
		level, err := strconv.Atoi(os.Args[2])
		fail(err)
		digest(level)
	case "time":
		level, err := strconv.Atoi(os.Args[2])
		fail(err)
		measure(level, os.Args[3])
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
