--
-- The extension, as it is called where no worker runs.  Which sweeps are due is
-- a setting of the source; the source has the name of its schema.
--
CREATE SCHEMA extension;

CREATE PROCEDURE extension.expired() LANGUAGE plpgsql AS $$
BEGIN
	CALL campaign_run_sweeps(current_schema(), force => true);
END
$$;

CREATE PROCEDURE extension.sending() LANGUAGE plpgsql AS $$
BEGIN
	CALL campaign_run_sweeps(current_schema(), force => true);
END
$$;

-- The function that applications call for one campaign, and that always counts.
CREATE PROCEDURE extension.recount() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM campaign_update_status(id, current_schema()) FROM campaigns WHERE status = 'sending';
END
$$;
