# Several workers in one database: a source that is slow or stuck delays no
# other, whether it is a sweep, a hint or news that another waits for; no source
# has two workers; none waits while a worker idles; one worker for all of them
# gives each its turn.
#
# psql alone cannot show it: it takes workers, each in a process of its own.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main', 'campaign_autoclose.max_workers = 2');
$node->start;

# Who closed a campaign, and in which schema.
sub log_closings
{
	my ($db) = @_;

	$node->safe_psql($db, <<'END');
CREATE TABLE closing (source text, pid int, at timestamptz);
CREATE FUNCTION closing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO public.closing VALUES (TG_TABLE_SCHEMA, pg_backend_pid(), clock_timestamp());
	PERFORM pg_sleep(TG_ARGV[0]::float8);
	RETURN NULL;
END $$;
END
	return;
}

sub on_closing
{
	my ($db, $schema, $seconds) = @_;

	$node->safe_psql($db, "CREATE TRIGGER closing AFTER UPDATE OF status ON $schema.campaigns
		FOR EACH ROW EXECUTE FUNCTION public.closing($seconds)");
	return;
}

# Complete campaigns that it is for the sweep to close, not for hints.
sub add_backlog
{
	my ($db, $schema, $campaigns) = @_;

	$node->safe_psql($db, <<"END");
ALTER TABLE $schema.messages DISABLE TRIGGER campaign_autoclose;
WITH campaign AS (
	INSERT INTO $schema.campaigns (status, started_at)
	SELECT 'sending', now() - interval '1 hour' FROM generate_series(1, $campaigns) RETURNING id
)
INSERT INTO $schema.messages (campaign_id, status) SELECT id, 'failed' FROM campaign;
END
	return;
}

# The workers in a database with the sources that they are at.
sub workers_at
{
	my ($db) = @_;

	return $node->safe_psql($db, "SELECT string_agg(source, ' ' ORDER BY source) FROM campaign_worker
		WHERE process = 'worker' AND database = '$db' AND source IS NOT NULL");
}

#
# One source is stuck.  Each of its campaigns runs into its time limit, 4 seconds.
#

create_source($node, 'shop', $_) for qw(stuck other);
log_closings('shop');
on_closing('shop', 'other', 0);
$node->safe_psql('shop', <<'END');
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE UPDATE ON stuck.campaigns FOR EACH ROW EXECUTE FUNCTION gate();
END
every_second($node, 'shop', 'other', 'sending');
every_second($node, 'shop', 'stuck', 'sending');
my $gate = session($node, 'shop');
$gate->query_safe('SELECT pg_advisory_lock(1)');
add_backlog('shop', 'stuck', 40);
my $stuck = worker_pid($node, 'shop', "wait_event_type = 'Lock'");
like(workers_at('shop'), qr/\bstuck\b/, 'campaign_worker has the worker at the source that is stuck');

# Are there campaigns of it still that no worker has come to?
sub still_stuck
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($node->safe_psql('shop', "SELECT count(*) FROM stuck.campaigns WHERE status <> 'sending'"), '0', "$what, and none of the source that is stuck");
	cmp_ok($node->safe_psql('shop', "SELECT count(*) FROM campaign_retry WHERE source = 'stuck'"), '<', 40, 'which goes on');
	return;
}

# A sweep of another.

my $campaign = add_campaign($node, 'shop', 'complete', schema => 'other');
eventually($node, 'shop', "SELECT status = 'completed' FROM other.campaigns WHERE id = '$campaign'",
	'a campaign of another source is closed');
still_stuck('a campaign of another source is closed');

# A hint.

every_second($node, 'shop', 'other');
$node->safe_psql('shop', "SELECT FROM campaign_alter('other', 'check_delay', '10 ms')");
eventually($node, 'shop', "SELECT count(*) = 1 FROM campaign_worker WHERE process = 'worker'", 'with nothing else to do one worker leaves');
$campaign = add_campaign($node, 'shop', 'complete', schema => 'other');
eventually($node, 'shop', "SELECT status = 'completed' FROM other.campaigns WHERE id = '$campaign'",
	'one is closed that a hint tells of');
still_stuck('a hint is served');

# News: a source that nobody has seen.

eventually($node, 'shop', "SELECT count(*) = 1 FROM campaign_worker WHERE process = 'worker'", 'it leaves again');
create_source($node, 'shop', 'late');
eventually($node, 'shop', "SELECT count(*) = 4 FROM campaign_sweep_run WHERE source = 'late' AND finished_at IS NOT NULL",
	'a new source has each of its sweeps run');
still_stuck('news are heeded');

# Two stuck sources, two workers, each with its own.

$node->safe_psql('shop', "CREATE TRIGGER gate BEFORE UPDATE ON other.campaigns FOR EACH ROW EXECUTE FUNCTION gate()");
every_second($node, 'shop', 'other', 'sending');
add_backlog('shop', 'other', 40);
eventually($node, 'shop', "SELECT string_agg(source, ' ' ORDER BY source) = 'other stuck' AND count(DISTINCT pid) = 2 AND bool_and(sweep = 'sending')
	FROM campaign_worker WHERE process = 'worker'", 'campaign_worker has two workers, each at a source of its own');

# Both of them are in one database.  Another gets its worker all the same.

create_source($node, 'second');
eventually($node, 'second', "SELECT count(*) = 4 FROM campaign_sweep_run WHERE finished_at IS NOT NULL",
	'a worker makes room for a database that has none');
eventually($node, 'shop', "SELECT string_agg(source, ' ' ORDER BY source) = 'other stuck' FROM campaign_worker WHERE process = 'worker'",
	'and comes back when it may');
do { $stuck = $node->safe_psql('shop', "SELECT pid FROM campaign_worker WHERE source = 'stuck'") } while $stuck eq '';

# One of them is terminated: its source is free again, and nobody else's.

$node->safe_psql('postgres', "SELECT pg_terminate_backend($stuck)");
eventually($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $stuck", 'one of them is terminated');
eventually($node, 'shop', "SELECT string_agg(source, ' ' ORDER BY source) = 'other stuck' AND bool_and(pid <> $stuck)
	FROM campaign_worker WHERE process = 'worker'", 'its source gets another worker');

# All of them leave when somebody wants the database for himself.

$node->safe_psql('shop', 'CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
	DELETE FROM campaign_retry');
$gate->quit;
eventually($node, 'postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = 'shop' AND wait_event = 'PgSleep'",
	'two workers are in the middle of a campaign');
my ($status, undef, $stderr) = $node->psql('postgres', 'DROP DATABASE shop');
is("$status$stderr", '0', 'the database is dropped under both of them');

#
# Many sources, two workers
#

my @sources = map { "s$_" } 1 .. 20;
create_source($node, 'mall', 'public');
log_closings('mall');
$node->safe_psql('mall', join '', map { "CREATE SCHEMA $_; SELECT FROM campaign_create_tables('$_');
	SELECT FROM campaign_alter('$_', 'mode', 'paused');" } @sources);
$node->safe_psql('mall', <<'END');
CREATE FUNCTION alone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT pg_try_advisory_xact_lock(TG_RELID::bigint) THEN
		RAISE WARNING 'two workers at %', TG_RELID::regclass;
	END IF;
	RETURN NULL;
END $$;
END
for (@sources)
{
	add_backlog('mall', $_, 4);
	$node->safe_psql('mall', "CREATE TRIGGER alone AFTER UPDATE ON $_.campaigns FOR EACH ROW EXECUTE FUNCTION alone()");
	on_closing('mall', $_, 0.04);
}
my $open = join ' + ', map { "(SELECT count(*) FROM $_.campaigns WHERE status = 'sending' LIMIT 1)" } @sources;
my $begun = join ' + ', map { "EXISTS (SELECT FROM $_.campaigns WHERE status <> 'sending')::int" } @sources;
my ($samples, $idle, $together) = (0, 0, 0);
$node->safe_psql('mall', join '', 'BEGIN; TRUNCATE campaign_sweep_run;', (map { "SELECT FROM campaign_alter('$_', 'mode', 'active');" } @sources), 'COMMIT');
for (1 .. 600)
{
	my ($left, $waiting, $lingering, $at_work) = split /\|/, $node->safe_psql('mall', "SELECT $open, 20 - ($begun),
		count(*) FILTER (WHERE state = 'lingering'), count(DISTINCT source) FROM campaign_worker WHERE process = 'worker'");

	last if $left == 0;
	if ($waiting > 4)
	{
		$samples++;
		$idle += $lingering;
	}
	$together++ if $at_work == 2;
}
cmp_ok($samples, '>', 0, 'many sources are due at once');
is($idle, 0, 'while they wait no worker idles');
cmp_ok($together, '>', 0, 'two are served at a time');
is($node->safe_psql('mall', "SELECT count(DISTINCT source), count(*), count(DISTINCT pid) > 1 FROM closing"), '20|80|t',
	'every campaign of every source is closed, by more than one worker');
unlike(log_since($node, 0), qr/two workers at/, 'no source ever has two of them');
$node->safe_psql('mall', join '', map { "SELECT FROM campaign_alter('$_', 'mode', 'paused');" } @sources);

#
# One worker for all
#

$node->append_conf('postgresql.conf', 'campaign_autoclose.max_workers = 1');
$node->restart;
$node->safe_psql('mall', 'TRUNCATE closing');
$node->safe_psql('mall', "CREATE OR REPLACE FUNCTION alone() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM pg_sleep(0.04); RETURN NULL; END \$\$");
add_backlog('mall', 's1', 100);
add_backlog('mall', 's2', 1);
every_second($node, 'mall', $_, 'sending') for qw(s1 s2);
my $run = $node->safe_psql('mall', "SELECT max(id) FROM campaign_sweep_run");
$node->safe_psql('mall', "SELECT FROM campaign_alter('s1', 'mode', 'active')");
eventually($node, 'mall', "SELECT count(*) > 0 FROM closing WHERE source = 's1'", 'the only worker is at a source with a lot to do');
$node->safe_psql('mall', "SELECT FROM campaign_alter('s2', 'mode', 'active')");
eventually($node, 'mall', "SELECT count(*) = 1 FROM closing WHERE source = 's2'", 'another source has its turn');
cmp_ok($node->safe_psql('mall', "SELECT count(*) FROM s1.campaigns WHERE status = 'sending'"), '>', 20,
	'long before the first is done');
$campaign = add_campaign($node, 'mall', 'complete', schema => 's2');
eventually($node, 'mall', "SELECT status = 'completed' FROM s2.campaigns WHERE id = '$campaign'", 'and again');
cmp_ok($node->safe_psql('mall', "SELECT count(*) FROM s1.campaigns WHERE status = 'sending'"), '>', 0,
	'before the first is done');
eventually($node, 'mall', "SELECT count(*) = 100 FROM closing WHERE source = 's1'", 'the first gets to its end');
eventually($node, 'mall', "SELECT count(*) = 1 FROM campaign_sweep_run WHERE id > $run AND source = 's1' AND sweep = 'sending' AND campaigns_closed = 100",
	'in one run, which went on after each turn where it was');

# A run that made way while it looked at closed campaigns looks at the rest of
# them, although nothing else would have a sweep do that: no hint was lost.

$node->safe_psql('mall', <<'END');
ALTER TABLE s3.messages ENABLE TRIGGER campaign_autoclose;
SET session_replication_role = replica;
UPDATE s3.messages SET status = 'read';
INSERT INTO campaign_sweep_run (source, sweep, started_at, resume) VALUES ('s3', 'sending', now(), '{"open": false, "after": null}');
END
$node->safe_psql('mall', "SELECT FROM campaign_alter('s3', 'mode', 'active')");
eventually($node, 'mall', "SELECT bool_and(read_count = 1 AND failed_count = 0) FROM s3.campaigns",
	'one that made way before goes on there too');

$node->stop;
done_testing();
