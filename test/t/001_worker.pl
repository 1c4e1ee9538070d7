# The worker at work: it finds databases by itself, serves several of them and
# several sources in one, obeys the settings of the server, says in the log what
# it did, and leaves idle databases alone.
#
# psql alone cannot show it: it takes a server with the extension preloaded,
# whose configuration, restarts and log are the test's.

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

# An idle database, when there is no other that waits for its worker to leave.

create_source($node, 'idle');
eventually($node, 'idle', 'SELECT count(*) = 4 FROM campaign_sweep_run WHERE finished_at IS NOT NULL',
	'a new source has each of its sweeps run');
eventually($node, 'idle', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'idle' AND pid <> pg_backend_pid()",
	'then the database has no connection of ours');
is($node->safe_psql('idle', "SELECT count(*) FROM campaign_worker WHERE database = 'idle'"), '0',
	'nor a slot');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'campaign%'"),
	'0', 'nor has one without the extension');

# A campaign in a database created after the start.

my $before = log_end($node);
create_source($node, 'shop');
every_second($node, 'shop', 'public', 'sending');
my $awaiting = add_campaign($node, 'shop', 'awaiting');
my $campaign = add_campaign($node, 'shop', 'complete', contacts => 3);
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'",
	'a complete campaign is closed in a database created after the start');
is(events_of($node, 'shop', $campaign), 'closed', 'with exactly one event');
is($node->safe_psql('shop', "SELECT completed_at = at AND sent_count = 6 AND read_count = 3
	FROM campaigns AS c, campaign_event AS e WHERE c.id = '$campaign' AND e.campaign_id = c.id::text"),
	't', 'with completed_at and its statistics');
like(log_since($node, $before),
	qr/LOG:  campaign_autoclose: .*source "public": campaign $campaign closed as "completed" \(every contact's cycle has ended\): 6 sent, 0 delivered, 3 read, 0 failed, 0 no_interaction, 0 interactions/,
	'the log has the campaign with its statistics');
like(log_since($node, $before),
	qr/LOG:  campaign_autoclose: .*source "public": sweep "sending": 2 campaigns checked, \d updated, 1 closed, 0 asked to resume, 0 skipped; \d+ messages checked, 0 marked/,
	'the log has the counts of the sweep');
unlike(log_since($node, 0), qr/campaign_autoclose.*\n.*STATEMENT/, 'the log has no statement of ours');

# News reach a worker that has just finished.  It is alone now, so it stays for
# a while; were they lost, it would not look again.

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'sending_every', '10 ms')");
my $served = 0;
for (1 .. 20)
{
	$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'paused')");
	$campaign = add_campaign($node, 'shop', 'complete');
	$node->poll_query_until('shop', "SELECT count(*) = 0 FROM campaign_worker WHERE process = 'worker' AND state <> 'lingering'") or last;
	$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'active')");
	$node->poll_query_until('shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'") or last;
	$served++;
}
is($served, 20, 'a source that is activated is served at once');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'sending_every', '1 s')");

# A second source there, and a second database.

create_source($node, 'shop', 'tenant');
every_second($node, 'shop', 'tenant', 'sending');
create_source($node, 'Other Base');
every_second($node, 'Other Base', 'public', 'sending');
my %campaigns = (
	'shop public' => [ 'shop', 'public' ],
	'shop tenant' => [ 'shop', 'tenant' ],
	'Other public' => [ 'Other Base', 'public' ]);
$_->[2] = add_campaign($node, $_->[0], 'complete', schema => $_->[1]) for values %campaigns;
for my $name (sort keys %campaigns)
{
	my ($db, $schema, $id) = @{ $campaigns{$name} };
	eventually($node, $db, "SELECT status = 'completed' FROM $schema.campaigns WHERE id = '$id'",
		"with two databases and three sources, one is closed in $name");
	is($node->safe_psql($db, "SELECT source, event FROM campaign_event WHERE campaign_id = '$id'"),
		"$schema|closed", "as one of $schema");
}
is(status_of($node, 'shop', $awaiting), 'sending', 'a contact who may still reply keeps a campaign open');

# The view, while a trigger holds the worker up.

