package broker

import (
	"context"
	"net"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessions ends the memberships that kfake forgets to end. It starts a member's session clock when it answers the member's JoinGroup, so that one whose connection is gone
// by then has no clock; once the others have synced it stays in the group for ever, with partitions that nobody reads. Kafka starts the clock in either case.
type sessions struct {
	client    *kafkago.Client
	transport *kafkago.Transport
	stop      context.CancelFunc
	done      chan struct{}

	mu     sync.Mutex
	groups map[string]*memberships
}

// memberships are those of one group.
type memberships struct {
	timeout time.Duration        // the longest that a member has asked for
	heard   map[string]time.Time // by member id
}

const (
	sessionsLook = time.Second
	// sessionsGrace lets kfake's own clocks end a session first.
	sessionsGrace = 2 * time.Second
)

func watchSessions(cluster *kfake.Cluster, addr string) *sessions {
	ctx, stop := context.WithCancel(context.Background())
	dialer := net.Dialer{Timeout: topicsTimeout}
	transport := &kafkago.Transport{ClientID: "broker", Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr) // not by what is advertised: that may be a way that breaks
	}}
	s := &sessions{
		client: &kafkago.Client{Addr: kafkago.TCP(addr), Timeout: topicsTimeout, Transport: transport}, transport: transport,
		stop: stop, done: make(chan struct{}), groups: map[string]*memberships{},
	}
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat} {
		cluster.ControlKey(int16(key), s.hear)
	}
	go s.run(ctx)
	return s
}

func (s *sessions) close() {
	s.stop()
	<-s.done
	s.transport.CloseIdleConnections()
}

// hear notes a sign of life, and lets kfake handle the request.
func (s *sessions) hear(request kmsg.Request) (kmsg.Response, error, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := request.(type) {
	case *kmsg.JoinGroupRequest:
		g := s.groups[r.Group]
		if g == nil {
			g = &memberships{heard: map[string]time.Time{}}
			s.groups[r.Group] = g
		}
		g.timeout = max(g.timeout, time.Duration(r.SessionTimeoutMillis)*time.Millisecond)
	case *kmsg.SyncGroupRequest:
		s.alive(r.Group, r.MemberID)
	case *kmsg.HeartbeatRequest:
		s.alive(r.Group, r.MemberID)
	}
	return nil, nil, false
}

// alive notes that a member was heard. The caller holds mu.
func (s *sessions) alive(group, member string) {
	if g := s.groups[group]; g != nil {
		g.heard[member] = time.Now()
	}
}

func (s *sessions) run(ctx context.Context) {
	defer close(s.done)
	ticker := time.NewTicker(sessionsLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, name := range s.names() {
			// A look that fails, as one at a broker that closes, is made up for by the next.
			described, err := s.client.DescribeGroups(ctx, &kafkago.DescribeGroupsRequest{GroupIDs: []string{name}})
			if err != nil || len(described.Groups) != 1 || described.Groups[0].Error != nil {
				continue
			}
			for _, member := range s.silent(name, described.Groups[0]) {
				_, _ = s.client.LeaveGroup(ctx, &kafkago.LeaveGroupRequest{GroupID: name, Members: []kafkago.LeaveGroupRequestMember{{ID: member}}})
			}
		}
	}
}

func (s *sessions) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.groups))
	for name := range s.groups {
		names = append(names, name)
	}
	return names
}

// silent returns the members whose session is over, and forgets those that are no members any more. While a group is joining its members may be silent.
func (s *sessions) silent(name string, group kafkago.DescribeGroupsResponseGroup) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, now := s.groups[name], time.Now()
	heard := make(map[string]time.Time, len(group.Members))
	var silent []string
	for _, m := range group.Members {
		at, ok := g.heard[m.MemberID]
		if !ok || group.GroupState != "Stable" {
			at = now
		}
		heard[m.MemberID] = at
		if now.Sub(at) > g.timeout+sessionsGrace {
			silent = append(silent, m.MemberID)
		}
	}
	g.heard = heard
	return silent
}
