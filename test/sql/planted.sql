-- What the owner of a source has planted in its tables never gets the rights of
-- a caller who looks at them with the owner's: a superuser, say.
CREATE EXTENSION campaign_autoclose;
SET client_min_messages = warning;
\pset null '-'
CREATE ROLE regress_cac_planter NOSUPERUSER;
CREATE ROLE regress_cac_reader NOSUPERUSER;
CREATE SCHEMA planted AUTHORIZATION regress_cac_planter;

-- Its tables are views, and these call a function that refuses any rights but the owner's.
SET ROLE regress_cac_planter;
SET search_path = planted, public;
CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'regress_cac_planter' THEN
		RAISE 'with the rights of %', current_user;
	END IF;
	RETURN true;
END $$;
CREATE TABLE c (id int PRIMARY KEY, status text, created_at timestamptz, completed_at timestamptz);
CREATE TABLE m (id int PRIMARY KEY, campaign_id int, contact_id int, message_type text, status text, sent_at timestamptz, updated_at timestamptz);
INSERT INTO c VALUES (1, 'sending', '2025-01-01 00:00+00'), (2, 'sending', '2025-01-01 00:00+00');
INSERT INTO m VALUES (1, 1, 1, 'message_1', 'sent', '2025-01-01 00:01+00', '2025-01-01 00:01+00'), (2, 2, 1, 'message_1', 'failed', NULL, NULL);
CREATE VIEW campaigns AS SELECT * FROM c WHERE spy();
CREATE VIEW messages AS SELECT * FROM m WHERE spy();
SELECT source FROM campaign_attach('planted', 'campaigns', 'messages');
SELECT mode FROM campaign_alter('planted', 'mode', 'active');
SELECT blackout_after FROM campaign_alter('planted', 'blackout_after', '1 hour');
SELECT status FROM campaign_update_status(2, as_of => '2025-01-01 00:10+00');
GRANT USAGE ON SCHEMA planted TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA planted TO PUBLIC;
RESET ROLE;

-- A superuser, naming the source or none; whoever is a member of the owner.
CREATE PROCEDURE public.look() LANGUAGE plpgsql AS $$
DECLARE
	moment timestamptz := '2025-01-03 12:00+00';
BEGIN
	PERFORM campaign_progress('planted', moment), campaign_progress(as_of => moment);
	PERFORM campaign_overdue('planted', moment), campaign_overdue(as_of => moment);
	PERFORM count(*) FROM campaign_progress;
	PERFORM count(*) FROM campaign_overdue;
	PERFORM count(*) FROM campaign_sweep_status;
	PERFORM count(*) FROM campaign_metrics;
	PERFORM campaign_health();
	PERFORM campaign_explain(1, 'planted', moment), campaign_explain(2, 'planted', moment);
	PERFORM campaign_verify(2, 'planted');
	PERFORM campaign_outcomes(1, 'planted', moment), campaign_funnel(1, 'planted');
	PERFORM campaign_preview('planted', moment), campaign_preview(as_of => moment);
	PERFORM campaign_preflight('planted');
	PERFORM campaign_check_expired_interactions('planted', moment, dry_run => true);
	PERFORM campaign_check_timeout(as_of => moment, dry_run => true);
	PERFORM campaign_check_sending('planted', moment, dry_run => true);
	PERFORM campaign_recover_interrupted('planted', moment, dry_run => true);
END $$;
SET search_path = public;
CALL look();
SELECT campaign_id, awaiting FROM campaign_progress('planted', '2025-01-03 12:00+00');
-- shadow mode looks, too
SELECT mode FROM campaign_alter('planted', 'mode', 'shadow');
SELECT campaigns_closed FROM campaign_check_timeout('planted', '2025-01-03 12:00+00');
SELECT status FROM campaign_update_status(1, 'planted', '2025-01-03 12:00+00');
SELECT count(*) FROM campaign_shadow_report('planted');
SELECT mode FROM campaign_alter('planted', 'mode', 'active');
-- a member of the owner
GRANT regress_cac_planter TO regress_cac_reader;
SET ROLE regress_cac_reader;
CALL look();
RESET ROLE;
REVOKE regress_cac_planter FROM regress_cac_reader;

-- Whoever is none can but read as himself.
SET ROLE regress_cac_reader;
\set SHOW_CONTEXT never
SELECT campaign_id, awaiting FROM campaign_progress('planted', '2025-01-03 12:00+00');
RESET ROLE;
-- Unasked, of several, he does not go there.
CREATE SCHEMA another;
SELECT source FROM campaign_create_tables('another');
SET ROLE regress_cac_reader;
SELECT count(*) FROM campaign_progress;
SELECT count(*) FROM campaign_overdue;
SELECT count(*) FROM campaign_preview();
RESET ROLE;
SELECT campaign_detach('another');
DROP SCHEMA another CASCADE;
-- To write with one's own rights is to run the owner's code with them.
SELECT status FROM campaign_update_status(1, 'planted', '2025-01-03 12:00+00');
-- Not so the CALL.
SELECT blackout_after FROM campaign_alter('planted', 'blackout_after', NULL);
CALL campaign_run_sweeps('planted', force => true);
SELECT status FROM planted.c ORDER BY id;

SELECT campaign_detach('planted');
DROP SCHEMA planted CASCADE;
DROP PROCEDURE look();
DROP ROLE regress_cac_planter, regress_cac_reader;
