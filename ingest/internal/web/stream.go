package web

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Frame is one message of a push.
type Frame struct {
	// Event is the name of a server-sent event; empty on a WebSocket.
	Event string
	Data  []byte
}

// Stream is a push that is followed. Next is called by one goroutine, Alive by another.
type Stream interface {
	// Next waits for the next frame. The error is an *Error unless ctx ended.
	Next(ctx context.Context) (Frame, error)
	// Alive asks whether the other side is still there; it needs somebody in Next.
	Alive(ctx context.Context) error
	Close()
}

const (
	// maxFrame is the largest frame that is read.
	maxFrame = 1 << 20
	// aliveWithin is how long the other side may take to show life.
	aliveWithin = 20 * time.Second
	// sseSilence is how long server-sent events may be silent: servers send a comment at least that often.
	sseSilence = 90 * time.Second
)

// WebSocketOptions say how a WebSocket is opened.
type WebSocketOptions struct {
	// Deflate offers permessage-deflate.
	Deflate      bool
	Subprotocols []string
}

// WebSocket opens a WebSocket at a call's path. A refusal is judged as any other answer.
func (c *Client) WebSocket(ctx context.Context, call Call, o WebSocketOptions) (Stream, error) {
	if err := c.Budget.Wait(ctx, c.MaxWait); err != nil {
		return nil, withPath(err, call.shown())
	}
	req, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	req.Header.Del("Accept")
	mode := websocket.CompressionDisabled
	if o.Deflate {
		mode = websocket.CompressionContextTakeover
	}
	opening, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, res, err := websocket.Dial(opening, req.URL.String(), &websocket.DialOptions{HTTPClient: c.streams, HTTPHeader: req.Header, Subprotocols: o.Subprotocols, CompressionMode: mode})
	switch {
	case err == nil:
		conn.SetReadLimit(maxFrame)
		return &socket{conn: conn, call: call}, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case res == nil:
		return nil, &Error{Kind: Network, Path: call.shown(), Err: errors.New("the WebSocket does not open")}
	}
	// The library keeps at most the first KiB of a refusal's body, which is enough for a word of it.
	body, readErr := io.ReadAll(io.LimitReader(res.Body, MaxBody))
	c.Budget.Observe(res.Header)
	if err := c.judge(res, body, readErr, call); err != nil {
		return nil, err
	}
	return nil, &Error{Kind: Refused, Status: res.StatusCode, Path: call.shown(), Err: errors.New("the server does not speak WebSocket there")}
}

type socket struct {
	conn *websocket.Conn
	call Call
}

func (s *socket) Next(ctx context.Context) (Frame, error) {
	_, data, err := s.conn.Read(ctx)
	if err == nil {
		return Frame{Data: data}, nil
	}
	return Frame{}, s.broken(ctx, err)
}

func (s *socket) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return &Error{Kind: Network, Path: s.call.shown(), Err: fmt.Errorf("the server closed the stream with code %d", closed.Code)}
	}
	return &Error{Kind: Network, Path: s.call.shown(), Err: fmt.Errorf("the stream broke: %w", err)}
}

func (s *socket) Alive(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, aliveWithin)
	defer cancel()
	if err := s.conn.Ping(asking); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &Error{Kind: Network, Path: s.call.shown(), Err: errors.New("the other side of the stream shows no life")}
	}
	return nil
}

func (s *socket) Close() { s.conn.CloseNow() } //nolint:errcheck // Nobody waits for the other side's goodbye.

