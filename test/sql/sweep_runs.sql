-- campaign_sweep_run: which sweeps ran, what they did, when they are due again.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SELECT source, mode FROM campaign_create_tables();

-- Sorted alike everywhere; ids are made from names.
ALTER TABLE campaigns ALTER name TYPE text COLLATE "C";
CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
-- A campaign for each case, with a word for each contact: the status of
-- Message 1 and, after a slash, that of Message 2.
CREATE PROCEDURE campaign(name text, contacts text DEFAULT '', status text DEFAULT 'sending',
	start timestamptz DEFAULT '2025-01-01 00:00+00') LANGUAGE sql AS $$
	INSERT INTO campaigns (id, name, status, created_at, started_at)
	VALUES (id(name), name, status, start, start);
	INSERT INTO contacts (id, full_number)
	SELECT id(n::text), n FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at, sent_at)
	SELECT id(name), id(n::text), 'message_' || m, s, start, CASE WHEN s <> 'pending' THEN start END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS c (word, n),
		string_to_table(word, '/') WITH ORDINALITY AS w (s, m);
$$;
CREATE VIEW runs AS SELECT sweep, runs, as_of, finished_at IS NOT NULL AS finished,
	campaigns_checked AS checked, campaigns_updated AS updated, campaigns_closed AS closed,
	campaigns_resumed AS resumed, campaigns_skipped AS skipped, messages_checked, messages_marked, error
FROM campaign_sweep_run ORDER BY id;

-- A run is recorded with what it did, a dry run is not.
CALL campaign('complete', 'failed failed');
CALL campaign('silent', 'sent pending');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00', dry_run => true);
SELECT count(*) FROM runs;
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-01 12:00+00');
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00');
SELECT messages_marked FROM campaign_check_timeout(as_of => '2025-01-03 12:00+00');
TABLE runs;
SELECT bool_and(source = 'public' AND started_at <= finished_at) FROM campaign_sweep_run;

-- Runs that were given a moment do not count for the schedule: all four are due.
CALL campaign_run_sweeps();
SELECT sweep, runs, checked, updated, closed FROM runs WHERE as_of IS NULL;
-- Nothing is due now, so nothing is done.
CALL campaign_run_sweeps();
SELECT sweep, runs FROM runs WHERE as_of IS NULL;

-- Forced, they run all the same.  Runs in a row that changed nothing are one row.
CALL campaign_run_sweeps(force => true);
CALL campaign_run_sweeps('public', true);
SELECT sweep, runs FROM runs WHERE as_of IS NULL;
-- One that changes something has a row of its own, and so has what comes after.
CALL campaign('long over', 'failed');
CALL campaign_run_sweeps(force => true);
CALL campaign_run_sweeps(force => true);
SELECT sweep, runs, checked, updated, closed FROM runs WHERE as_of IS NULL ORDER BY sweep, closed DESC;
SELECT name, event, details ->> 'sweep' AS sweep
FROM campaign_event JOIN campaigns ON campaigns.id::text = campaign_id WHERE name = 'long over';
-- A run with a moment of its own interrupts the row.
SELECT campaigns_checked FROM campaign_check_sending(as_of => '2025-01-04 12:00+00');
CALL campaign_run_sweeps(force => true);
SELECT sweep, as_of, runs FROM runs WHERE sweep = 'sending';

-- More messages than batch_size are marked in batches, each with an event of its
-- own; it remains one campaign in one run.
SELECT batch_size FROM campaign_alter('public', 'batch_size', '3');
CALL campaign('many', 'sent read sent read sent read sent failed pending',
	start => now() - interval '30 hours');
CALL campaign_run_sweeps(force => true);
SELECT sweep, runs, checked, updated, closed, messages_checked, messages_marked
FROM runs WHERE messages_marked > 0 AND as_of IS NULL;
SELECT event, details ->> 'messages' AS messages FROM campaign_event
WHERE campaign_id = id('many')::text AND event = 'expired' ORDER BY id;
SELECT status, pending_count, no_interaction_count, failed_count FROM campaigns WHERE name = 'many';
DELETE FROM campaigns;

-- A function call without a moment is a run by the clock as any other.
TRUNCATE campaign_sweep_run;
SELECT campaigns_checked FROM campaign_check_sending();
CALL campaign_run_sweeps();
SELECT sweep, runs FROM runs ORDER BY sweep;

-- A run that was cut short is due at once.
UPDATE campaign_sweep_run SET finished_at = NULL WHERE sweep = 'expired';
CALL campaign_run_sweeps();
SELECT sweep, runs, finished FROM runs ORDER BY sweep, finished;
-- So is one whose time has come.
UPDATE campaign_sweep_run SET started_at = started_at - interval '6 hours' WHERE sweep = 'timeout';
UPDATE campaign_sweep_run SET started_at = started_at - interval '1 minute' WHERE sweep = 'sending';
CALL campaign_run_sweeps();
SELECT sweep, runs FROM runs WHERE sweep IN ('timeout', 'sending') ORDER BY sweep;

