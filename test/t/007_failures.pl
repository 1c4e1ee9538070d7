# What goes wrong with one campaign, or one source, stops no other: triggers that
# throw or sleep, rows that the application holds, tables that are gone.
#
# psql alone cannot show it: it is the worker that goes on, by its own time
# limits, while other sessions hold what it wants.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main');
$node->start;
create_source($node, 'shop');

# A trigger of the application's, which does what the name of the campaign says.
$node->safe_psql('shop', <<'END');
CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.name = 'throws' THEN
		RAISE EXCEPTION 'no campaign may end today' USING ERRCODE = 'P0042';
	ELSIF NEW.name = 'sleeps' THEN
		PERFORM pg_sleep(30);
	ELSIF NEW.name = 'drags' THEN
		PERFORM pg_sleep(0.5);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER trouble BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION trouble();
END

# Campaign and messages as they are, system columns and all.
sub snapshot
{
	my ($campaign) = @_;
	return $node->safe_psql('shop', "SELECT c.ctid, c.* FROM campaigns AS c WHERE id = '$campaign';
		SELECT m.ctid, m.* FROM messages AS m WHERE campaign_id = '$campaign' ORDER BY id");
}

sub all_closed
{
	my ($name, @campaigns) = @_;
	my $list = join ', ', map { "'$_'" } @campaigns;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return eventually($node, 'shop', "SELECT bool_and(status <> 'sending') FROM campaigns WHERE id IN ($list)", $name);
}

# Lets a campaign be tried again now; whatever is due every second brings the
# worker.
sub retry_now
{
	my ($campaign) = @_;
	$node->safe_psql('shop', "UPDATE campaign_retry SET retry_at = now() - interval '1 s' WHERE campaign_id = '$campaign'");
	return;
}

# A trigger that throws.

every_second($node, 'shop', 'public', 'expired', 'sending');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'interrupted_every', NULL)");
my $before = log_end($node);
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'paused')");
my $throws = add_campaign($node, 'shop', 'expired', name => 'throws', contacts => 3);
my @fine = map { add_campaign($node, 'shop', 'expired', contacts => 3) } 1 .. 4;
my $snapshot = snapshot($throws);
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'active')");
all_closed('the others are closed', @fine);
eventually($node, 'shop', "SELECT count(*) = 1 FROM campaign_retry WHERE campaign_id = '$throws' AND sweep = 'expired'",
	'the failing campaign is noted');
