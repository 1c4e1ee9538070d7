-- What operators call, on tables of an application's own: other names, keys,
-- types and words, and fewer columns.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';

CREATE SCHEMA app;
CREATE TYPE app.state AS ENUM ('waiting', 'retrying', 'out', 'in', 'refused', 'silent', 'held', 'draft');
CREATE TABLE app.mailing (no integer PRIMARY KEY, state varchar(12), made timestamp, ended timestamp(0));
CREATE TABLE app.text_message (id bigserial PRIMARY KEY, mailing integer, phone text, kind text, state app.state, why varchar(20), sent timestamp);
CREATE TABLE app.answer (phone text, mailing bigint);
CREATE INDEX ON app.answer (mailing, phone);
CREATE INDEX ON app.text_message (mailing, phone, kind);
SELECT source, mode FROM campaign_attach('app', 'app.mailing', 'app.text_message', 'app.answer',
	columns => '{"campaigns": {"id": "no", "status": "state", "created_at": "made", "completed_at": "ended"},
		"messages": {"campaign_id": "mailing", "contact_id": "phone", "message_type": "kind", "status": "state", "error_message": "why", "sent_at": "sent"},
		"interactions": {"campaign_id": "mailing", "contact_id": "phone"}}',
	labels => '{"campaigns": {"sending": ["running", "going"], "completed": "done", "failed": ["dead", "lost"]},
		"messages": {"pending": ["waiting", "retrying"], "sent": "out", "delivered": null, "read": "in", "failed": "refused", "no_interaction": "silent", "ignored": "draft"},
		"message_types": {"message_1": "1", "message_2": ["2", "3"]}}');
SELECT time_zone FROM campaign_alter('app', 'time_zone', 'Europe/Paris');
SELECT mode FROM campaign_alter('app', 'mode', 'active');

INSERT INTO app.mailing VALUES (1, 'going', '2025-01-01 01:00');
INSERT INTO app.text_message (mailing, phone, kind, state, sent) VALUES
	(1, '+1', '1', 'waiting', NULL), (1, '+2', '1', 'retrying', NULL), (1, '+2', '3', 'waiting', NULL),
	(1, '+3', '1', 'out', '2025-01-01 02:00'), (1, '+4', '1', 'in', '2025-01-01 03:00'),
	(1, '+5', '1', 'in', '2025-01-01 01:00'), (1, '+5', '2', 'waiting', NULL),
	(1, '+6', '1', 'held', NULL), (1, '+7', '1', NULL, NULL), (1, '+8', '1', 'draft', NULL), (1, '+9', '9', 'waiting', NULL);
INSERT INTO app.answer VALUES ('+4', 1);
-- the moments are those of the zone: an hour earlier
SELECT * FROM campaign_explain(1, as_of => '2025-01-01 06:00+00');
SELECT * FROM campaign_close(1, 'the shop has closed', as_of => '2025-01-01 08:00:00.6+00') \gx
SELECT * FROM app.mailing;
SELECT phone, kind, state, why FROM app.text_message ORDER BY id;
SELECT count(*) FILTER (WHERE ok), count(*) FROM campaign_verify(1);
SELECT * FROM campaign_verify(1) WHERE what IN ('status', 'completed_at', 'failed');
SELECT * FROM campaign_explain(campaign_key => '1', as_of => '2025-01-01 09:00+00') WHERE condition <> 'closed by';
SELECT status, completed_at FROM campaign_reopen(1, 'it has opened again', as_of => '2025-01-01 10:00+00');
SELECT no, state, ended FROM app.mailing;
SELECT * FROM campaign_verify(1) WHERE NOT ok;
-- a reason that the column does not hold
\set VERBOSITY terse
SELECT status FROM campaign_update_status(1, as_of => '2025-01-01 10:01+00');
UPDATE app.text_message SET state = 'retrying', why = NULL WHERE state = 'refused';
SELECT campaign_close(1, 'a reason longer than the column', as_of => '2025-01-01 11:00+00');
SELECT state FROM app.mailing;
\set VERBOSITY default
-- a status that is null, and a word of none of the rules
UPDATE app.mailing SET state = NULL;
SELECT condition, ok, detail FROM campaign_explain(1) LIMIT 1;
SELECT campaign_reopen(1, 'go on');
UPDATE app.mailing SET state = 'parked';
SELECT condition, ok, detail FROM campaign_explain(1) LIMIT 1;
SELECT campaign_close(1, 'stop');

-- Nobody is marked where the application has no word for it; messages of one
-- kind only, without interactions and without any moment but the campaign's.
CREATE SCHEMA sms;
CREATE TABLE sms.campaigns (id bigint PRIMARY KEY, status text, created_at timestamptz);
CREATE TABLE sms.messages (id bigserial PRIMARY KEY, campaign_id bigint, contact_id bigint, status text);
CREATE INDEX ON sms.messages (campaign_id, contact_id);
SELECT source, mode, completion_rule FROM campaign_attach('sms', 'sms.campaigns', 'sms.messages', labels => '{"messages": {"no_interaction": null}}');
INSERT INTO sms.campaigns VALUES (1, 'sending', '2025-01-01 00:00+00');
INSERT INTO sms.messages (campaign_id, contact_id, status) VALUES (1, 1, 'sent'), (1, 2, 'pending');
SELECT * FROM campaign_explain(1, 'sms', '2025-01-01 06:00+00');
SELECT completion_rule FROM campaign_alter('sms', 'completion_rule', 'contacts');
SELECT * FROM campaign_explain(1, 'sms', '2025-01-03 06:00+00') WHERE NOT ok;
SELECT status, failed_count FROM campaign_close(1, 'stop', 'sms', '2025-01-01 08:00+00');
SELECT * FROM campaign_verify(1, 'sms') WHERE what = 'completed_at' OR NOT ok;
SELECT condition, detail FROM campaign_explain(1, 'sms', '2025-01-01 09:00+00') WHERE condition IN ('closed', 'settles', 'settled', 'by rule');
-- when it was closed is forgotten after a while; the certificate stays
DELETE FROM campaign_state WHERE source = 'sms';
SELECT condition, detail FROM campaign_explain(1, 'sms', '2025-01-08 09:00+00') WHERE condition IN ('closed', 'settles', 'settled', 'by rule');
SELECT count(*) FROM campaign_verify(1, 'sms') WHERE NOT ok;
