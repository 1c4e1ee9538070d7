-- The reports on tables of an application's own: other names and words, keys of
-- other types, columns that are missing, contacts listed twice, interactions that
-- tell no campaign, several words for a status, late replies, a blackout.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
\pset null '-'

--
-- Numbers as keys, an enum, words in French, phone numbers as contacts
--

CREATE SCHEMA "Agence no. 1";
SET search_path = "Agence no. 1", public;
CREATE TYPE "Etat" AS ENUM ('a envoyer', 'envoye', 'remis', 'lu', 'echec', 'refuse', 'sans reponse', 'brouillon');
CREATE TABLE "Campagnes" (no bigint PRIMARY KEY, "etat" text NOT NULL, "creee" timestamptz NOT NULL, "lancee" timestamptz);
CREATE TABLE "Messages" (no serial PRIMARY KEY, campagne bigint NOT NULL, "numero" text, type int, "etat" "Etat", "envoye a" timestamptz, "cree" timestamptz, erreur text);
CREATE TABLE "Reponses" (campagne bigint, "numero" text NOT NULL, recue timestamptz);
CREATE TABLE "Annuaire" ("numero" text, nom text);
SET client_min_messages = error;
SELECT source, mode, completion_rule FROM campaign_attach('agence', '"Campagnes"', '"Messages"', '"Reponses"', '"Annuaire"',
	columns => '{"campaigns": {"id": "no", "status": "etat", "created_at": "creee", "started_at": "lancee", "resumed_at": null, "completed_at": null, "total_recipients": null},
		"messages": {"id": "no", "campaign_id": "campagne", "contact_id": "numero", "message_type": null, "status": "etat", "sent_at": "envoye a", "created_at": "cree", "error_message": "erreur"},
		"interactions": {"campaign_id": "campagne", "contact_id": "numero", "interaction_type": null, "received_at": "recue"},
		"contacts": {"id": "numero", "full_number": "numero", "last_name": "nom"}}',
	labels => '{"campaigns": {"sending": "en cours", "completed": "terminee", "failed": "echouee"},
		"messages": {"pending": "a envoyer", "sent": "envoye", "delivered": "remis", "read": "lu", "failed": ["echec", "refuse"], "no_interaction": "sans reponse", "ignored": "brouillon"}}');
RESET client_min_messages;
INSERT INTO "Campagnes" VALUES (7, 'en cours', '2025-01-01 00:00+00', '2025-01-01 00:00+00'), (8, 'preparee', '2025-01-01 00:00+00', NULL);
INSERT INTO "Messages" (campagne, "numero", "etat", "envoye a", "cree", erreur)
SELECT 7, n, e::"Etat", CASE WHEN e NOT IN ('a envoyer', 'brouillon') THEN timestamptz '2025-01-01 00:05+00' END, '2025-01-01 00:00+00', CASE WHEN e ~ '^echec|refuse' THEN e END
FROM (VALUES ('+33 1', 'a envoyer'), ('+33 2', 'envoye'), ('+33 3', 'remis'), ('+33 4', 'lu'), ('+33 5', 'echec'),
	('+33 6', 'refuse'), ('+33 7', 'sans reponse'), ('+33 8', 'brouillon'), (NULL, 'envoye'), ('+33 9', NULL)) AS v (n, e);
-- listed twice, or not at all
INSERT INTO "Annuaire" VALUES ('+33 2', 'Anne'), ('+33 2', 'Anne'), ('+33 4', 'Zoe');
-- a reply that tells its campaign; one that does not; one before the message
INSERT INTO "Reponses" VALUES (7, '+33 4', '2025-01-01 03:00+00'), (NULL, '+33 3', '2025-01-01 02:00+00'), (NULL, '+33 2', '2025-01-01 00:04+00');

SELECT * FROM campaign_progress('agence', '2025-01-01 00:10+00') \gx
SELECT * FROM campaign_outcomes(7, 'agence', '2025-01-01 12:00+00');
SELECT * FROM campaign_funnel(campaign_number => 7);
SELECT outcome FROM campaign_outcomes('8'::text);
SELECT count(*) FROM campaign_outcomes(campaign_key => '7');
SELECT * FROM campaign_outcomes(9);
SELECT * FROM campaign_outcomes('sept'::text);
-- What the outcomes say is what the sweep does.
SELECT messages_marked FROM campaign_check_expired_interactions('agence', '2025-01-03 00:00+00', dry_run => true);
SELECT count(*) FROM campaign_outcomes(7, 'agence', '2025-01-03 00:00+00') WHERE outcome = 'expired';
-- Interactions that cannot tell a campaign.
SELECT (campaign_detach('agence'))::text;
ALTER TABLE "Reponses" DROP COLUMN campagne;
SET client_min_messages = error;
SELECT source FROM campaign_attach('agence', '"Campagnes"', '"Messages"', '"Reponses"',
	columns => '{"campaigns": {"id": "no", "status": "etat", "created_at": "creee", "started_at": "lancee", "resumed_at": null, "completed_at": null, "total_recipients": null},
		"messages": {"id": "no", "campaign_id": "campagne", "contact_id": "numero", "message_type": null, "status": "etat", "sent_at": null, "created_at": "cree", "error_message": "erreur"},
		"interactions": {"campaign_id": null, "contact_id": "numero", "interaction_type": null, "received_at": "recue"}}',
	labels => '{"campaigns": {"sending": "en cours", "completed": "terminee", "failed": "echouee"},
		"messages": {"pending": "a envoyer", "sent": "envoye", "delivered": "remis", "read": "lu", "failed": ["echec", "refuse"], "no_interaction": "sans reponse", "ignored": "brouillon"}}');