-- One that made way for other work goes on where it was, as the same run, with
-- the campaigns that come after; the next run has all of them again.
CREATE PROCEDURE made_way(sweep text, open boolean, after text) LANGUAGE sql AS $$
	INSERT INTO campaign_sweep_run (source, sweep, started_at, campaigns_checked, campaigns_updated, resume)
	VALUES ('public', sweep, now() - interval '10 minutes', 20, 10, jsonb_build_object('open', open, 'after', after));
$$;
\set in_order 'SELECT name, status, failed_count FROM campaigns ORDER BY id;'
CALL campaign('a', 'failed', start => now());
CALL campaign('b', 'failed', start => now());
CALL campaign('c', 'failed', start => now());
TRUNCATE campaign_sweep_run;
CALL made_way('sending', true, id('c')::text);
SELECT sweep, state, failures, next_run_at = now() AS at_once FROM campaign_sweep_status(as_of => now()) WHERE sweep = 'sending';
CALL campaign_run_sweeps();
:in_order
SELECT runs, finished, checked, updated, closed FROM runs WHERE sweep = 'sending';
SELECT resume IS NULL AS over, started_at < now() - interval '9 minutes' AS as_it_began FROM campaign_sweep_run WHERE sweep = 'sending';
CALL campaign_run_sweeps();
:in_order
SELECT runs, finished, checked, updated, closed FROM runs WHERE sweep = 'sending';
-- It may have been at those that settle.
UPDATE messages SET status = 'read';
CALL made_way('sending', false, id('c')::text);
CALL campaign_run_sweeps();
:in_order
SELECT runs, finished, checked, updated, closed FROM runs WHERE sweep = 'sending';
-- Where it was is nowhere, the campaigns having got other keys: so it goes on with
-- the first.  So does one that did not come as far as the first.
DELETE FROM campaigns;
CALL campaign('a', 'failed', start => now());
TRUNCATE campaign_sweep_run;
CALL made_way('sending', true, '12');
CALL campaign_run_sweeps();
:in_order
CALL campaign('c', 'sent', start => now() - interval '30 hours');
CALL made_way('expired', false, NULL);
CALL campaign_run_sweeps();
:in_order
SELECT sweep, runs, finished, checked, updated, closed FROM runs WHERE sweep = 'expired';
-- A run that somebody asked for is one of its own, and the last.
CALL made_way('sending', true, id('c')::text);
SELECT campaigns_checked FROM campaign_check_sending();
CALL campaign_run_sweeps();
SELECT runs, finished, checked, updated, closed FROM runs WHERE sweep = 'sending';
DELETE FROM campaigns;
DELETE FROM campaign_state;

-- A sweep whose period is NULL is off, even if forced.
TRUNCATE campaign_sweep_run;
SELECT expired_every FROM campaign_alter('public', 'expired_every', NULL);
SELECT timeout_every FROM campaign_alter('public', 'timeout_every', NULL);
CALL campaign_run_sweeps(force => true);
SELECT sweep, runs FROM runs ORDER BY sweep;
-- By a function call it still runs.
SELECT sweep, campaigns_checked FROM campaign_check_expired_interactions(as_of => '2025-01-01 12:00+00');
SELECT expired_every FROM campaign_alter('public', 'expired_every', '1 hour');
CALL campaign_run_sweeps();
SELECT sweep, runs, as_of FROM runs ORDER BY sweep, as_of;

-- History is kept for history_keep (30 days), then deleted by the next run of
-- whatever is due; of each sweep the last run by the clock stays.
TRUNCATE campaign_sweep_run, campaign_event;
INSERT INTO campaign_sweep_run (source, sweep, started_at, finished_at, as_of, error)
SELECT 'public', sweep, now() - age, now() - age, as_of, note
FROM (VALUES ('sending', '31 days'::interval, NULL::timestamptz, '31 days old, by the clock'),
	('sending', '31 days', '2025-01-01 00:00+00', '31 days old, with a moment'),
	('sending', '29 days', NULL, '29 days old'),
	('timeout', '33 days', NULL, '33 days old, the last by the clock; switched off'),
	('timeout', '31 days', '2025-01-01 00:00+00', '31 days old, with a moment; switched off'),
	('expired', '29 days', NULL, '29 days old'),
	('interrupted', '31 days', '2025-01-01 00:00+00', '31 days old, with a moment; off, never ran by the clock')
	) AS v (sweep, age, as_of, note);
SELECT interrupted_every FROM campaign_alter('public', 'interrupted_every', NULL);
INSERT INTO campaign_event (source, at, campaign_id, event, reason)
SELECT 'public', now() - age, id('old'), 'error', age
FROM unnest('{31 days,29 days}'::interval[]) AS age;
INSERT INTO campaign_event (source, at, campaign_id, event, reason)
VALUES ('another', now() - interval '31 days', id('old'), 'error', 'of another source');
CALL campaign_run_sweeps();
SELECT sweep, error AS note FROM campaign_sweep_run WHERE error IS NOT NULL ORDER BY id;
SELECT source, reason AS note FROM campaign_event ORDER BY id;
SELECT history_keep FROM campaign_alter('public', 'history_keep', '28 days');
CALL campaign_run_sweeps();
SELECT sweep, error AS note FROM campaign_sweep_run WHERE error IS NOT NULL ORDER BY id;
SELECT source, reason AS note FROM campaign_event ORDER BY id;
