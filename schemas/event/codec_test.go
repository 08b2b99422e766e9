package event_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/dwiarah/dwiarah/schemas/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

type wire interface {
	proto.Message
	MarshalVT() ([]byte, error)
	UnmarshalVTUnsafe([]byte) error
}

func ptr[T any](v T) *T { return &v }

func full() *event.Enriched {
	return &event.Enriched{
		Message: &event.Message{
			Institution: "dinas-contoh", Platform: "mastodon", MessageId: "110", MessageKey: bytes.Repeat([]byte{7}, 16),
			Account: "dinascontoh", Kind: "reply", Direction: "inbound", IsAuto: true, AuthorKey: "00112233445566778899aabbccddeeff",
			AuthorFollowers: ptr[int64](12), AuthorCreatedAtMs: ptr[int64](1_600_000_000_000), CreatedAtMs: 1_770_000_000_123,
			ObservedAtMs: ptr[int64](1_770_000_060_000), EditedAtMs: ptr[int64](1_770_000_050_000), DeletedAtMs: ptr[int64](1_770_000_070_000),
			IngestedAtMs: 1_770_000_061_000, Text: "sudah [PHONE] belum dibalas\nmin 🙏", Lang: "id", ParentId: "109",
			ParentAuthorKey: "ffeeddccbbaa99887766554433221100", RootId: "100", MentionKeys: []string{"aa", "bb"},
			ParentIsAccount: event.Known_KNOWN_YES, MentionsAccount: true, FromAccountStream: true,
			Likes: ptr[int64](0), Replies: ptr[int64](1), Shares: ptr[int64](2), Views: ptr[int64](3),
			TextHash: 7, LinkHashes: []uint64{8, 9}, Url: "https://social.example/1", Redacted: []string{"phone"}, Connector: "mastodon:dinascontoh",
		},
		Enrichment: &event.Enrichment{
			Lang: "id", Sentiment: "negative", PNegative: .75, PNeutral: .125, PPositive: .125, RiskTag: "non_response",
			RiskTags: []string{"non_response"}, RiskSeverity: 2, RiskP: []*event.TagProbability{{Tag: "non_response", P: .5}},
			Toxicity: .0625, ContentFunction: "", NeedsReply: true, PNeedsReply: .875, ModelVersion: "golden-1", ModelSeq: 1, BotP: ptr[float32](.25),
		},
	}
}

func records() map[string]wire {
	return map[string]wire{
		"enriched": full(),
		"message":  full().Message,
		"dead": &event.DeadLetter{
			Stage: "enrich", Reason: "malformed", Detail: "message of 3 bytes", Original: []byte{1, 0, 255}, Source: "mentions.raw.v1",
			Partition: 3, Offset: 99, Attempt: 1, AtMs: 1_770_000_000_000, Headers: []*event.Header{{Key: "dwiarah-schema", Value: []byte("1")}}, Key: []byte("k"),
		},
		"coverage": &event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{
			Connector: "archive:x", Institution: "dinas-contoh", SinceMs: 1, UntilMs: 2, Status: "gap", Reason: "outage", RecordedAtMs: 3,
		}}},
		"snapshot": &event.LedgerEntry{Entry: &event.LedgerEntry_Snapshot{Snapshot: &event.AccountSnapshot{
			Institution: "dinas-contoh", Platform: "x", Account: "dinascontoh", ObservedAtMs: 4, Followers: ptr[int64](5),
		}}},
		"visibility": &event.LedgerEntry{Entry: &event.LedgerEntry_Visibility{Visibility: &event.Visibility{
			Institution: "dinas-contoh", Platform: "x", MessageKey: bytes.Repeat([]byte{7}, 16), State: "hidden", Reason: "withheld", AtMs: 6,
		}}},
	}
}

// TestGolden holds the wire form: bytes that were written once are read for ever, and equal records give equal bytes. F17.
func TestGolden(t *testing.T) {
	for name, rec := range records() {
		t.Run(name, func(t *testing.T) {
			got, err := event.Encode(rec)
			if err != nil {
				t.Fatal(err)
			}
			bin, text := filepath.Join("testdata", name+".bin"), filepath.Join("testdata", name+".json")
			if *update {
				readable, err := protojson.MarshalOptions{Indent: "  "}.Marshal(rec)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.WriteFile(bin, got, 0o644), os.WriteFile(text, append(readable, '\n'), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(bin)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the bytes differ from %s: %d against %d bytes", bin, len(got), len(want))
			}
			readable, err := os.ReadFile(text)
			if err != nil {
				t.Fatal(err)
			}
			fromJSON, back := rec.ProtoReflect().New().Interface().(wire), rec.ProtoReflect().New().Interface().(wire)
			if err := protojson.Unmarshal(readable, fromJSON); err != nil {
				t.Fatal(err)
			}
			if err := event.Decode(event.SchemaValue(), want, back); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(back, fromJSON) || !proto.Equal(back, rec) {
				t.Errorf("%s reads back as %v", bin, back)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	b, err := event.Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	for _, schema := range []string{"", "0", "2", "one"} {
		if err := event.Decode([]byte(schema), b, &event.Enriched{}); !errors.Is(err, event.ErrUnknownSchema) {
			t.Errorf("schema %q: got %v, want ErrUnknownSchema", schema, err)
		}
	}
	if err := event.Decode(event.SchemaValue(), b[:len(b)-3], &event.Enriched{}); !errors.Is(err, event.ErrMalformed) {
		t.Errorf("cut bytes: got %v, want ErrMalformed", err)
	}
}

// FuzzDecode: foreign bytes never panic, and what decodes encodes again.
func FuzzDecode(f *testing.F) {
	b, err := event.Encode(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e event.Enriched
		if event.Decode(event.SchemaValue(), b, &e) == nil {
			if _, err := event.Encode(&e); err != nil {
				t.Fatal(err)
			}
		}
	})
}
