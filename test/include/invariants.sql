-- What must hold of a source whatever has happened to the server, written apart
-- from the extension's code.  Run with the source's schema first in search_path;
-- the standard tables are there, and journal.sql has been run for that source or
-- another.  Each row that is printed is something wrong: which invariant, which
-- campaign, and what about it.
--
-- Nobody is writing meanwhile, and all that was due has been swept.

CREATE TEMP VIEW happened AS
SELECT id, campaign_id::uuid AS campaign_id, event, at, status_to, details,
	row_number() OVER (PARTITION BY campaign_id, event ORDER BY id) AS number
FROM campaign_event WHERE source = current_schema() AND NOT shadow AND event <> 'error';

-- What keeps a campaign from being complete, by the rule "contacts".
CREATE TEMP VIEW unfinished AS
SELECT m.campaign_id, m.id, m.message_type, m.status
FROM messages AS m
WHERE m.status = 'pending' OR m.message_type = 'message_1' AND m.status IN ('sent', 'delivered', 'read') AND NOT EXISTS (
	SELECT FROM messages AS n WHERE n.campaign_id = m.campaign_id AND n.contact_id = m.contact_id
		AND n.message_type = 'message_2' AND n.status <> 'pending');

--
-- Nothing is lost
--

SELECT 'lost: every cycle has ended, and it is open', c.id, NULL
FROM campaigns AS c
WHERE c.status = 'sending' AND c.id NOT IN (SELECT campaign_id FROM unfinished)
	AND (SELECT count(*) FROM messages WHERE campaign_id = c.id AND message_type = 'message_1') >= greatest(c.total_recipients, 1);

SELECT 'lost: a pending message came after it was closed as complete, and it is closed', c.id, m.id
FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id AND m.status = 'pending'
WHERE c.status IN ('completed', 'failed') AND 'timeout' <>
	(SELECT details ->> 'sweep' FROM happened WHERE campaign_id = c.id AND event = 'closed' ORDER BY id DESC LIMIT 1);

--
-- Every event exactly once
--

SELECT 'events: as often closed as opened again, or once more if closed', c.id, format('%s, %s closed, %s reopened', c.status, e.closed, e.reopened)
FROM campaigns AS c, LATERAL (
	SELECT count(*) FILTER (WHERE event = 'closed') AS closed, count(*) FILTER (WHERE event = 'reopened') AS reopened
	FROM happened WHERE campaign_id = c.id) AS e
WHERE e.closed - e.reopened <> CASE WHEN c.status IN ('completed', 'failed') THEN 1 ELSE 0 END;

SELECT 'events: closed and opened by turns', campaign_id, id
FROM (SELECT *, lag(event, 1, 'reopened') OVER (PARTITION BY campaign_id ORDER BY id) AS before
	FROM happened WHERE event IN ('closed', 'reopened')) AS e
WHERE event = before;

SELECT 'events: the last closing tells status and completed_at', c.id, format('%s %s, not %s %s', c.status, c.completed_at, e.status_to, e.at)
FROM campaigns AS c, LATERAL (
	SELECT * FROM happened WHERE campaign_id = c.id AND event IN ('closed', 'reopened') ORDER BY id DESC LIMIT 1) AS e
WHERE e.event = 'closed' AND (c.status, c.completed_at) IS DISTINCT FROM (e.status_to, e.at)
	OR e.event = 'reopened' AND c.completed_at IS NOT NULL;

--
-- Nothing is marked, or failed, twice or unaccounted for
--

SELECT 'marked: the sum of the events is the rows', c.id, format('%s in events, %s rows', e.messages, m.rows)
FROM campaigns AS c,
	LATERAL (SELECT coalesce(sum((details ->> 'messages')::bigint), 0) AS messages FROM happened WHERE campaign_id = c.id AND event = 'expired') AS e,
	LATERAL (SELECT count(*) AS rows FROM messages WHERE campaign_id = c.id AND status = 'no_interaction') AS m
WHERE e.messages <> m.rows;

-- Each transaction that marked is asked, so that what one has marked too often
-- cannot make up for what another has not: a row that was marked twice is missing
-- in the first, one that was set back is missing in its own.  (Nobody changes what
-- is marked, so xmin is the marking's; no trigger is needed, which would have all
-- be marked in batches.)
SELECT 'marked: a transaction has marked what its events say', coalesce(e.campaign_id, m.campaign_id),
	format('%s in events, %s rows of transaction %s', coalesce(e.messages, 0), coalesce(m.rows, 0), xmin)
FROM (SELECT h.campaign_id, e.xmin, sum((e.details ->> 'messages')::bigint) AS messages
		FROM happened AS h JOIN campaign_event AS e USING (id) WHERE h.event = 'expired' GROUP BY 1, 2) AS e
	FULL JOIN (SELECT campaign_id, xmin, count(*) AS rows FROM messages WHERE status = 'no_interaction' GROUP BY 1, 2) AS m
		USING (campaign_id, xmin)
