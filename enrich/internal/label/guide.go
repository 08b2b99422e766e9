package label

// Rule says what a label means: when it is given and when it is not.
type Rule struct{ Label, When, Not string }

// Guide is what a person needs to know to label under one head: in which order to decide, and what each label means. The risk tags' own text is in the code book.
type Guide struct {
	Question string
	Order    []string
	Rules    []Rule
}

// SentimentGuide and NeedsReplyGuide are the code book of the two heads that have no file of their own.
var (
	SentimentGuide = Guide{
		Question: "How does the author feel about the institution or its service, as far as the text shows?",
		Order: []string{
			"Judge the text, not the topic: a calm question about a bad thing is neutral.",
			"Mixed: what the message is written for decides.",
			"Irony counts as what it means: praise that complains is negative.",
			"Another's words, quoted or headlined, are neutral unless the author adds a feeling.",
		},
		Rules: []Rule{
			{"negative", "A complaint, anger, disappointment, mockery; a request that complains.", "A question, a request or a report of a fault without reproach (neutral)."},
			{"neutral", "Questions, requests, information, chatter, news.", "A question that is a reproach (negative)."},
			{"positive", "Praise, thanks that mean it, joy, support.", "A polite \"thank you\" that ends a question (neutral)."},
		},
	}
	NeedsReplyGuide = Guide{
		Question: "Does the author want something of the institution that an answer could give?",
		Order:    []string{"Would the author feel ignored if nobody answered? Then yes."},
		Rules: []Rule{
			{Yes, "A question, a request, a complaint, a report, also where it does not ask in so many words.", "A rhetorical question to third persons (no)."},
			{No, "Thanks, praise, chatter, an opinion on a policy, a message to somebody else, mentions alone.", "A complaint about one's own case (yes)."},
		},
	}
)
