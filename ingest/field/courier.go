package field

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/meta/metatest"
)

const (
	// bringEvery is how often the courier looks for something to deliver, and tryAgain how long it waits after a delivery that was not taken.
	bringEvery, tryAgain = 20 * time.Millisecond, 200 * time.Millisecond
	// ahead is from how many waiting deliveries the next one is drawn: they overtake one another.
	ahead = 3
	// repeats is the share of deliveries that come a second time though they were taken.
	repeats = 0.2
	// bringWithin is how long a webhook may take to answer.
	bringWithin = 5 * time.Second
)

// parcel is one delivery. again tells that it was taken before.
type parcel struct {
	platform string
	body     []byte
	again    bool
}

// courier brings deliveries to a webhook as Meta does: signed, until they are taken, some of them twice, and not always in order.
type courier struct {
	mu      sync.Mutex
	base    string // of the webhook; empty while nobody has subscribed, and then nothing is delivered
	waiting []parcel
	random  *rand.Rand

	client *http.Client
	stop   context.CancelFunc
	ended  chan struct{}
}

func newCourier(seed uint64) *courier {
	ctx, stop := context.WithCancel(context.Background())
	c := &courier{random: rand.New(rand.NewPCG(seed, 1000)), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: bringWithin}, stop: stop, ended: make(chan struct{})}
	go c.run(ctx)
	return c
}

func (c *courier) close() {
	c.stop()
	<-c.ended
}

// subscribe has deliveries brought to a webhook from now on.
func (c *courier) subscribe(base string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = base
}

func (c *courier) put(p parcel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base != "" {
		c.waiting = append(c.waiting, p)
	}
}

// left is how many deliveries were not taken yet, or wait for their second time.
func (c *courier) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

func (c *courier) run(ctx context.Context) {
	defer close(c.ended)
	wait := bringEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if wait = bringEvery; !c.bring(ctx) {
			wait = tryAgain
		}
	}
}

// bring delivers one of those that wait; false when it was not taken. It leaves the list only then, so that left counts it all the while.
func (c *courier) bring(ctx context.Context) bool {
	c.mu.Lock()
	if len(c.waiting) == 0 {
		c.mu.Unlock()
		return true
	}
	at, base := c.random.IntN(min(ahead, len(c.waiting))), c.base
	p := c.waiting[at]
	c.mu.Unlock()
	if !c.deliver(ctx, base, p) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting[:at], c.waiting[at+1:]...)
	if !p.again && c.random.Float64() < repeats {
		p.again = true
		c.waiting = append(c.waiting, p)
	}
	return true
}

func (c *courier) deliver(ctx context.Context, base string, p parcel) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/webhook/"+p.platform, bytes.NewReader(p.body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hub-Signature-256", metatest.Sign(p.body))
	res, err := c.client.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close() //nolint:errcheck // The status alone counts.
	return res.StatusCode == http.StatusOK
}
