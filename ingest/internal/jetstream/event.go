package jetstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky"
)

// event is one event of the stream, in whichever wire it came.
type event struct {
	Seq  int64 // 0 where the server has none
	Time time.Time
	DID  string
	Kind string // commit, account or another
	// Of a commit.
	Operation, Collection, Key string
	Record                     json.RawMessage
	// Of an account.
	Active bool
	Status string
	// Info is the name of a notice, Failure that of the error that ends the stream.
	Info, Failure string
}

const (
	kindCommit  = "commit"
	kindAccount = "account"
)

type account struct {
	Active bool   `json:"active"`
	Status string `json:"status"`
}

// wireV1 is an event of /subscribe; cursor came with Jetstream v2.
type wireV1 struct {
	DID    string `json:"did"`
	TimeUS int64  `json:"time_us"`
	Cursor int64  `json:"cursor"`
	Kind   string `json:"kind"`
	Commit struct {
		Operation  string          `json:"operation"`
		Collection string          `json:"collection"`
		Key        string          `json:"rkey"`
		Record     json.RawMessage `json:"record"`
	} `json:"commit"`
	Account account `json:"account"`
}

// wireV2 is a frame of network.bsky.jetstream.subscribeEvents (xrpc.v1.json).
type wireV2 struct {
	Type    string `json:"$type"`
	Error   string `json:"error"`
	Payload struct {
		Type       string          `json:"$type"`
		Seq        int64           `json:"seq"`
		DID        string          `json:"did"`
		Time       time.Time       `json:"time"`
		Operation  string          `json:"operation"`
		Collection string          `json:"collection"`
		Key        string          `json:"rkey"`
		Record     json.RawMessage `json:"record"`
		Account    account         `json:"account"`
		Name       string          `json:"name"`
	} `json:"payload"`
}

const payloadType = "network.bsky.jetstream.subscribeEvents#"

// latestTimeUS is the year 2200: a time beyond it is no time.
const latestTimeUS = 7_258_118_400_000_000

// parse reads a frame of either wire.
func parse(frame []byte) (event, error) {
	var v2 wireV2
	if err := json.Unmarshal(frame, &v2); err != nil {
		return event{}, errors.New("it is no event of Jetstream")
	}
	p := v2.Payload
	switch v2.Type {
	case "error":
		return event{Failure: v2.Error}, nil
	case "message":
		kind, ok := strings.CutPrefix(p.Type, payloadType)
		switch {
		case !ok:
			return event{}, errors.New("it is a message of another stream")
		case kind == "info":
			return event{Info: p.Name}, nil
		}
		return event{
			Seq: p.Seq, Time: p.Time.UTC(), DID: p.DID, Kind: kind, Operation: p.Operation, Collection: p.Collection, Key: p.Key, Record: p.Record, Active: p.Account.Active, Status: p.Account.Status,
		}, nil
	}
	var v1 wireV1
	if err := json.Unmarshal(frame, &v1); err != nil || v1.Kind == "" || v1.TimeUS < 0 || v1.TimeUS > latestTimeUS {
		return event{}, errors.New("it is no event of Jetstream")
	}
	return event{
		Seq: v1.Cursor, Time: time.UnixMicro(v1.TimeUS).UTC(), DID: v1.DID, Kind: v1.Kind, Operation: v1.Commit.Operation, Collection: v1.Commit.Collection, Key: v1.Commit.Key, Record: v1.Commit.Record,
		Active: v1.Account.Active, Status: v1.Account.Status,
	}, nil
}

// filter tells frames that may concern somebody from those that cannot, without parsing them: nearly all of the network's posts are nobody's here.
type filter struct {
	dids     map[string]string // of official accounts
	keywords [][]byte          // in lower case
}

var (
	create   = []byte(`"operation":"create"`)
	update   = []byte(`"operation":"update"`)
	remove   = []byte(`"operation":"delete"`)
	commitV1 = []byte(`"kind":"commit"`)
	commitV2 = []byte(`"` + payloadType + `commit"`)
	did      = []byte("did:")
	escape   = []byte(`\u`)
)

// passes is true for whatever is not surely a new post that neither names an official account's DID nor has a keyword. Nothing that a post says can make it
// pass as less: in a text every quotation mark is escaped, and a record's own keys can only add to what is found.
func (f *filter) passes(frame []byte) bool {
	if !bytes.Contains(frame, create) || bytes.Contains(frame, remove) || bytes.Contains(frame, update) || !bytes.Contains(frame, commitV1) && !bytes.Contains(frame, commitV2) {
		return true
	}
	return f.names(frame)
}

// names tells whether an official account's DID or a keyword is in a frame.
func (f *filter) names(frame []byte) bool {
	// Whoever is meant by a post stands in it by DID: a mention, the parent's and the root's author, the quoted one, the author.
	for rest := frame; ; {
		at := bytes.Index(rest, did)
		if at < 0 {
			break
		}
		rest = rest[at:]
		end := bytes.IndexAny(rest, "\"/\\# ")
		if end < 0 {
			end = len(rest)
		}
		if _, official := f.dids[string(rest[:end])]; official {
			return true
		}
		rest = rest[len(did):]
	}
	if len(f.keywords) == 0 {
		return false
	}
	if bytes.Contains(frame, escape) {
		return true
	}
	lower := bytes.ToLower(frame)
	for _, k := range f.keywords {
		if bytes.Contains(lower, k) {
			return true
		}
	}
	return false
}

// uri is the post that a commit is of; empty for another collection.
func (e event) uri() string {
	if e.Kind != kindCommit || e.Collection != bluesky.Collection || e.DID == "" || e.Key == "" {
		return ""
	}
	return bluesky.URI(e.DID, e.Key)
}
