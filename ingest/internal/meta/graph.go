package meta

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/web"
)

// usage is what Meta says of one limit: shares in percent, and minutes until calls are taken again.
type usage struct {
	Calls  float64 `json:"call_count"`
	CPU    float64 `json:"total_cputime"`
	Time   float64 `json:"total_time"`
	Regain float64 `json:"estimated_time_to_regain_access"`
}

const (
	// nearlyAll is the share from which on nothing is called, so that the limit itself is not met.
	nearlyAll = 95
	// mostWait bounds what Meta says; the windows last a day at most.
	mostWait = 24 * time.Hour
)

// limits reads X-Business-Use-Case-Usage, of the account, and X-App-Usage. The shares are no calls, so they only close the budget and do not spread it: for least, or for
// longer where Meta says so.
func limits(least time.Duration) web.LimitReader {
	return func(h http.Header, now time.Time) (web.Limit, bool) {
		all := usages(h)
		if len(all) == 0 {
			return web.Limit{}, false
		}
		share, wait := 0.0, time.Duration(0)
		for _, u := range all {
			share = max(share, u.Calls, u.CPU, u.Time)
			if u.Regain > 0 {
				wait = max(wait, time.Duration(min(u.Regain, mostWait.Minutes())*float64(time.Minute)))
			}
		}
		l := web.Limit{Total: 100, Remaining: int64(max(0, 100-share))}
		if share >= nearlyAll || wait > 0 {
			l.Remaining, l.Reset = 0, now.Add(max(wait, least))
		}
		return l, true
	}
}

// usages are what an answer says of the account's limits and of the app's.
func usages(h http.Header) []usage {
	var all []usage
	var byID map[string][]usage
	if json.Unmarshal([]byte(h.Get("X-Business-Use-Case-Usage")), &byID) == nil {
		for _, list := range byID {
			all = append(all, list...)
		}
	}
	var app usage
	if v := h.Get("X-App-Usage"); v != "" && json.Unmarshal([]byte(v), &app) == nil {
		all = append(all, app)
	}
	return all
}

// judge reads Meta's error, which comes as 400 whatever it is.
func judge(_ int, _ http.Header, body []byte) web.Verdict {
	var answer struct {
		Error *struct {
			Code    int  `json:"code"`
			Sub     int  `json:"error_subcode"`
			Passing bool `json:"is_transient"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error == nil {
		return web.Verdict{}
	}
	code := answer.Error.Code
	v := web.Verdict{Code: strconv.Itoa(code)}
	switch {
	case code == 4 || code == 17 || code == 32 || code == 613 || code >= 80000 && code <= 80014:
		v.Kind = web.Limited
	case code == 190 || code == 102 || code == 10 || code >= 200 && code < 300:
		v.Kind = web.Auth
	case code == 100 && answer.Error.Sub == 33 || code == 803:
		v.Kind = web.Gone
	case code == 1 || code == 2 || answer.Error.Passing:
		v.Kind = web.Server
	}
	return v
}

// proof shows that whoever uses the token knows the app's secret.
func proof(token, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}

// node is a post, a comment, a medium or a thread of the Graph API: each of the three platforms has some of the fields.
type node struct {
	ID          string `json:"id"`
	Message     string `json:"message"`
	Text        string `json:"text"`
	Caption     string `json:"caption"`
	Story       string `json:"story"`
	CreatedTime string `json:"created_time"`
	Timestamp   string `json:"timestamp"`
	UpdatedTime string `json:"updated_time"`
	From        *who   `json:"from"`
	Username    string `json:"username"`
	Parent      *ref   `json:"parent"`
	ParentID    string `json:"parent_id"`
	RootPost    *ref   `json:"root_post"`
	RepliedTo   *ref   `json:"replied_to"`
	Media       *ref   `json:"media"`
	Permalink   string `json:"permalink"`
	URL         string `json:"permalink_url"`
	Likes       *int64 `json:"like_count"`
	Comments    *int64 `json:"comment_count"`
	Commented   *int64 `json:"comments_count"`
	Summary     struct {
		Summary struct {
			Total *int64 `json:"total_count"`
		} `json:"summary"`
	} `json:"comments"`
	Shares *struct {
		Count *int64 `json:"count"`
	} `json:"shares"`
	IsHidden   bool   `json:"is_hidden"`
	Hidden     bool   `json:"hidden"`
	HideStatus string `json:"hide_status"`
	HasReplies bool   `json:"has_replies"`
	Replies    list   `json:"replies"`
}

type who struct {
	ID       string `json:"id"`
	Username string `json:"username"`
}

type ref struct {
	ID string `json:"id"`
}

func (r *ref) id() string {
	if r == nil {
		return ""
	}
	return r.ID
}

// created is when the node was written; zero where it does not say.
func (n *node) created() time.Time {
	for _, value := range []string{n.CreatedTime, n.Timestamp} {
		if at := parseTime(value); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// parseTime reads 2026-03-01T08:00:00+0000.
func parseTime(value string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05-0700", time.RFC3339} {
		if at, err := time.Parse(layout, value); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// below is how much stands below the node, as far as it says.
func (n *node) below() *int64 {
	for _, count := range []*int64{n.Summary.Summary.Total, n.Comments, n.Commented} {
		if count != nil {
			return count
		}
	}
	return nil
}

// hidden tells that the institution or the platform does not show it to the public.
func (n *node) hidden() bool {
	status := strings.ToUpper(n.HideStatus)
	return n.IsHidden || n.Hidden || status == "HIDDEN" || status == "COVERED" || status == "BLOCKED" || status == "RESTRICTED"
}

// list is a page of the Graph API.
type list struct {
	Data   []json.RawMessage `json:"data"`
	Paging struct {
		Cursors struct {
			After string `json:"after"`
		} `json:"cursors"`
		Next string `json:"next"`
	} `json:"paging"`
}
