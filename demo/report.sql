--
-- How it ended: each campaign's statistics, and the events that tell why.
--
\pset footer off
\pset border 0

\echo What the extension left in the campaigns table (failed includes silent):
\echo
SELECT c.name AS campaign, c.status, demo.hour(c.completed_at) AS hour,
	c.total_recipients AS contacts, c.sent_count AS sent, c.interaction_count AS replies,
	c.no_interaction_count AS silent, c.failed_count AS failed
FROM campaigns AS c JOIN demo.script AS s ON s.campaign = c.id
ORDER BY s.position;

\echo Why, in campaign_event (marking silent contacts, event "expired", is left out):
\echo
SELECT hour, campaign, event, reason FROM demo.events
WHERE event <> 'expired'
ORDER BY id;
