package reference

import (
	"slices"
	"time"
)

// foldWithin is how long an unanswered message takes the author's later ones of the thread into the same request.
const foldWithin = 24 * time.Hour

// Outcomes of a request.
const (
	OutcomeReplied = "replied"
	OutcomeDeleted = "deleted"
	OutcomeOpen    = "open"
)

// Request is a row of the view requests.
type Request struct {
	Institution string `json:"institution"`
	// RequestID is the message_id of the message that asked first.
	RequestID string `json:"request_id"`
	Platform  string `json:"platform"`
	// RootID is the thread's: the message's own id where it has no root_id.
	RootID    string    `json:"root_id"`
	AuthorKey string    `json:"author_key"`
	AskedAt   time.Time `json:"asked_at"`
	// AnsweredAt is set only for the outcome replied, DeletedAt only for deleted.
	AnsweredAt    *time.Time `json:"answered_at"`
	DeletedAt     *time.Time `json:"deleted_at"`
	Outcome       string     `json:"outcome"`
	WaitS         float64    `json:"wait_s"`
	BusinessWaitS *float64   `json:"business_wait_s"`
	// followsReply tells that the message stands and the author had got an R in the thread at most follow_up_s before.
	followsReply bool
	message      *row
}

// ask is a request before now_obs cuts off what is not yet known.
type ask struct {
	*row
	answeredMs *int64
	// repliedMs is the last R to the author in the thread before it; nil without one.
	repliedMs *int64
}

// asksOf walks the messages that need a reply and drops those that fold into an earlier, still unanswered one.
func asksOf(rows []*row) []*ask {
	type asker struct {
		thread thread
		author string
	}
	needs := map[asker][]*row{}
	answers := map[asker][]int64{}
	for _, x := range rows {
		switch {
		case x.side == sideAddressed && x.labels.GetNeedsReply():
			k := asker{x.thread, x.AuthorKey}
			needs[k] = append(needs[k], x)
		case x.side == sideReply && x.deletedMs == nil:
			for _, author := range x.addresses {
				k := asker{x.thread, author}
				answers[k] = append(answers[k], x.CreatedAtMs)
			}
		}
	}
	var asks []*ask
	for k, messages := range needs {
		firstAnswer := func(askedMs int64) *int64 {
			for _, at := range answers[k] {
				if at >= askedMs {
					return &at
				}
			}
			return nil
		}
		for n, m := range messages {
			folded := slices.ContainsFunc(messages[:n], func(earlier *row) bool {
				answered := firstAnswer(earlier.CreatedAtMs)
				return m.CreatedAtMs-earlier.CreatedAtMs <= foldWithin.Milliseconds() && (answered == nil || *answered > m.CreatedAtMs)
			})
			if !folded {
				a := &ask{row: m, answeredMs: firstAnswer(m.CreatedAtMs)}
				for _, at := range answers[k] {
					if at < m.CreatedAtMs && (a.repliedMs == nil || at > *a.repliedMs) {
						a.repliedMs = &at
					}
				}
				asks = append(asks, a)
			}
		}
	}
	slices.SortFunc(asks, func(a, b *ask) int { return compareRows(a.row, b.row) })
	return asks
}

// allTime is the period of the view requests, which takes no parameters.
var allTime = [2]time.Time{time.UnixMilli(0), time.UnixMilli(1 << 52)}

// Requests gives every row of the view requests, in the order (asked_at, request_id): the period that settles now_obs is all time.
func (r *Reading) Requests() []Request { return r.RequestsBetween(allTime[0], allTime[1]) }

// RequestsBetween gives the requests that the metrics of a period count: asked in it and not after its now_obs, and seen as of that now_obs.
// Answers and folding look at the whole thread, outside the period as well.
func (r *Reading) RequestsBetween(from, to time.Time) []Request {
	now, ok := r.NowObs(from, to)
	if !ok {
		return nil
	}
	nowMs := now.UnixMilli()
	followUpMs := 1000 * r.setting("follow_up_s", from)
	var requests []Request
	for _, a := range r.asks {
		if !within(a.CreatedAtMs, from, to) || a.CreatedAtMs > nowMs {
			continue
		}
		known := func(ms *int64) *int64 {
			if ms == nil || *ms > nowMs {
				return nil
			}
			return ms
		}
		answered, deleted := known(a.answeredMs), known(a.deletedMs)
		q := Request{
			Institution: r.institution, RequestID: a.MessageId, Platform: a.Platform, RootID: a.thread.rootID, AuthorKey: a.AuthorKey,
			AskedAt: time.UnixMilli(a.CreatedAtMs).UTC(), Outcome: OutcomeOpen, message: a.row,
			followsReply: a.deletedMs == nil && a.repliedMs != nil && float64(a.CreatedAtMs-*a.repliedMs) <= followUpMs,
		}
		endMs := nowMs
		switch {
		case answered != nil && (deleted == nil || *answered <= *deleted):
			q.Outcome, endMs = OutcomeReplied, *answered
			at := time.UnixMilli(endMs).UTC()
			q.AnsweredAt = &at
		case deleted != nil:
			q.Outcome, endMs = OutcomeDeleted, *deleted
			at := time.UnixMilli(endMs).UTC()
			q.DeletedAt = &at
		}
		q.WaitS = float64(endMs-a.CreatedAtMs) / 1000
		if r.business != nil {
			if s, ok := r.business(q.AskedAt, time.UnixMilli(endMs).UTC()); ok {
				q.BusinessWaitS = &s
			}
		}
		requests = append(requests, q)
	}
	return requests
}
