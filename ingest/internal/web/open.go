package web

import (
	"context"
	"io"
	"net/http"
)

// Open makes a call whose answer has no end, and returns its body for the caller to read and close. It is not repeated. The error is an *Error unless ctx ended.
func (c *Client) Open(ctx context.Context, call Call) (io.ReadCloser, error) {
	if err := c.Budget.Wait(ctx, c.MaxWait); err != nil {
		return nil, withPath(err, call.shown())
	}
	req, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	res, err := c.send(c.streams, req, call)
	if err != nil {
		return nil, err
	}
	c.Budget.Observe(res.Header)
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close() //nolint:errcheck // It was only read.
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	call.Raw = true // what is not 200 is an error, in whatever form
	return nil, c.judge(res, body, err, call)
}