// Events opens server-sent events at a call's path.
func (c *Client) Events(ctx context.Context, call Call) (Stream, error) {
	if err := c.Budget.Wait(ctx, c.MaxWait); err != nil {
		return nil, withPath(err, call.shown())
	}
	ctx, cancel := context.WithCancel(ctx)
	req, err := c.request(ctx, call)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := c.send(c.streams, req, call)
	if err != nil {
		cancel()
		return nil, err
	}
	if media := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !bytes.HasPrefix([]byte(media), []byte("text/event-stream")) {
		body, readErr := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
		res.Body.Close() //nolint:errcheck // It was only read.
		cancel()
		if err := c.judge(res, body, readErr, call); err != nil {
			return nil, err
		}
		return nil, &Error{Kind: Refused, Status: res.StatusCode, Path: call.shown(), Err: errors.New("the server sends no events there")}
	}
	e := &events{body: res.Body, cancel: cancel, call: call, lines: bufio.NewScanner(res.Body)}
	e.lines.Buffer(make([]byte, 0, 64<<10), maxFrame)
	e.heard.Store(time.Now().UnixNano())
	return e, nil
}

type events struct {
	body   io.Closer
	cancel context.CancelFunc
	call   Call
	lines  *bufio.Scanner
	heard  atomic.Int64 // when the last line came
}

func (e *events) Next(ctx context.Context) (Frame, error) {
	stop := context.AfterFunc(ctx, e.cancel)
	defer stop()
	var f Frame
	for e.lines.Scan() {
		e.heard.Store(time.Now().UnixNano())
		line := e.lines.Bytes()
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0 && f.Data != nil:
			return f, nil
		case len(line) == 0:
			f = Frame{}
		case string(field) == "event":
			f.Event = string(value)
		case string(field) == "data" && len(f.Data)+len(value) > maxFrame:
			return Frame{}, &Error{Kind: TooLarge, Path: e.call.shown(), Err: fmt.Errorf("an event of over %d bytes", maxFrame)}
		case string(field) == "data":
			if f.Data != nil {
				f.Data = append(f.Data, '\n')
			}
			f.Data = append(f.Data, value...)
			if f.Data == nil {
				f.Data = []byte{}
			}
		}
	}
	if ctx.Err() != nil {
		return Frame{}, context.Cause(ctx)
	}
	return Frame{}, &Error{Kind: Network, Path: e.call.shown(), Err: fmt.Errorf("the stream broke: %w", cmp.Or(e.lines.Err(), io.EOF))}
}

func (e *events) Alive(context.Context) error {
	if silent := time.Since(time.Unix(0, e.heard.Load())); silent > sseSilence {
		return &Error{Kind: Network, Path: e.call.shown(), Err: fmt.Errorf("no line for %s", silent.Round(time.Second))}
	}
	return nil
}

func (e *events) Close() {
	e.cancel()
	e.body.Close() //nolint:errcheck // It was only read.
}

// Follow hands every frame of a stream to do and, at least every so often while the other side shows life, tells beat that everything up to a moment so long
// ago has been handed over. It ends with the first error, or with ctx's, and closes the stream.
func Follow(ctx context.Context, s Stream, every time.Duration, do func(Frame) error, beat func(ago time.Duration) error) error {
	ctx, cancel := context.WithCancel(ctx)
	type next struct {
		frame Frame
		err   error
	}
	frames := make(chan next, 256)
	var parts sync.WaitGroup
	parts.Go(func() {
		for {
			f, err := s.Next(ctx)
			select {
			case frames <- next{f, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	defer func() { cancel(); s.Close(); parts.Wait() }()
	take := func(n next) error {
		if n.err != nil {
			return n.err
		}
		return do(n.frame)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	asked := time.Time{} // while an answer is awaited
	alive := make(chan error, 1)
	for {
		select {
		case n := <-frames:
			if err := take(n); err != nil {
				return err
			}
		case <-ticker.C:
			if asked.IsZero() { // beside the frames: an answer comes only after those before it were taken
				asked = time.Now()
				parts.Go(func() { alive <- s.Alive(ctx) })
			}
		case err := <-alive:
			// What came before the sign of life is taken before it is believed.
			for range len(frames) {
				if err := take(<-frames); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			if err := beat(time.Since(asked)); err != nil {
				return err
			}
			asked = time.Time{}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
