package x

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// mostPerJob is how many posts one re-read hands to a batch compliance job; X takes far more.
const mostPerJob = 1000

// jobEvery is how long between looks at a job, jobLimit how long it may take before the re-read is given up.
const (
	jobEvery = 15 * time.Second
	jobLimit = 10 * time.Minute
)

// job is a batch compliance job. The addresses are on another host and carry their own leave.
type job struct {
	ID       string `json:"id"`
	Status   string `json:"status"` // created, in_progress, complete, failed, expired
	Upload   string `json:"upload_url"`
	Download string `json:"download_url"`
}

// verdict is a line of a job's result: a post that may not be kept as it is. A post without a line is in order.
type verdict struct {
	ID         string    `json:"id"`
	Action     string    `json:"action"` // delete, or scrub_geo, which is no concern here
	Reason     string    `json:"reason"` // deleted, suspended, protected, deactivated
	RedactedAt time.Time `json:"redacted_at"`
}

// comply re-reads by one job: whether posts may still be shown, and nothing of their text.
func (s *Source) comply(ctx context.Context, known []source.Known) ([]source.Finding, error) {
	var ids bytes.Buffer
	for _, k := range known {
		fmt.Fprintln(&ids, k.Message.MessageID)
	}
	var made struct {
		Data job `json:"data"`
	}
	create := web.Call{Method: http.MethodPost, Path: "/2/compliance/jobs", Body: map[string]any{"type": "tweets", "resumable": false}}
	if _, err := s.client.Do(ctx, create, &made); err != nil {
		return nil, sourceError(err)
	}
	if err := s.store(ctx, http.MethodPut, made.Data.Upload, ids.Bytes(), nil); err != nil {
		return nil, sourceError(err)
	}
	done, err := s.await(ctx, made.Data.ID)
	if err != nil {
		return nil, err
	}
	var result []byte
	if err := s.store(ctx, http.MethodGet, done.Download, nil, &result); err != nil {
		return nil, sourceError(err)
	}
	verdicts, err := readVerdicts(result)
	if err != nil {
		return nil, err
	}
	findings := make([]source.Finding, len(known))
	for i, k := range known {
		findings[i] = verdicts[k.Message.MessageID].finding()
	}
	return findings, nil
}

func (s *Source) await(ctx context.Context, id string) (job, error) {
	limit := time.NewTimer(s.jobLimit)
	defer limit.Stop()
	for {
		var at struct {
			Data job `json:"data"`
		}
		if err := s.client.Get(ctx, "/2/compliance/jobs/"+url.PathEscape(id), nil, &at); err != nil {
			return job{}, sourceError(err)
		}
		switch at.Data.Status {
		case "complete":
			return at.Data, nil
		case "failed", "expired":
			return job{}, &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("the compliance job is %s", at.Data.Status)}
		}
		wait := time.NewTimer(s.jobEvery)
		select {
		case <-wait.C:
		case <-limit.C:
			wait.Stop()
			return job{}, &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("the compliance job is not done after %s", s.jobLimit)}
		case <-ctx.Done():
			wait.Stop()
			return job{}, context.Cause(ctx)
		}
	}
}

// store calls an address that X has given for a job. It is on another host, so the token stays here, and the client is one of that host's own.
func (s *Source) store(ctx context.Context, method, address string, body []byte, into *[]byte) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return &web.Error{Kind: web.Refused, Path: "the compliance job's address", Err: fmt.Errorf("X gives no address")}
	}
	client, err := web.NewClient(u.Scheme+"://"+u.Host, "", web.NewBudget(callsPerWindow, window, s.env.Now, nil), s.env.Config.AllowPrivate)
	if err != nil {
		return &web.Error{Kind: web.Refused, Path: "the compliance job's address", Err: err}
	}
	defer client.Close()
	client.FirstWait, client.MaxWait = s.client.FirstWait, s.client.MaxWait
	call := web.Call{Method: method, Path: u.Path, Query: u.Query(), Shown: "the compliance job's address", Raw: true}
	if body != nil {
		call.Plain = body
	}
	var answer []byte
	if into == nil {
		into = &answer
	}
	_, err = client.Do(ctx, call, into)
	return err
}

// readVerdicts reads a job's result, a JSON object a line.
func readVerdicts(result []byte) (map[string]verdict, error) {
	out := map[string]verdict{}
	lines := bufio.NewScanner(bytes.NewReader(result))
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var v verdict
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil || v.ID == "" {
			// Half a result must not pass for a clean one.
			return nil, &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("the compliance job's result has a line that is none")}
		}
		out[v.ID] = v
	}
	if err := lines.Err(); err != nil {
		return nil, &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("reading the compliance job's result: %w", err)}
	}
	return out, nil
}

func (v verdict) finding() source.Finding {
	if v.Action != "delete" {
		return source.Finding{State: source.Present}
	}
	switch strings.ToLower(v.Reason) {
	case "deleted":
		return source.Finding{State: source.Deleted, At: v.RedactedAt}
	case "protected":
		return source.Finding{State: source.Hidden, Reason: schemas.HiddenProtected, At: v.RedactedAt}
	case "suspended", "deactivated":
		return source.Finding{State: source.Hidden, Reason: schemas.HiddenSuspended, At: v.RedactedAt}
	}
	return source.Finding{State: source.Unknown}
}
