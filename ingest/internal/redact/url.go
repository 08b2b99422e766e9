package redact

import (
	"regexp"
	"strings"
)

var (
	socialHost = regexp.MustCompile(`(?i)^(?:[a-z0-9\-]+\.)*(?:` + socialHosts + `)$`)
	callHost   = regexp.MustCompile(`(?i)^(?:[a-z0-9\-]+\.)*(?:wa\.me|whatsapp\.com)$`)
	videoHost  = regexp.MustCompile(`(?i)^(?:[a-z0-9\-]+\.)*youtube\.com$`)
	urlEmail   = regexp.MustCompile(`(?i)` + emailLocal + `(?:@|＠|%40)` + emailDomain)
	urlNIK     = regexp.MustCompile(`\p{Nd}+`)
)

// pages are first segments of social sites' paths that name no person.
var pages = set("i hashtag search explore watch shorts playlist p reel reels tv groups events photo photo.php story.php sharer share intent home login messages r s u user users profile in people channel c")

// people are segments after which a person's name stands.
var people = set("users user u profile author people in channel c")

// url redacts an address: the host stays, since it says what was linked to; whatever names a person goes.
func (p *pass) url(u string) {
	scheme, rest := "", u
	if at := strings.Index(u, "://"); at >= 0 {
		scheme, rest = u[:at+3], u[at+3:]
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, tail := rest[:end], rest[end:]
	if at := strings.LastIndexAny(host, "@"); at >= 0 {
		host = host[at+1:] // a name and a password
	}
	p.out.WriteString(scheme)
	p.out.WriteString(p.urlNumbers(host))
	path, query := tail, ""
	if at := strings.IndexAny(tail, "?#"); at >= 0 {
		path, query = tail[:at], tail[at:]
	}
	switch {
	case strings.Trim(tail, "/") == "":
		p.out.WriteString(tail)
		return
	case callHost.MatchString(host):
		p.out.WriteByte('/')
		p.put(Phone)
		return
	case socialHost.MatchString(host):
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if !pages[strings.ToLower(first)] && !p.isAccount(first) {
			p.out.WriteString("/" + userPlaceholder)
			return
		}
		if !videoHost.MatchString(host) {
			query = "" // holds the ids of people on these sites
		}
	}
	path, whole := p.personInPath(path)
	if !whole {
		query = ""
	}
	p.out.WriteString(p.urlNumbers(p.emails(path)))
	// A query is words and numbers parted by = and &; it is read as text is.
	query = p.emails(query)
	p.plain(query)
}

// personInPath cuts a path at the segment that names a person.
func (p *pass) personInPath(path string) (kept string, whole bool) {
	segments := strings.Split(path, "/")
	for n, seg := range segments {
		named := strings.HasPrefix(seg, "@") || strings.HasPrefix(strings.ToLower(seg), "%40") || n > 0 && seg != "" && people[strings.ToLower(segments[n-1])]
		name := strings.TrimPrefix(seg, "@")
		if named && !p.isAccount(name) && !urlEmail.MatchString(name) {
			return strings.Join(segments[:n], "/") + "/" + userPlaceholder, false
		}
	}
	return path, true
}

func (p *pass) emails(s string) string {
	return urlEmail.ReplaceAllStringFunc(s, func(string) string {
		p.found(Email)
		return placeholders[Email]
	})
}

// urlNumbers replaces only NIKs: other long numbers in a path are the ids of pages.
func (p *pass) urlNumbers(s string) string {
	return urlNIK.ReplaceAllStringFunc(s, func(digits string) string {
		if len([]rune(digits)) != 16 {
			return digits
		}
		p.found(NIK)
		return placeholders[NIK]
	})
}
