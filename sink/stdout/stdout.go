// Package stdout is the sink that writes points as NDJSON, one object a line,
// for people, tests and pipes.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"weft/ledger"
	"weft/record"
	"weft/record/encode"
)

// flushBytes is when a batch is written before it is complete, so that a large
// batch does not need memory for all its text.
const flushBytes = 256 << 10

// Sink writes NDJSON to one writer. Not safe for concurrent use.
type Sink struct {
	w     io.Writer
	stage *ledger.Stage
	buf   []byte
	lines []int // end of each line in buf
	// torn is set while the reader has the beginning of a line that broke off.
	torn bool
	// gone is set once the reader has closed its end of the pipe.
	gone bool
}

// New returns a sink on w that counts points in stage. The process must ignore
// SIGPIPE (signal.Ignore) when w is its standard output: the runtime's default
// kills it at the first write to a closed pipe.
func New(w io.Writer, stage *ledger.Stage) *Sink { return &Sink{w: w, stage: stage} }

// Write gives all of batch to the writer before it returns. An error means
// that points were dropped and counted (broken_pipe, write_error). A broken
// pipe stays broken, so it is an error once; later batches are only counted.
func (s *Sink) Write(_ context.Context, batch []record.Point) error {
	s.stage.In(int64(len(batch)))
	if s.gone {
		s.stage.Drop("broken_pipe", int64(len(batch)))
		return nil
	}
	for i := range batch {
		s.buf = encode.AppendNDJSON(s.buf, &batch[i])
		s.lines = append(s.lines, len(s.buf))
		if len(s.buf) < flushBytes && i < len(batch)-1 {
			continue
		}
		if err := s.flush(); err != nil {
			s.drop(err, len(batch)-1-i)
			return fmt.Errorf("write to standard output: %w", err)
		}
	}
	return nil
}

// flush writes the buffer and counts the lines that went out whole as out.
func (s *Sink) flush() error {
	if s.torn {
		// End the broken line, so that it spoils only itself.
		if _, err := s.w.Write([]byte{'\n'}); err != nil {
			s.drop(err, len(s.lines))
			s.buf, s.lines = s.buf[:0], s.lines[:0]
			return err
		}
		s.torn = false
	}
	n, err := s.w.Write(s.buf)
	whole := 0
	for whole < len(s.lines) && s.lines[whole] <= n {
		whole++
	}
	s.stage.Out(int64(whole))
	if err != nil {
		s.torn = n > 0 && (whole == 0 || s.lines[whole-1] != n)
		s.drop(err, len(s.lines)-whole)
	}
	s.buf, s.lines = s.buf[:0], s.lines[:0]
	return err
}

func (s *Sink) drop(err error, points int) {
	reason := "write_error"
	if errors.Is(err, syscall.EPIPE) {
		reason, s.gone = "broken_pipe", true
	}
	s.stage.Drop(reason, int64(points))
}

// Close has nothing to flush: every Write did. The writer stays open.
func (s *Sink) Close(context.Context) error { return nil }
