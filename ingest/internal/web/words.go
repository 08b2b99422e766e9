package web

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
)

// Explain says in words what a failed call of a source means and what to do; empty where the error says it itself.
func Explain(err error) string {
	var exhausted *budget.ExhaustedError
	if errors.As(err, &exhausted) {
		return "nothing is wrong with the token; the budget is used up until it begins anew, or is raised"
	}
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	switch {
	case e.Kind == Auth && e.Status == http.StatusForbidden:
		return "the platform knows the token, but it may not do this: it lacks a scope or a permission, or the account was suspended"
	case e.Kind == Auth:
		return "the platform refuses the token: it is wrong, was revoked or has expired; make a new one and put it where the configuration says"
	case e.Kind == Gone:
		return "the token is in order as far as it can be seen, but the platform knows no such account; look at account and base_url"
	case e.Kind == Limited || e.Kind == Budget:
		return "the token works; there were too many calls, others with the same account may have made them; it goes on by itself"
	case e.Kind == Refused || e.Status == http.StatusNotImplemented:
		return "the platform does not understand the call; look at base_url and the version of its interface"
	case e.Kind == Server:
		return "the platform itself has a failure; nothing is known of the token, and there is nothing to do but wait"
	case e.Kind == Network:
		return explainNetwork(e)
	case e.Kind == NotJSON:
		return "something else than the platform's interface answers; look at base_url, and for a proxy or a login page in between"
	}
	return ""
}

// explainNetwork tells a name that is wrong from a host that does not answer, and both from one that answers without TLS or with a strange certificate.
func explainNetwork(err error) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "there is no host of that name; look at base_url, and whether this machine resolves names of the internet"
	case errors.As(err, &name):
		return "names are not resolved on this machine now; nothing is known of the platform or the token"
	case errors.As(err, &certificate), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "what answers there has no certificate for that name, or no TLS; look at base_url, and for a proxy in between"
	case errors.Is(err, errNotPublic):
		return "base_url leads into this network; where that is meant, set allow_private"
	}
	return "nothing answers there; look at base_url and the way out of this network, which must not need a proxy"
}