WHERE e.messages IS DISTINCT FROM m.rows;

SELECT 'failed: the sum of the events, and what is remembered, is the rows', c.id, format('%s in events, %s remembered, %s rows', e.messages, s.failed, m.rows)
FROM campaigns AS c,
	LATERAL (SELECT coalesce(sum((details ->> 'failed_by_us')::bigint), 0) AS messages FROM happened WHERE campaign_id = c.id AND event = 'closed') AS e,
	LATERAL (SELECT coalesce(sum(failed_by_us), 0) AS failed FROM campaign_state WHERE source = current_schema() AND campaign_id = c.id::text) AS s,
	LATERAL (SELECT count(*) AS rows FROM messages WHERE campaign_id = c.id AND status = 'failed' AND error_message LIKE 'Timeout %') AS m
WHERE e.messages + s.failed <> m.rows;

--
-- Statistics equal a recount
--

SELECT 'statistics', c.id, format('%s; counted: %s', kept, counted)
FROM campaigns AS c,
	LATERAL (SELECT count(*) FILTER (WHERE status IN ('sent', 'delivered', 'read')) AS sent,
		count(*) FILTER (WHERE status = 'delivered') AS delivered, count(*) FILTER (WHERE status = 'read') AS read,
		count(*) FILTER (WHERE status IN ('failed', 'no_interaction')) AS failed,
		count(*) FILTER (WHERE status = 'no_interaction') AS silent, count(*) FILTER (WHERE status = 'pending') AS pending
		FROM messages WHERE campaign_id = c.id AND message_type IN ('message_1', 'message_2')) AS m,
	LATERAL (SELECT count(*) AS answers FROM interactions WHERE campaign_id = c.id AND interaction_type IN ('reply', 'reaction')) AS i,
	LATERAL (SELECT ROW(c.sent_count, c.success_count, c.delivered_count, c.read_count, c.failed_count, c.no_interaction_count, c.pending_count, c.interaction_count)::text AS kept,
		ROW(m.sent, m.sent, m.delivered, m.read, m.failed, m.silent, m.pending, i.answers)::text AS counted) AS s
WHERE c.status IN ('sending', 'completed', 'failed') AND kept <> counted;

--
-- Nothing is closed, or marked, too early: by the journal
--

-- Each closing, with a snapshot older than the one that it was decided by, and one
-- that is not.
CREATE TEMP VIEW closing AS
SELECT c.*, m.snapshot AS before, row_number() OVER (PARTITION BY c.campaign_id ORDER BY c.change) AS number
FROM proof.campaign_change AS c LEFT JOIN LATERAL (
	SELECT snapshot FROM proof.moment AS m WHERE m.transaction < c.transaction ORDER BY m.transaction DESC LIMIT 1) AS m ON true
WHERE c.source = current_schema() AND c.status_from = 'sending' AND c.status IN ('completed', 'failed');

-- What each message was like at both.  Who does not come back to what he has left
-- (pending; in flight and unanswered) was so in between.
CREATE TEMP TABLE seen AS
SELECT c.change, c.campaign_id, c.number, c.total_recipients, a.message_id, a.contact_id, a.message_type,
	b.status AS before, a.status AS after
FROM closing AS c
	CROSS JOIN LATERAL (
		SELECT DISTINCT ON (message_id) * FROM proof.message_change AS m
		WHERE m.campaign_id = c.campaign_id AND (m.transaction = c.transaction OR pg_visible_in_snapshot(m.transaction, c.snapshot))
		ORDER BY message_id, change DESC) AS a
	LEFT JOIN LATERAL (
		SELECT DISTINCT ON (message_id) * FROM proof.message_change AS m
		WHERE m.campaign_id = c.campaign_id AND pg_visible_in_snapshot(m.transaction, c.before)
		ORDER BY message_id, change DESC) AS b USING (message_id);
CREATE INDEX ON seen (change, contact_id);

SELECT 'closed too early: a message was pending', campaign_id, message_id
FROM seen WHERE before = 'pending' AND after = 'pending';

SELECT 'closed too early: a contact could still reply', campaign_id, message_id
FROM seen AS s JOIN happened AS e USING (campaign_id, number)
WHERE e.event = 'closed' AND e.details ->> 'sweep' <> 'timeout' AND message_type = 'message_1'
	AND before IN ('sent', 'delivered', 'read') AND after IN ('sent', 'delivered', 'read')
	AND NOT EXISTS (SELECT FROM seen AS n WHERE n.change = s.change AND n.contact_id = s.contact_id
		AND n.message_type = 'message_2' AND n.after <> 'pending');