RESET client_min_messages;
SELECT contact_id, name, full_number, outcome, at FROM campaign_outcomes(7, 'agence', '2025-01-01 12:00+00') WHERE outcome IN ('replied', 'awaiting');
SELECT stage, contacts FROM campaign_funnel(7);
SELECT awaiting, awaiting_message_2, next_deadline, sent_per_minute, last_sent_at FROM campaign_progress('agence', '2025-01-01 00:10+00');
SELECT (campaign_detach('agence'))::text;

--
-- Neither interactions nor types of messages: silence means nothing
--

CREATE SCHEMA sms;
SET search_path = sms, public;
CREATE TABLE campaigns (id int PRIMARY KEY, status text, created_at timestamptz);
CREATE TABLE messages (id int PRIMARY KEY, campaign_id int, contact_id int, status text);
SET client_min_messages = error;
SELECT source, completion_rule FROM campaign_attach('sms', 'campaigns', 'messages');
RESET client_min_messages;
INSERT INTO campaigns VALUES (1, 'sending', '2025-01-01 00:00+00'), (2, 'sending', '2025-01-01 00:00+00');
INSERT INTO messages VALUES (1, 1, 1, 'sent'), (2, 1, 2, 'pending'), (3, 2, 1, 'read');
SELECT campaign_id, awaiting, next_deadline, last_deadline, closes_by, sent_per_minute, last_sent_at, stalled FROM campaign_progress('sms', '2025-01-02 12:00+00');
-- complete since nobody knows when: since it began
SELECT campaign_id, reason, sweep, since, lag, expected_by FROM campaign_overdue('sms', '2025-01-02 12:00+00');
SELECT contact_id, outcome, at, until FROM campaign_outcomes(1, 'sms', '2025-01-02 12:00+00');
SELECT stage, contacts FROM campaign_funnel(1);
SELECT (campaign_detach('sms'))::text;

--
-- Late replies, and a blackout
--

CREATE SCHEMA late;
SET search_path = late, public;
SELECT source FROM campaign_create_tables();
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO contacts (id, full_number) SELECT id(c), c FROM generate_series(1, 3) AS c;
INSERT INTO campaigns (id, status, created_at) VALUES (id(1), 'sending', '2025-01-01 00:00+00');
INSERT INTO messages (campaign_id, contact_id, status, sent_at, created_at, updated_at)
SELECT id(1), id(c), 'sent', '2025-01-01 00:00+00', '2025-01-01 00:00+00', '2025-01-01 00:00+00' FROM generate_series(1, 3) AS c;
INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
VALUES (id(1), id(1), 'reply', '2025-01-02 00:00+00'), (id(1), id(2), 'reply', '2025-01-02 00:00:01+00');
SELECT right(contact_id, 2) AS contact, outcome FROM campaign_outcomes(id(1), as_of => '2025-01-02 06:00+00');
SELECT awaiting, awaiting_message_2 FROM campaign_progress('late', '2025-01-02 06:00+00');
SELECT late_interactions FROM campaign_alter('late', 'late_interactions', 'ignore');
SELECT right(contact_id, 2) AS contact, outcome FROM campaign_outcomes(id(1), as_of => '2025-01-02 06:00+00');
SELECT awaiting, awaiting_message_2 FROM campaign_progress('late', '2025-01-02 06:00+00');
SELECT (campaign_check_expired_interactions('late', '2025-01-02 06:00+00', dry_run => true)).messages_marked;
SELECT stage, contacts FROM campaign_funnel(id(1)) WHERE stage = 'replied';

-- In a blackout nobody is to be marked, so nothing is overdue for that.
DELETE FROM interactions;
SELECT reason, since FROM campaign_overdue('late', '2025-01-02 06:00+00');
SELECT blackout_after FROM campaign_alter('late', 'blackout_after', '6 hours');
SELECT reason, since FROM campaign_overdue('late', '2025-01-02 06:00+00');
-- but it is for being open too long
SELECT reason, since FROM campaign_overdue('late', '2025-01-04 06:00+00');
