package source

// Walk bounds the reading of pages: by a cap, and by the rule that a page without a new id is the end, because some servers repeat their last page for ever.
type Walk struct {
	// Cap is how many pages are read at most.
	Cap   int
	pages int
	seen  map[string]struct{}
}

// Page notes the ids of a page and tells which of them are new, in their order, and whether to read on.
func (w *Walk) Page(ids []string) (fresh []bool, more bool) {
	if w.seen == nil {
		w.seen = map[string]struct{}{}
	}
	w.pages++
	fresh = make([]bool, len(ids))
	any := false
	for i, id := range ids {
		if _, known := w.seen[id]; !known {
			w.seen[id] = struct{}{}
			fresh[i], any = true, true
		}
	}
	return fresh, any && w.pages < w.Cap
}

// Capped tells that the cap ended the walk, and not the feed.
func (w *Walk) Capped() bool { return w.pages >= w.Cap }