is($node->safe_psql('shop', "SELECT w.state, w.pid = a.pid, a.datname IS NULL, w.next_wake_at < now() + interval '2 min', w.last_error IS NULL
	FROM campaign_worker AS w, pg_stat_activity AS a
	WHERE w.process = 'launcher' AND a.backend_type = 'campaign_autoclose launcher'"),
	'running|t|t|t|t', 'campaign_worker has the launcher, which is in no database');

$node->safe_psql('shop', <<'END');
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE UPDATE ON tenant.campaigns FOR EACH ROW EXECUTE FUNCTION gate();
END
my $holder = session($node, 'shop');
$holder->query_safe('SELECT pg_advisory_lock(1)');
$campaign = add_campaign($node, 'shop', 'complete', schema => 'tenant');
eventually($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity
	WHERE datname = 'shop' AND backend_type = 'campaign_autoclose worker' AND wait_event_type = 'Lock'
	AND query = 'CALL campaign_run_sweeps()' AND state = 'active' AND application_name LIKE 'campaign_autoclose worker%'",
	'pg_stat_activity has the worker, with what a person would type');
is($node->safe_psql('shop', "SELECT count(*), min(w.state), min(w.source), min(w.sweep),
	min(w.campaigns_done), min(w.campaigns_total), bool_and(w.pid = a.pid), bool_and(w.started_at <= now()), count(w.last_error)
	FROM campaign_worker AS w, pg_stat_activity AS a
	WHERE w.process = 'worker' AND w.database = 'shop' AND w.source = 'tenant'
	AND a.datname = 'shop' AND a.backend_type = 'campaign_autoclose worker' AND a.wait_event_type = 'Lock'"),
	'1|running|tenant|sending|0|1|t|t|0', 'campaign_worker has what the worker is doing');
$node->safe_psql('shop', <<'END');
CREATE ROLE reader;
GRANT SELECT ON campaign_worker TO reader;
END
is($node->safe_psql('shop', "SET ROLE reader; SELECT count(*) > 0, count(source), count(sweep) FROM campaign_worker WHERE database = 'shop' AND state = 'running'"),
	't|0|0', 'but not for everybody');
$holder->query_safe('SELECT pg_advisory_unlock(1)');
$holder->quit;
eventually($node, 'shop', "SELECT status = 'completed' FROM tenant.campaigns WHERE id = '$campaign'",
	'the worker goes on when it can');

# The contact's name and number are logged where that is wanted, only.

every_second($node, 'shop', 'public', 'sending', 'expired');
$before = log_end($node);
$campaign = add_campaign($node, 'shop', 'expired');
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'",
	'a campaign whose contact was silent is closed');
is(events_of($node, 'shop', $campaign), 'expired closed', 'with two events');
unlike(log_since($node, $before), qr/Contact 1|00000001/, 'the log does not have the name or the number');
like(log_since($node, $before), qr/sweep "expired": .* 1 marked/, 'although it has the sweep');

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'log_messages', 'on')");
$campaign = add_campaign($node, 'shop', 'expired', contacts => 2);
my $message = $node->safe_psql('shop', "SELECT m.id FROM messages AS m JOIN contacts AS k ON k.id = m.contact_id
	WHERE m.campaign_id = '$campaign' AND k.full_number = '+33 6 00000002'");
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'",
	'another is closed with log_messages');
like(log_since($node, $before), qr/message $message marked no_interaction: Contact 2 \(\+33 6 00000002\)/,
	'the log has name and number of each');

# Reloading the settings.  A sweep that a worker runs is never overdue by two of
# its periods.

my $overdue = "SELECT clock_timestamp() > max(started_at) + interval '3 s' FROM campaign_sweep_run
	WHERE source = 'public' AND sweep = 'sending'";

$node->safe_psql('postgres', 'ALTER SYSTEM SET campaign_autoclose.enabled = off');
$node->reload;
eventually($node, 'shop', "SELECT state = 'disabled' FROM campaign_worker WHERE process = 'launcher'",
	'when disabled, campaign_worker says so');
$campaign = add_campaign($node, 'shop', 'complete');
eventually($node, 'shop', $overdue, 'no sweep is run');
is($node->safe_psql('shop', "SELECT count(*) FROM campaign_worker WHERE process = 'worker'"), '0',
	'by no worker');
is(status_of($node, 'shop', $campaign), 'sending', 'and a complete campaign stays open');

my $other = add_campaign($node, 'Other Base', 'complete');
$node->safe_psql('postgres', <<'END');
ALTER DATABASE "Other Base" SET default_transaction_read_only = on;
ALTER DATABASE "Other Base" SET default_transaction_isolation = 'serializable';
ALTER DATABASE "Other Base" SET search_path = '';
END
$node->safe_psql('postgres', 'ALTER SYSTEM SET campaign_autoclose.enabled = on');
$node->reload;
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'",
	'until the worker is enabled');
eventually($node, 'Other Base', "SELECT status = 'completed' FROM public.campaigns WHERE id = '$other'",
	"the settings of a database are not the worker's");
$node->safe_psql('postgres', 'ALTER DATABASE "Other Base" RESET ALL');

$node->safe_psql('postgres', q{ALTER SYSTEM SET campaign_autoclose.databases = '"Other Base"', idle});
$node->reload;
eventually($node, 'shop', $overdue, 'no sweep is run in a database not listed');
$campaign = add_campaign($node, 'shop', 'complete');
$other = add_campaign($node, 'Other Base', 'complete');
eventually($node, 'Other Base', "SELECT status = 'completed' FROM campaigns WHERE id = '$other'",
	'one that is listed is served');
is(status_of($node, 'shop', $campaign), 'sending', 'the other is not');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET campaign_autoclose.databases');
$node->reload;
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'",
	'until every database is served again');

unlike(log_since($node, 0), qr/(?:PANIC|TRAP|FATAL|WARNING):|exited with exit code|was terminated by/,
	'nothing of all this failed');

# One worker for databases all of which have something to do every second.

$node->append_conf('postgresql.conf', 'campaign_autoclose.max_workers = 1');
$node->restart;
$_->[2] = add_campaign($node, $_->[0], 'complete', schema => $_->[1]) for values %campaigns;
for my $name (sort keys %campaigns)
{
	my ($db, $schema, $id) = @{ $campaigns{$name} };
	eventually($node, $db, "SELECT status = 'completed' FROM $schema.campaigns WHERE id = '$id'",
		"with a single worker, a campaign is closed in $name");
}

$node->stop;
done_testing();
