package source

import (
	"context"
	"slices"
	"time"
)

// Newest is how far a list has been read that gives its newest entry first and takes no lower bound. Since moves only when a walk has reached it; a walk that was
// broken off goes on at Token.
type Newest struct {
	Since time.Time `json:"since,omitzero"`
	// Top is the newest entry of a walk that is not done.
	Top   time.Time `json:"top,omitzero"`
	Token string    `json:"token,omitempty"`
	// Recent are the ids of the overlap behind Since, which is read twice: an entry can appear after one that is newer.
	Recent []string `json:"recent,omitempty"`
}

// Entry is one entry of such a list.
type Entry struct {
	ID string
	At time.Time
}

// Reading says how a list is walked.
type Reading struct {
	// Cap is how many pages are read at most, Overlap how far behind Since.
	Cap     int
	Overlap time.Duration
	// From and Until bound the entries instead of Since; both or none.
	From, Until time.Time
	// Read returns a page and the token of the next one, empty after the last.
	Read func(ctx context.Context, token string) (entries []Entry, next string, err error)
	// Expired tells that Read failed because of its token; then the walk begins at the top. May be nil.
	Expired func(error) bool
	// Take takes the new entries of a page by their indexes; the place then stands behind the page already.
	Take func(ctx context.Context, fresh []int) error
}

// maxRecent bounds Newest.Recent.
const maxRecent = 2000

// Walk reads from the top, or from where the walk before was broken off and then from the top. Capped tells that the next walk goes on.
func (n *Newest) Walk(ctx context.Context, r Reading) (capped bool, err error) {
	resumed := n.Token != ""
	taken := map[string]bool{}
	capped, err = n.down(ctx, r, taken)
	if err != nil && resumed && r.Expired != nil && r.Expired(err) {
		n.Token, resumed = "", false
		capped, err = n.down(ctx, r, taken)
	}
	if err == nil && !capped && resumed {
		return n.down(ctx, r, taken) // what came meanwhile
	}
	return capped, err
}

func (n *Newest) down(ctx context.Context, r Reading, taken map[string]bool) (capped bool, err error) {
	walk := Walk{Cap: r.Cap}
	bottom, recent := n.Since.Add(-r.Overlap), slices.Clone(n.Recent)
	if !r.Until.IsZero() {
		bottom = r.From
	}
	nothing := true
	for {
		entries, next, err := r.Read(ctx, n.Token)
		if err != nil {
			return false, err
		}
		ids := make([]string, len(entries))
		var fresh []int
		reached := false
		for i, e := range entries {
			ids[i] = e.ID
			reached = reached || e.At.Before(bottom)
			if e.At.Before(bottom) || !r.Until.IsZero() && !e.At.Before(r.Until) || taken[e.ID] || slices.Contains(recent, e.ID) {
				continue
			}
			taken[e.ID], nothing = true, false
			fresh = append(fresh, i)
			if e.At.After(n.Top) {
				n.Top = e.At
			}
		}
		for _, i := range fresh {
			if edge := n.Top.Add(-r.Overlap); !entries[i].At.Before(edge) {
				n.Recent = append(n.Recent, entries[i].ID)
			}
		}
		n.Recent = n.Recent[max(0, len(n.Recent)-maxRecent):]
		_, more := walk.Page(ids)
		n.Token = next
		// Cap pages of what is known already are the end, too, unless a walk is not done yet: else an overlap that is longer than they are would be read for ever.
		done := next == "" || reached || len(ids) > 0 && !more && !walk.Capped() || nothing && n.Top.IsZero() && walk.Capped()
		if done {
			n.arrive()
		}
		if err := r.Take(ctx, fresh); err != nil || done {
			return false, err
		}
		if walk.Capped() {
			return true, nil
		}
	}
}

// arrive ends a walk that has reached its bottom.
func (n *Newest) arrive() {
	if n.Top.After(n.Since) {
		n.Since = n.Top
	}
	n.Top, n.Token = time.Time{}, ""
}
