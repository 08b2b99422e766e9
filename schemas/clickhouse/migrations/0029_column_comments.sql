-- What each column holds, for whoever has only SQL: SELECT table, name, comment FROM system.columns WHERE database = currentDatabase().
ALTER TABLE message_facts
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN created_at 'when it was written, by the platform, UTC',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN message_id 'the id that the platform gave the message',
    COMMENT COLUMN account 'the official account that it concerns',
    COMMENT COLUMN author_key 'a keyed hash that stands for the author, on one platform and within one epoch of keys',
    COMMENT COLUMN kind 'post, reply, comment, mention, quote or repost',
    COMMENT COLUMN direction 'inbound: from the public; outbound: from an account of the institution',
    COMMENT COLUMN is_auto 'written by a machine: the platform or archive says so, or the classifier by its words',
    COMMENT COLUMN observed_at 'when it was last read, UTC; NULL where the source does not say',
    COMMENT COLUMN edited_at 'when it was last edited, UTC; NULL if never, or not told',
    COMMENT COLUMN parent_id 'the message that it answers; empty for none',
    COMMENT COLUMN root_id 'the first message of its thread; empty stands for itself',
    COMMENT COLUMN mention_keys 'the keys of those whom it mentions',
    COMMENT COLUMN parent_is_account 'whether it answers an official account, where the source tells',
    COMMENT COLUMN mentions_account 'whether it mentions an official account',
    COMMENT COLUMN from_account_stream 'whether it came from an account\'s own mention or comment stream',
    COMMENT COLUMN author_followers 'followers of the author when it was read; NULL where unknown',
    COMMENT COLUMN author_created_at 'since when the author\'s account exists; NULL where unknown',
    COMMENT COLUMN likes 'as last observed; NULL where the platform does not count or tell them, never 0 for that',
    COMMENT COLUMN replies 'the same of replies',
    COMMENT COLUMN shares 'the same of shares',
    COMMENT COLUMN views 'the same of views',
    COMMENT COLUMN redacted 'what was replaced in the text: kinds of personal data, not the data',
    COMMENT COLUMN connector 'what read it',
    COMMENT COLUMN lang 'language of the text, as id, jv, su, en; und if undetermined',
    COMMENT COLUMN p_negative 'probability of negative, 0 to 1; NULL where the classifier had no answer',
    COMMENT COLUMN p_neutral 'the same of neutral',
    COMMENT COLUMN p_positive 'the same of positive',
    COMMENT COLUMN risk_tag 'the first risk tag; none for no risk',
    COMMENT COLUMN risk_tags 'all risk tags, the first one first',
    COMMENT COLUMN risk_severity 'how grave the gravest tag is, 0 to 5',
    COMMENT COLUMN risk_p 'probability by tag, 0 to 1',
    COMMENT COLUMN toxicity '0 to 1; NULL where the classifier had no answer',
    COMMENT COLUMN content_function 'of an outbound message: informative, educative, entertaining, mixed or other; empty for others',
    COMMENT COLUMN needs_reply 'the classifier finds that it asks for an answer',
    COMMENT COLUMN p_needs_reply 'the probability of that',
    COMMENT COLUMN bot_p 'probability that the author is automated, where one is given, 0 to 1; metric_authenticity makes up for it',
    COMMENT COLUMN model_version 'the release of the classifier whose labels these are',
    COMMENT COLUMN ingested_at 'when it was read for the first time in this version, UTC',
    COMMENT COLUMN expires_at 'when the institution\'s retention of facts ends',
    COMMENT COLUMN version 'the greatest of a message counts: time of its last change, model, content';
ALTER TABLE message_bodies
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN created_at 'when it was written, by the platform, UTC',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN message_id 'the id that the platform gave the message',
    COMMENT COLUMN message_key 'keyed hash of the message\'s id',
    COMMENT COLUMN text 'the text, with numbers of identity cards, telephones, accounts and plates and addresses replaced by what they are',
    COMMENT COLUMN expires_at 'when the institution\'s retention of texts ends',
    COMMENT COLUMN version 'the greatest of a message counts, as in message_facts';
ALTER TABLE tombstones
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN message_key 'keyed hash of the message\'s id',
    COMMENT COLUMN deleted_at 'the earliest time that any deletion gave, UTC';
ALTER TABLE visibility_changes
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN subject 'what is meant: a message, or everything by an author',
    COMMENT COLUMN at 'when the platform or an operator said so, UTC',
    COMMENT COLUMN state 'shown, hidden or deleted';
ALTER TABLE settled_requests
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN asked_at 'UTC',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN replied_at 'the first human reply to its author, UTC; NULL for none',
    COMMENT COLUMN deleted_at 'UTC';
ALTER TABLE coverage_ledger
    COMMENT COLUMN connector 'what read: a poller, a stream or an archive',
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN since 'beginning of the stretch, UTC',
    COMMENT COLUMN until 'its end, UTC',
    COMMENT COLUMN status 'complete: everything public was read; gap: it was not',
    COMMENT COLUMN reason 'of a gap: outage, limit, clamp, budget or auth; empty if complete';
