package sample

import (
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

// broadcast writes what the office posts, continues, corrects and reposts, and what citizens pass on.
func (w *world) broadcast(f *office) {
	for day := range Days {
		midnight := w.day(f, day)
		for range poisson(w.rng, f.postsPerDay*busyness(midnight)) {
			w.post(f, instantOf(w.rng, midnight, officeHours), pick(w.rng, f.platforms), pick(w.rng, f.functions), "post/")
		}
	}
}

// post writes one broadcast; family is the sections' prefix. It is nil when it falls outside the sample.
func (w *world) post(f *office, at time.Time, platform, function, family string) *message {
	account := f.accounts[platform][0]
	t := w.topic(f, platform, nil, at)
	name := family
	if family == "post/" {
		name += function
	}
	m := &message{
		platform: platform, kind: schemas.KindPost, author: account, at: at, text: w.official(t, name), lang: "id", function: function,
	}
	if w.rng.Float64() < 0.03 {
		w.edit(m, m.text+" "+f.texts.expand(w.rng, "corrected", t.slots))
	}
	if !w.write(f, m, broadcast) {
		return nil
	}
	f.posts = append(f.posts, m)
	if w.rng.Float64() < 0.006 {
		m.delete(at.Add(w.minutes(30, 2000)), w.end, false)
	}
	if w.rng.Float64() < 0.06 {
		w.write(f, &message{
			platform: platform, kind: replyKind(platform), author: f.accounts[platform][w.rng.IntN(len(f.accounts[platform]))], at: at.Add(w.minutes(1, 30)),
			parent: m, root: m, text: w.official(t, "continued"), lang: "id", function: informative,
		}, broadcast)
	}
	if onlyComments(platform) {
		return m
	}
	for range poisson(w.rng, 0.35) {
		w.write(f, &message{
			platform: platform, kind: schemas.KindRepost, author: w.citizen(f, platform), at: at.Add(w.minutes(3, 1500)), parent: m, root: m, text: m.text,
			lang: "id", truth: quiet,
		}, other)
	}
	if siblings := f.accounts[platform]; len(siblings) > 1 && w.rng.Float64() < 0.15 {
		w.write(f, &message{
			platform: platform, kind: schemas.KindRepost, author: siblings[1], at: at.Add(w.minutes(5, 200)), parent: m, root: m, text: m.text, lang: "id",
		}, other)
	}
	if w.rng.Float64() < 0.12 {
		w.quote(f, m)
	}
	return m
}

// quiet is true of what neither asks nor judges.
var quiet = labels{sentiment: schemas.Neutral, riskTag: "none"}

// edit gives a message another text, some minutes later; the sample keeps both.
func (w *world) edit(m *message, text string) {
	at := m.at.Add(w.minutes(1, 25)).UTC().Truncate(time.Second)
	if at.Before(w.end) {
		m.before, m.text, m.editedAt = m.text, text, &at
	}
}

// quote lets a citizen quote a broadcast, by name or without. A quote has no parent: what it quotes is not one.
func (w *world) quote(f *office, post *message) {
	c := w.citizen(f, post.platform)
	at := post.at.Add(w.minutes(10, 2000))
	t := w.topic(f, post.platform, c, at)
	s := w.section(f, "quoting", c)
	if s.truth.needsReply {
		w.talk(f, opening{at: at, platform: post.platform, section: s, kind: schemas.KindQuote, habit: f.easy, answer: "answer/more", citizen: c})
		return
	}
	w.write(f, &message{
		platform: post.platform, kind: schemas.KindQuote, author: c, at: at, text: w.text(t, c, s), lang: s.lang, truth: *s.truth,
	}, other)
}

// daily lets citizens write, day by day.
func (w *world) daily(f *office) {
	for day := range Days {
		midnight := w.day(f, day)
		for range poisson(w.rng, f.talksPerDay*busyness(midnight)) {
			w.ordinaryTalk(f, instantOf(w.rng, midnight, citizenHours), day)
		}
		if day%4 == 1 {
			w.bot(f, midnight.Add(6*time.Hour+time.Duration(w.rng.IntN(600))*time.Second))
		}
		if day%9 == 4 {
			w.orphans(f, instantOf(w.rng, midnight, citizenHours))
		}
	}
}

// ordinaryTalk opens a conversation of the office's usual mix.
func (w *world) ordinaryTalk(f *office, at time.Time, day int) {
	platform := pick(w.rng, f.platforms)
	post := w.recentPost(f, platform, at)
	if post != nil && !onlyComments(platform) && w.rng.Float64() < 0.55 {
		post = nil
	}
	if post == nil && onlyComments(platform) {
		platform = schemas.PlatformX
	}
	subject := pick(w.rng, f.subjects)
	switch {
	case post != nil && post.function == entertaining && w.rng.Float64() < 0.5:
		subject = pick(w.rng, []weighted{{chatter, .6}, {praise, .15}, {opinion, .25}})
	case day < Days/3 && (subject == askHard || subject == gripe) && w.rng.Float64() < 0.4:
		subject = askEasy // the easy ones come early
	}
	habit := f.easy
	if subject == askHard || subject == gripe {
		habit = f.hard
	}
	c := w.stranger(f, platform, post)
	s := w.section(f, subject, c)
	answer := "answer/" + s.topic()
	if !s.truth.needsReply {
		answer, habit.share = "answer/praise", 0
		if subject == praise {
			habit.share = f.easy.share * 0.2
		}
	}
	w.talk(f, opening{at: at, platform: platform, section: s, post: post, habit: habit, answer: answer, citizen: c})
}

// recentPost is one of the latest broadcasts on a platform before an instant, the later the likelier; nil when there is none.
func (w *world) recentPost(f *office, platform string, at time.Time) *message {
	var last *message
	for n := len(f.posts) - 1; n >= 0; n-- {
		p := f.posts[n]
		if p.platform != platform || !p.at.Before(at) || p.deletedAt != nil && p.deletedAt.Before(at) {
			continue
		}
		last = p
		if w.rng.Float64() < 0.45 {
			break
		}
		if at.Sub(p.at) > 6*24*time.Hour {
			break
		}
	}
	return last
}

// opening is how a conversation begins.
type opening struct {
	at       time.Time
	platform string
	section  *section
	// post is the broadcast under which it happens; nil for a thread of its own.
	post *message
	// kind is empty for what the place implies.
	kind    string
	habit   habit
	answer  string
	citizen *author
	// orphan puts the message under a parent that nobody read.
	orphan bool
	// last ends the conversation with the first answer.
	last bool
}

// talk lets a conversation happen: a message, reminders while it waits, an answer or none, thanks or a further question, and so on.
func (w *world) talk(f *office, o opening) {
	t := w.topic(f, o.platform, o.citizen, o.at)
	first := w.opens(t, o)
	if !w.write(f, first, addressed) {
		return
	}
	if o.post != nil && w.rng.Float64() < 0.13 {
		w.sideTalk(t, first)
	}
	question, habit, answer := first, o.habit, o.answer
	for turn := 0; ; turn++ {
		reply := w.exchange(t, question, habit, answer, turn == 0)
		if reply == nil || o.last || turn == 4 {
			return
		}
		question = w.afterwards(t, reply)
		if question == nil {
			return
		}
		habit, answer = f.easy, "answer/more"
		if question.truth.sentiment == schemas.Negative {
			habit, answer = f.hard, "answer/unhappy"
		}
	}
}

// opens writes the message that opens a conversation.
func (w *world) opens(t *topic, o opening) *message {
	m := &message{platform: o.platform, kind: o.kind, author: o.citizen, at: o.at, text: w.text(t, o.citizen, o.section), lang: o.section.lang, truth: *o.section.truth}
	switch {
	case o.orphan:
		ghost := &message{platform: o.platform, at: o.at.Add(-w.minutes(5, 600)), ghost: true}
		w.messages = append(w.messages, ghost)
		m.kind, m.parent, m.root = replyKind(o.platform), ghost, ghost
	case o.post != nil:
		m.kind, m.parent, m.root = replyKind(o.platform), o.post, o.post
	case m.kind == "":
		m.kind = schemas.KindMention
	}
	if m.parent == nil || m.parent.ghost || !onlyComments(o.platform) && w.rng.Float64() < 0.4 {
		w.name(m, t.account)
	}
	switch r := w.rng.Float64(); {
	case r < 0.012:
		w.edit(m, m.text+" "+t.texts.expand(w.rng, "edited", t.slots))
	case r < 0.016 && m.truth.needsReply:
		solved := t.texts.family("edited.solved", "id")[0]
		w.edit(m, m.text+" "+w.text(t, o.citizen, solved))
		m.truth = *solved.truth
	}
	m.mentions = mentionsIn(m.text, t.accounts[o.platform]...)
	return m
}

// name puts an account's handle before a text that lacks it.
func (w *world) name(m *message, account *author) {
	if len(mentionsIn(m.text, account)) == 0 {
		m.text = "@" + account.handle + " " + m.text
	}
}

// exchange waits for the office's answer to a question, with reminders and deletions on the way. It returns the answer, nil when none came
// or the conversation ended with it.
func (w *world) exchange(t *topic, question *message, h habit, answer string, mayDelete bool) *message {
	var pending []*asked
	if question.truth.needsReply {
		pending = append(pending, w.ask(t.office, question))
	}
	if question.truth.needsReply && w.rng.Float64() < t.autoShare {
		w.write(t.office, &message{
			platform: question.platform, kind: replyKind(question.platform), author: t.accounts[question.platform][0], at: question.at.Add(w.minutes(0.3, 1.8)),
			parent: question, root: question.root, isAuto: true, text: w.official(t, "auto"), lang: "id",
		}, autoReply)
	}
	answered := w.rng.Float64() < h.share
	answerAt := t.atWork(w.rng, question.at.Add(h.delay(w.rng)))
	if mayDelete && w.rng.Float64() < 0.03 {
		question.delete(question.at.Add(w.minutes(4, 900)), w.end, w.rng.IntN(2) == 0)
		if question.deletedAt != nil && question.deletedAt.Before(answerAt) && w.rng.Float64() < 0.7 {
			answered = false
		}
	}
	last := question
	if question.truth.needsReply && question.deletedAt == nil {
		giveUp := question.at.Add(96 * time.Hour)
		if answered && answerAt.Before(giveUp) {
			giveUp = answerAt
		}
		for w.rng.Float64() < 0.4 {
			nag := w.nag(t, question, last.at.Add(w.minutes(150, 2100)))
			if !nag.at.Before(giveUp) || !w.write(t.office, nag, addressed) {
				break
			}
			if nag.at.Sub(last.at) > 24*time.Hour {
				pending = append(pending, w.ask(t.office, nag))
			}
			last = nag
		}
	}
	if !answered {
		return nil
	}
	parent := question
	if w.rng.Float64() < 0.3 {
		parent = last
	}
	reply := w.reply(t, parent, answerAt, w.official(t, answer))
	if !reply.at.After(last.at) || !w.write(t.office, reply, response, t.citizen) {
		return nil
	}
	if w.rng.Float64() < 0.012 {
		reply.delete(reply.at.Add(w.minutes(10, 600)), w.end, w.rng.IntN(2) == 0)
		if reply.deletedAt != nil {
			return nil
		}
	}
	for _, a := range pending {
		a.answer = reply
	}
	if question.deletedAt == nil && mayDelete && w.rng.Float64() < 0.01 {
		question.delete(reply.at.Add(w.minutes(5, 3000)), w.end, w.rng.IntN(2) == 0)
		return nil
	}
	if question.deletedAt != nil {
		return nil
	}
	return reply
}

// reply writes an answer; who answers may be a sibling account.
func (w *world) reply(t *topic, parent *message, at time.Time, text string) *message {
	account := t.account
	if siblings := t.accounts[parent.platform]; len(siblings) > 1 && w.rng.Float64() < 0.45 {
		account = siblings[1]
	}
	m := &message{platform: parent.platform, kind: replyKind(parent.platform), author: account, at: at, parent: parent, root: parent.root, text: text, lang: "id"}
	if !onlyComments(parent.platform) || w.rng.Float64() < 0.6 {
		m.text = "@" + parent.author.handle + " " + m.text
		m.mentions = []*author{parent.author}
	}
	if w.rng.Float64() < 0.01 {
		w.edit(m, m.text+" "+t.texts.expand(w.rng, "corrected", t.slots))
	}
	return m
}

// nag writes a reminder: under the broadcast once more, or under one's own message and naming the account.
func (w *world) nag(t *topic, question *message, at time.Time) *message {
	if hour := at.In(t.zone).Hour(); hour < 6 {
		at = at.Add(time.Duration(6-hour)*time.Hour + w.minutes(0, 180))
	}
	s := w.section(t.office, "nag", t.citizen)
	m := &message{
		platform: question.platform, kind: replyKind(question.platform), author: t.citizen, at: at, text: w.text(t, t.citizen, s), lang: s.lang, truth: *s.truth,
		parent: question, root: question.root,
	}
	if p := question.parent; p != nil && !p.ghost && p.author.office != nil && w.rng.Float64() < 0.6 {
		m.parent = p
	} else {
		w.name(m, t.account)
	}
	m.mentions = mentionsIn(m.text, t.accounts[m.platform]...)
	return m
}

// afterwards writes what the citizen says to an answer; it returns the message when it needs a reply.
func (w *world) afterwards(t *topic, reply *message) *message {
	name := pick(w.rng, []weighted{{"thanks", .28}, {"more", .13}, {"unhappy", .05}, {"", .54}})
	if name == "" {
		return nil
	}
	s := w.section(t.office, name, t.citizen)
	m := &message{
		platform: reply.platform, kind: replyKind(reply.platform), author: t.citizen, at: reply.at.Add(w.minutes(2, 240)), parent: reply, root: reply.root,
		text: w.text(t, t.citizen, s), lang: s.lang, truth: *s.truth,
	}
	if !onlyComments(reply.platform) && w.rng.Float64() < 0.5 {
		w.name(m, reply.author)
	}
	m.mentions = mentionsIn(m.text, t.accounts[m.platform]...)
	if !w.write(t.office, m, addressed) || !m.truth.needsReply {
		return nil
	}
	return m
}

// sideTalk lets citizens talk among themselves under a message.
func (w *world) sideTalk(t *topic, m *message) {
	for previous := m; ; {
		c := w.citizen(t.office, m.platform)
		if c == previous.author {
			return
		}
		t.slots.moment["kawan"] = func() string { return previous.author.handle }
		s := w.section(t.office, "sidetalk", c)
		next := &message{
			platform: m.platform, kind: replyKind(m.platform), author: c, at: previous.at.Add(w.minutes(2, 200)), parent: previous, root: m.root,
			text: w.text(t, c, s), lang: s.lang, truth: *s.truth, mentions: []*author{previous.author},
		}
		if !w.write(t.office, next, other) || w.rng.Float64() < 0.6 {
			return
		}
		previous = next
	}
}

// bot is an automatic mention.
func (w *world) bot(f *office, at time.Time) {
	c := w.citizens[f.id+" bot"]
	if c == nil {
		c = []*author{w.newcomer(f, schemas.PlatformX)}
		w.citizens[f.id+" bot"] = c
	}
	t := w.topic(f, schemas.PlatformX, c[0], at)
	m := &message{
		platform: schemas.PlatformX, kind: schemas.KindMention, author: c[0], at: at, text: f.texts.expand(w.rng, "bot", t.slots), lang: "id", isAuto: true, truth: quiet,
	}
	m.mentions = mentionsIn(m.text, f.accounts[schemas.PlatformX]...)
	w.write(f, m, other)
}

// orphans are a question, and every other time an answer, whose parent nobody read.
func (w *world) orphans(f *office, at time.Time) {
	c := w.citizen(f, schemas.PlatformX)
	s := w.section(f, askEasy, c)
	w.talk(f, opening{at: at, platform: schemas.PlatformX, section: s, habit: f.easy, answer: "answer/" + s.topic(), citizen: c, orphan: true})
	if w.rng.IntN(2) == 0 {
		return
	}
	lost := &message{platform: schemas.PlatformX, at: at, ghost: true}
	lost.root = lost
	w.messages = append(w.messages, lost)
	t := w.topic(f, schemas.PlatformX, c, at)
	w.write(f, &message{
		platform: schemas.PlatformX, kind: schemas.KindReply, author: t.account, at: f.atWork(w.rng, at.Add(time.Hour)), parent: lost, root: lost,
		text: w.official(t, "answer/umum"), lang: "id",
	}, response, &author{id: "nobody known"})
}

// incident is the break of the main pipe: two days of complaints that fade, updates, and answers by the handful.
func (w *world) incident(f *office, at time.Time) {
	for n, after := range []time.Duration{40 * time.Minute, 4 * time.Hour, 8 * time.Hour, 15 * time.Hour, 27 * time.Hour, 34 * time.Hour} {
		w.post(f, at.Add(after), []string{schemas.PlatformX, schemas.PlatformInstagram}[n%2], informative, "incident/post")
	}
	for range 300 {
		when := at.Add(time.Duration(w.rng.ExpFloat64() * 15 * float64(time.Hour))).Truncate(time.Second)
		if hour := when.In(f.zone).Hour(); hour < 5 || when.Sub(at) > 48*time.Hour {
			when = at.Add(w.minutes(30, 900))
		}
		name := pick(w.rng, []weighted{{"incident/gripe", .8}, {"incident/ask", .18}, {"incident/danger", .02}})
		platform := pick(w.rng, f.platforms)
		post := w.recentPost(f, platform, when)
		if post == nil || !onlyComments(platform) && w.rng.Float64() < 0.4 {
			post, platform = nil, schemas.PlatformX
		}
		c := w.stranger(f, platform, post)
		w.talk(f, opening{
			at: when, platform: platform, section: w.section(f, name, c), post: post, habit: habit{.35, 3.5, .7}, answer: "answer/incident", citizen: c, last: true,
		})
	}
}

// burst is the coordinated one: many new accounts, one text, within a minute; and once more.
func (w *world) burst(f *office, waves ...time.Time) {
	var crowd []*author
	for range 42 {
		c := w.newcomer(f, schemas.PlatformX)
		followers, created := int64(w.rng.IntN(12)), waves[0].AddDate(0, 0, -3-w.rng.IntN(6)).UTC()
		c.followers, c.created = &followers, &created
		crowd = append(crowd, c)
	}
	for n, wave := range waves {
		for _, c := range crowd {
			text := strings.ReplaceAll(f.texts.byName["burst"].options[n], "{akun}", "@"+f.accounts[schemas.PlatformX][0].handle)
			w.write(f, &message{
				platform: schemas.PlatformX, kind: schemas.KindMention, author: c, at: wave.Add(time.Duration(w.rng.IntN(56)) * time.Second), text: text, lang: "id",
				truth: labels{sentiment: schemas.Negative, riskTag: "policy_criticism", severity: 1}, mentions: f.accounts[schemas.PlatformX][:1],
			}, addressed)
		}
	}
}

// askBoth is a question that concerns two institutions; each answers or does not, for itself.
func (w *world) askBoth(one, two *office, at time.Time) {
	const platform = schemas.PlatformX
	c := w.citizen(one, platform)
	t := w.topic(one, platform, c, at)
	second := two.accounts[platform][0]
	t.slots.moment["akunlain"] = func() string { return "@" + second.handle }
	s := w.section(one, "both", c)
	m := &message{platform: platform, kind: schemas.KindMention, author: c, at: at, text: w.text(t, c, s), lang: s.lang, truth: *s.truth}
	w.name(m, t.account)
	m.mentions = mentionsIn(m.text, t.account, second)
	if !w.write(one, m, addressed) {
		return
	}
	w.enter(two, m, addressed)
	for _, f := range []*office{one, two} {
		a := w.ask(f, m)
		if w.rng.Float64() >= f.easy.share {
			continue
		}
		answering := w.topic(f, platform, c, at)
		reply := w.reply(answering, m, f.atWork(w.rng, at.Add(f.easy.delay(w.rng))), w.official(answering, "answer/umum"))
		if w.write(f, reply, response, c) {
			a.answer = reply
		}
	}
}