is(snapshot($throws), $snapshot, 'and left exactly as it was');
is($node->safe_psql('shop', "SELECT e.source, e.reason, e.details ->> 'sqlstate', e.details ->> 'sweep', r.failures, r.sqlstate, r.error
	FROM campaign_event AS e JOIN campaign_retry AS r USING (source, campaign_id)
	WHERE e.campaign_id = '$throws' AND e.event = 'error' AND r.sweep = 'expired' AND e.details ->> 'sweep' = r.sweep"),
	'public|no campaign may end today|P0042|expired|1|P0042|no campaign may end today',
	'with one event "error" that tells why');
is($node->safe_psql('shop', "SELECT retry_at - at FROM campaign_retry JOIN campaign_event USING (source, campaign_id)
	WHERE campaign_id = '$throws' AND sweep = 'expired' AND details ->> 'sweep' = sweep"), '00:01:00',
	'it is retried after a minute');
logged($node, qr/WARNING:  campaign $throws of source "public" could not be processed: no campaign may end today/, $before,
	'the log says so');
eventually($node, 'shop', "SELECT sum(runs) >= 3 FROM campaign_sweep_run WHERE sweep = 'expired' AND started_at >
	(SELECT max(at) FROM campaign_event WHERE campaign_id = '$throws')", 'sweeps go on');
is($node->safe_psql('shop', "SELECT failures FROM campaign_retry WHERE campaign_id = '$throws' AND sweep = 'expired'"), '1',
	'and leave it alone until then');

retry_now($throws);
eventually($node, 'shop', "SELECT failures = 2 AND retry_at BETWEEN now() + interval '110 s' AND now() + interval '2 min'
	FROM campaign_retry WHERE campaign_id = '$throws' AND sweep = 'expired'", 'when it fails again, after two minutes');

$node->safe_psql('shop', "ALTER TABLE campaigns DISABLE TRIGGER trouble");
retry_now($throws);
all_closed('with the trigger mended it is closed', $throws);
eventually($node, 'shop', "SELECT count(*) = 0 FROM campaign_retry WHERE campaign_id = '$throws'", 'and its failures are forgotten');
like(events_of($node, 'shop', $throws), qr/^(error )+expired closed$/, 'after all, it was marked and closed once');
$node->safe_psql('shop', "ALTER TABLE campaigns ENABLE TRIGGER trouble");

# A trigger that takes half a minute is stopped after four seconds; others
# are closed before and after it.

every_second($node, 'shop', 'public', 'sending');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'paused')");
@fine = map { add_campaign($node, 'shop', 'complete') } 1 .. 4;
my $sleeps = add_campaign($node, 'shop', 'complete', name => 'sleeps');
push @fine, map { add_campaign($node, 'shop', 'complete') } 1 .. 4;
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'active')");
all_closed('a slow trigger: the others are closed', @fine);
eventually($node, 'shop', "SELECT count(*) = 1 FROM campaign_event WHERE campaign_id = '$sleeps' AND event = 'error'
	AND details ->> 'sqlstate' = '57014'", 'the slow one is cancelled');
is($node->safe_psql('shop', "SELECT sqlstate FROM campaign_retry WHERE campaign_id = '$sleeps'"), '57014', 'to be retried');
is($node->safe_psql('shop', "SELECT finished_at - started_at BETWEEN '3.9 s' AND '6 s' FROM campaign_sweep_run WHERE campaigns_closed = 8"),
	't', 'by a sweep that took four seconds for it');
is(status_of($node, 'shop', $sleeps), 'sending', 'it stays open');
$node->safe_psql('shop', "UPDATE campaigns SET status = 'paused', name = 'slept' WHERE id = '$sleeps'");

# The same of on_event: it undoes nothing but itself.

$node->safe_psql('shop', <<'END');
CREATE TABLE told (campaign text);
CREATE FUNCTION tell(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO told SELECT event ->> 'campaign_id';
	IF EXISTS (SELECT FROM campaigns WHERE id::text = event ->> 'campaign_id' AND name = 'told slowly') THEN
		PERFORM pg_sleep(30);
	ELSIF EXISTS (SELECT FROM campaigns WHERE id::text = event ->> 'campaign_id' AND name = 'told in vain') THEN
		RAISE EXCEPTION 'nobody listens';
	END IF;
END $$;
SELECT FROM campaign_alter('public', 'on_event', 'public.tell');
END
my $in_vain = add_campaign($node, 'shop', 'complete', name => 'told in vain');
my $told = add_campaign($node, 'shop', 'complete', name => 'told');
all_closed('on_event throws: every campaign is closed', $in_vain, $told);
is(events_of($node, 'shop', $in_vain), 'closed error', 'its failure is an event');
is($node->safe_psql('shop', 'SELECT * FROM told'), $told, 'what it did otherwise stands');
my $slowly = add_campaign($node, 'shop', 'complete', name => 'told slowly');
all_closed('on_event is too slow: the campaign is closed', $slowly);
is(events_of($node, 'shop', $slowly), 'closed error', 'and its failure is an event');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'on_event', NULL)");

# Rows that the application holds: a campaign's.

$before = $node->safe_psql('shop', 'SELECT max(id) FROM campaign_sweep_run');
my $application = session($node, 'shop');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'paused')");
my $held = add_campaign($node, 'shop', 'complete', name => 'held');
$application->query_safe("BEGIN; SELECT FROM campaigns WHERE id = '$held' FOR UPDATE");
@fine = map { add_campaign($node, 'shop', 'complete') } 1 .. 4;
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'active')");
eventually($node, 'shop', "SELECT skips > 0 AND failures = 0 FROM campaign_retry WHERE campaign_id = '$held'", 'a campaign that is held is skipped');
all_closed('the others are closed', @fine);
$application->query_safe('COMMIT');
all_closed('so is the one that was held, once it is not', $held);
is($node->safe_psql('shop', "SELECT sum(campaigns_skipped) BETWEEN 1 AND 3 FROM campaign_sweep_run WHERE id > $before AND sweep = 'sending'"),
	't', 'the sweeps have counted it');

# A message's, at the campaign's timeout: it is waited for, but not for ever.

every_second($node, 'shop', 'public', 'timeout');
$held = add_campaign($node, 'shop', 'awaiting', name => 'held', contacts => 3);
$application->query_safe("BEGIN; UPDATE messages SET status = 'pending' WHERE campaign_id = '$held'; COMMIT;
	BEGIN; SELECT FROM messages WHERE campaign_id = '$held' LIMIT 1 FOR UPDATE");
$before = $node->safe_psql('shop', 'SELECT max(id) FROM campaign_sweep_run');
$node->safe_psql('shop', "UPDATE campaigns SET started_at = now() - interval '49 hours' WHERE id = '$held'");
@fine = map { add_campaign($node, 'shop', 'overdue') } 1 .. 4;
all_closed('a message is held: the others are closed at their timeout', @fine);
eventually($node, 'shop', "SELECT count(*) = 1 FROM campaign_retry WHERE campaign_id = '$held' AND sqlstate = '55P03'",
	'its campaign is not, and to be retried');
is($node->safe_psql('shop', "SELECT status, (SELECT string_agg(DISTINCT status, ' ') FROM messages WHERE campaign_id = c.id)
	FROM campaigns AS c WHERE id = '$held'"), 'sending|pending', 'nothing of it is changed');
is($node->safe_psql('shop', "SELECT max(finished_at - started_at) < '3 s' FROM campaign_sweep_run WHERE id > $before"), 't',
	'no sweep waited for longer than a moment');
$application->query_safe('COMMIT');
retry_now($held);
all_closed('once the message is free, it is closed', $held);

# The application does not wait for the sweep: of many campaigns whose trigger is
# slow, one is free again as soon as it is closed.

every_second($node, 'shop', 'public', 'sending');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'paused')");
my @drags = sort map { add_campaign($node, 'shop', 'complete', name => 'drags') } 1 .. 12;
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'active')");
eventually($node, 'shop', "SELECT campaigns_done >= 1 FROM campaign_worker WHERE database = 'shop' AND sweep = 'sending'",
	'a sweep has closed the first of many campaigns');
my ($status, undef, $stderr) = $node->psql('shop', "SET lock_timeout = '2 s'; UPDATE campaigns SET name = 'seen' WHERE id = '$drags[0]'");
is("$status$stderr", '0', 'the application does not wait for the others to change it');
all_closed('which are closed too', @drags);

# A source whose table is gone stops no other one.

create_source($node, 'shop', 'tenant');
every_second($node, 'shop', 'tenant', 'sending');
$before = log_end($node);
$node->safe_psql('shop', 'SET client_min_messages = warning; DROP TABLE public.messages CASCADE');
logged($node, qr/WARNING:  table public\.messages of source "public" does not exist any more/, $before,
	'the log says that the table of a source is gone');
my $tenant = add_campaign($node, 'shop', 'complete', schema => 'tenant');
eventually($node, 'shop', "SELECT status = 'completed' FROM tenant.campaigns WHERE id = '$tenant'",
	'another source is served as before');

# Nor does one whose visit fails for a reason that no campaign or sweep is to
# blame for.  It comes before the other.

create_source($node, 'shop', 'failing');
$node->safe_psql('shop', <<'END');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no run may be recorded''; END';
CREATE TRIGGER refuse BEFORE INSERT ON campaign_sweep_run FOR EACH ROW
	WHEN (NEW.source = 'failing') EXECUTE FUNCTION refuse();
END
$before = log_end($node);
every_second($node, 'shop', 'failing', 'sending');
logged($node, qr/WARNING:  source "failing" could not be served: no run may be recorded/, $before,
	'a visit to one source fails');
$tenant = add_campaign($node, 'shop', 'complete', schema => 'tenant');
eventually($node, 'shop', "SELECT status = 'completed' FROM tenant.campaigns WHERE id = '$tenant'",
	'the other one is served all the same');
is($node->safe_psql('shop', "SELECT count(*) FROM campaign_sweep_run WHERE source = 'failing' AND sweep = 'sending' AND finished_at IS NULL"), '0',
	'nothing is left of what failed');

# Statistics that cannot be written are told of, and tried again a minute later, not
# every second.  The campaign is not blamed, and may be closed meanwhile.

create_source($node, 'shop', 'refusing');
every_second($node, 'shop', 'refusing');
$node->safe_psql('shop', 'ALTER TABLE refusing.campaigns ADD CHECK (read_count < 3)');
$before = log_end($node);
my $refused = add_campaign($node, 'shop', 'awaiting', schema => 'refusing', contacts => 3);
my $warning = qr/WARNING:  campaign $refused of source "refusing" could not be processed: .* violates check constraint/;
logged($node, $warning, $before, 'the log says that statistics could not be written');
my $runs = $node->safe_psql('shop', "SELECT sum(runs) FROM campaign_sweep_run WHERE source = 'tenant' AND sweep = 'sending'");
eventually($node, 'shop', "SELECT sum(runs) > $runs + 3 FROM campaign_sweep_run WHERE source = 'tenant' AND sweep = 'sending'",
	'seconds go by');
is(scalar(() = log_since($node, $before) =~ /$warning/g), 1, '... once');
is($node->safe_psql('shop', "SELECT (SELECT count(*) FROM campaign_event WHERE source = 'refusing'), (SELECT count(*) FROM campaign_retry WHERE source = 'refusing')"),
	'0|0', 'and the campaign is not left alone for it');

$application->quit;
$node->stop;
unlike(log_since($node, 0), qr/PANIC|TRAP|was terminated by signal/, 'nothing crashed');
done_testing();