ALTER TABLE account_counts
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN account 'the official account',
    COMMENT COLUMN observed_at 'when it was looked at, UTC',
    COMMENT COLUMN followers 'NULL where the platform does not tell',
    COMMENT COLUMN following 'the same of those that it follows',
    COMMENT COLUMN posts 'the same of its posts';
ALTER TABLE institution_settings
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN name 'its full name',
    COMMENT COLUMN zone 'its time zone, as Asia/Jakarta',
    COMMENT COLUMN utc_offset_s 'seconds east of UTC',
    COMMENT COLUMN loaded_at 'when institutions.yaml was read';
ALTER TABLE business_spans
    COMMENT COLUMN calendar 'the name of the calendar file',
    COMMENT COLUMN utc_offset_s 'seconds east of UTC';
ALTER TABLE metric_settings
    COMMENT COLUMN name 'as METRICS.md uses it',
    COMMENT COLUMN valid_from 'the first day of periods that it holds for',
    COMMENT COLUMN value 'a number, a share from 0 to 1, or seconds where the name ends in _s',
    COMMENT COLUMN set_at 'of two rows with one date the later counts';
ALTER TABLE service_clocks
    COMMENT COLUMN clock 'its name in metric_service_clock',
    COMMENT COLUMN valid_from 'the first day of periods that it holds for',
    COMMENT COLUMN unit 'days of 24 hours, or working days of the institution\'s calendar',
    COMMENT COLUMN source 'the rule that says so',
    COMMENT COLUMN set_at 'of two rows with one date the later counts';
ALTER TABLE institution_events
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN happened_on 'local day',
    COMMENT COLUMN recorded_at 'when it was entered';
ALTER TABLE message_labels
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN message_id 'the id that the platform gave the message',
    COMMENT COLUMN label 'what the person said',
    COMMENT COLUMN labelled_at 'of two labels by one annotator the later counts';
ALTER TABLE stream_confusions
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN head 'sentiment or risk_tag, as in message_labels',
    COMMENT COLUMN model_version 'the release of the classifier that was measured',
    COMMENT COLUMN labels 'messages that people labelled so and the classifier so',
    COMMENT COLUMN measured_at 'of two measurements the later counts';
ALTER TABLE report_runs
    COMMENT COLUMN report 'its name in the sink\'s configuration',
    COMMENT COLUMN institution 'of whom; empty for a comparison',
    COMMENT COLUMN period_from 'included, UTC',
    COMMENT COLUMN period_to 'excluded, UTC',
    COMMENT COLUMN started_at 'UTC',
    COMMENT COLUMN finished_at 'UTC; NULL while it runs',
    COMMENT COLUMN outputs 'file:NAME and mail:ID, no address',
    COMMENT COLUMN error 'why it failed; empty otherwise',
    COMMENT COLUMN metric_spec 'the version of METRICS.md that its figures follow',
    COMMENT COLUMN version 'the greatest of a period counts';
ALTER TABLE privacy_log
    COMMENT COLUMN id 'of the run or request',
    COMMENT COLUMN started_at 'UTC',
    COMMENT COLUMN texts_before 'rows of message_bodies before',
    COMMENT COLUMN texts_after 'and after: 0',
    COMMENT COLUMN facts_before 'rows of message_facts before',
    COMMENT COLUMN facts_after 'and after: 0',
    COMMENT COLUMN version 'the greatest of an id counts';
ALTER TABLE kept_months
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN broadcasts 'announcements',
    COMMENT COLUMN replies 'human public replies',
    COMMENT COLUMN auto_replies 'automatic ones',
    COMMENT COLUMN inbound 'messages to the institution',
    COMMENT COLUMN authors 'who wrote them',
    COMMENT COLUMN authors_answered 'who of these got a reply',
    COMMENT COLUMN requests 'questions and complaints',
    COMMENT COLUMN answered 'of them, as far as was known',
    COMMENT COLUMN deleted 'of them, by their authors before an answer',
    COMMENT COLUMN open 'of them, still',
    COMMENT COLUMN rmst_7d_s 'mean wait in seconds, each counted up to 7 days, the unanswered included',
    COMMENT COLUMN kept_at 'when the month was settled';
ALTER TABLE purged_letters
    COMMENT COLUMN partition 'of that topic',
    COMMENT COLUMN offset 'in it; a line\'s number in an archive',
    COMMENT COLUMN stage 'ingest, enrich or sink',
    COMMENT COLUMN reason 'why it was a dead letter',
    COMMENT COLUMN purged_at 'when an operator purged it';
ALTER TABLE schema_migrations
    COMMENT COLUMN name 'the file, in schemas/clickhouse',
    COMMENT COLUMN applied_at 'UTC'