SELECT 'closed too early: it was still being filled', c.campaign_id, format('%s of %s', m.messages, c.total_recipients)
FROM closing AS c JOIN happened AS e USING (campaign_id, number),
	LATERAL (SELECT count(*) AS messages FROM seen WHERE change = c.change AND message_type = 'message_1') AS m
WHERE e.event = 'closed' AND e.details ->> 'sweep' <> 'timeout' AND m.messages < greatest(c.total_recipients, 1);

SELECT 'closed too early: campaign_timeout was not over', c.campaign_id, format('at %s, started %s', e.at, s.start)
FROM closing AS c JOIN happened AS e USING (campaign_id, number),
	LATERAL (SELECT greatest(c.start, max(r.at)) AS start FROM happened AS r
		WHERE r.campaign_id = c.campaign_id AND r.event = 'reopened' AND r.id < e.id) AS s
WHERE e.event = 'closed' AND e.details ->> 'sweep' = 'timeout'
	AND s.start >= e.at - (SELECT campaign_timeout FROM campaign_source WHERE source = current_schema());

SELECT 'closed too early: unfinished now, and nobody has written since', c.id, u.id
FROM campaigns AS c JOIN unfinished AS u ON u.campaign_id = c.id
WHERE c.status IN ('completed', 'failed') AND NOT EXISTS (SELECT FROM proof.campaign_change WHERE source = current_schema());

-- What is marked is marked under the campaign's lock, so the journal has it between
-- the changes of that campaign.
CREATE TEMP VIEW marking AS
SELECT m.*, (SELECT snapshot FROM proof.moment AS o WHERE o.transaction < m.transaction ORDER BY o.transaction DESC LIMIT 1) AS before,
	(SELECT status FROM proof.campaign_change AS c WHERE c.campaign_id = m.campaign_id AND c.change < m.change ORDER BY c.change DESC LIMIT 1) AS campaign
FROM proof.message_change AS m
WHERE m.source = current_schema() AND m.status = 'no_interaction';

SELECT 'marked twice', min(campaign_id::text), message_id
FROM marking GROUP BY message_id HAVING count(*) > 1;

SELECT 'marked in a campaign that was not open', campaign_id, message_id
FROM marking WHERE campaign <> 'sending';

SELECT 'marked although the contact had answered', campaign_id, message_id
FROM marking AS m
WHERE EXISTS (SELECT FROM proof.interaction AS i WHERE i.campaign_id = m.campaign_id AND i.contact_id = m.contact_id
		AND pg_visible_in_snapshot(i.transaction, m.before))
	OR EXISTS (SELECT FROM proof.message_change AS n WHERE n.campaign_id = m.campaign_id AND n.contact_id = m.contact_id
		AND n.message_type = 'message_2' AND pg_visible_in_snapshot(n.transaction, m.before));

SELECT 'marked too early', campaign_id, message_id
FROM marking AS m
WHERE sent_at >= (SELECT max((details ->> 'sent_before')::timestamptz) FROM happened AS e WHERE e.campaign_id = m.campaign_id AND event = 'expired');

--
-- Every event is one change of a row, and was told of once
--

SELECT 'events: one a change', coalesce(c.campaign_id, e.campaign_id), format('%s: %s events, %s changes', coalesce(c.event, e.event), e.events, c.changes)
FROM (SELECT campaign_id, CASE status WHEN 'sending' THEN 'reopened' ELSE 'closed' END AS event, count(*) AS changes
		FROM proof.campaign_change
		WHERE source = current_schema() AND 'sending' IN (status_from, status)
			AND (status_from IN ('completed', 'failed') OR status IN ('completed', 'failed'))
		GROUP BY 1, 2) AS c
	FULL JOIN (SELECT campaign_id, event, count(*) AS events FROM happened WHERE event IN ('closed', 'reopened') GROUP BY 1, 2) AS e
		USING (campaign_id, event)
WHERE changes IS DISTINCT FROM events AND EXISTS (SELECT FROM proof.campaign_change WHERE source = current_schema());

-- (but for campaigns of which on_event was too slow)
SELECT 'events: told of once', e.campaign_id, format('%s: %s times', e.id, count(t.event_id))
FROM campaign_event AS e LEFT JOIN proof.told AS t ON t.event_id = e.id
WHERE e.source = current_schema() AND NOT e.shadow AND NOT EXISTS (
		SELECT FROM campaign_event AS r WHERE r.source = e.source AND r.campaign_id = e.campaign_id AND r.details ? 'on_event')
	AND EXISTS (SELECT FROM campaign_source WHERE source = current_schema() AND on_event IS NOT NULL)
GROUP BY e.campaign_id, e.id HAVING count(t.event_id) <> 1;

SELECT 'events: told of one that there is not', NULL, event_id
FROM proof.told WHERE NOT EXISTS (SELECT FROM campaign_event WHERE id = event_id);
