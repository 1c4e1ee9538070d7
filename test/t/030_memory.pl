# Nothing grows: neither a session nor a worker that has run as many sweeps as a
# week has, campaigns being closed and failing, sources and tables being altered,
# renamed, made and dropped meanwhile; nor a sweep with every campaign that it
# closes.
#
# psql alone cannot show it: the worker's memory is looked at from outside.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Every 2 and 5 minutes, every hour, every 6 hours, for 7 days.
my $week = 7 * 24 * (30 + 12 + 1) + 7 * 4;

# One chunk of memory, of the smallest size, that each sweep leaves behind is
# twice as much.
my $allowed = 16 * $week;

# New statistics would have plans made anew while memory is looked at.
my $node = preloaded_node('main', <<'END');
campaign_autoclose.databases = 'worker'
campaign_autoclose.max_workers = 1
max_connections = 20
autovacuum = off
END
# What is freed goes back at once, so that a process has no more than it uses.
{
	local @ENV{qw(MALLOC_MMAP_THRESHOLD_ MALLOC_TRIM_THRESHOLD_ MALLOC_TOP_PAD_)} = (32768, 32768, 0);
	$node->start;
}

# What a database has: sources with all that is done to campaigns.  One whose
# name is "throws" cannot be closed.
sub create_sources
{
	my ($db, @schemas) = @_;

	for my $schema (@schemas)
	{
		create_source($node, $db, $schema);
		$node->safe_psql($db, <<"END");
CREATE FUNCTION $schema.refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN RAISE 'no campaign may end today'; END \$\$;
CREATE TRIGGER refuse BEFORE UPDATE ON $schema.campaigns FOR EACH ROW
	WHEN (NEW.name = 'throws') EXECUTE FUNCTION $schema.refuse();
CREATE PROCEDURE $schema.happen() LANGUAGE sql AS \$\$
-- lest there be more of it every time
DELETE FROM $schema.campaigns;
DELETE FROM $schema.contacts;
WITH kind (name, age, first, sent, second) AS (VALUES
	('ended', interval '1 hour', 'read', interval '40 min', 'sent'),
	('silent', interval '26 hours', 'read', interval '25 hours', NULL),
	('overdue', interval '50 hours', 'pending', NULL, NULL),
	('stalled', interval '1 hour', 'pending', NULL, NULL),
	('awaiting', interval '1 hour', 'read', interval '40 min', NULL),
	('throws', interval '1 hour', 'failed', NULL, NULL)
), campaign AS (
	INSERT INTO $schema.campaigns (name, status, started_at, created_at)
	SELECT name, 'sending', now() - age, now() - age FROM kind RETURNING id, name
), contact AS (
	INSERT INTO $schema.contacts (full_number) SELECT '+33 6 0000000' || n FROM generate_series(1, 2) AS n
	RETURNING id
)
INSERT INTO $schema.messages (campaign_id, contact_id, message_type, status, sent_at, created_at)
SELECT c.id, contact.id, m.type, m.status, now() - k.sent, now() - k.age
FROM campaign AS c JOIN kind AS k USING (name), contact,
	LATERAL (VALUES ('message_1', k.first), ('message_2', k.second)) AS m (type, status)
WHERE m.status IS NOT NULL;
\$\$;
END
	}
	return;
}

# What happens to a source of schema "a" now and then, as statements.
sub happenings
{
	my ($time) = @_;
	my $guest = "guest_$time";

	return <<"END";
CALL a.happen();
SELECT FROM campaign_alter('a', 'batch_size', '${\ (1000 + $time % 2)}');
ALTER TABLE a.messages RENAME TO moved;
ALTER TABLE a.moved RENAME TO messages;
ALTER TABLE a.campaigns ALTER COLUMN name SET STATISTICS ${\ (100 + $time % 2)};
SELECT FROM campaign_detach('a');
SELECT FROM campaign_attach('$guest', 'a.campaigns', 'a.messages', 'a.interactions', 'a.contacts');
SELECT FROM campaign_alter('$guest', 'mode', 'active');
SELECT FROM campaign_check_sending('$guest');
SELECT FROM campaign_detach('$guest');
SELECT FROM campaign_attach('a', 'a.campaigns', 'a.messages', 'a.interactions', 'a.contacts');
SELECT FROM campaign_alter('a', 'mode', 'active');
END
}

# The worker: a database in which there is always something due, so that it
# never leaves.

my @sources = qw(a b c d);
create_sources('worker', @sources);
$node->safe_psql('worker', <<'END');
CREATE TABLE ran (sweeps bigint);
INSERT INTO ran VALUES (0);
END

sub always_due
{
	my ($source) = @_;
	return map { "SELECT FROM campaign_alter('$source', '${_}_every', '10 ms');" }
	  qw(expired timeout sending interrupted);
}

# Detaching a source forgets its runs; those of the others say how many there were.
my $ran = "SELECT count(*) FROM (SELECT sum(runs) AS n FROM campaign_sweep_run WHERE source = 'b' AND finished_at IS NOT NULL) AS r WHERE n >= ";
$node->safe_psql('worker', join "\n", map { always_due($_) } @sources);

# What the worker uses, in bytes, while it waits for the next "sending" sweep of
# sources that have no campaign.
sub worker_memory
{
	my ($pid) = @_;
	my $used;

	every_second($node, 'worker', $_, 'sending') for @sources;
	$node->safe_psql('worker', join ' ', map { "DELETE FROM $_.campaigns;" } @sources);
	for my $sample (1 .. 2)
	{
		$node->safe_psql('worker', 'TRUNCATE ran');
		my $before = log_end($node);
		$node->poll_query_until('worker', <<'END');
WITH waits AS (INSERT INTO ran SELECT 1 FROM campaign_worker WHERE state = 'lingering' RETURNING 1)
SELECT count(*) > 5 FROM ran
END
		$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
		$node->wait_for_log(qr/\[$pid\].*Grand total: .* \d+ used/, $before);
		($used) = log_since($node, $before) =~ /\[$pid\].*Grand total: .* (\d+) used/;
	}
	$node->safe_psql('worker', join ' ', map { always_due($_) } @sources);
	return $used;
}

# What the process itself has, the rest being shared; of Linux alone.
sub resident
{
	my ($pid) = @_;

	open my $status, '<', "/proc/$pid/status" or return;
	my ($kilobytes) = map { /^RssAnon:\s+(\d+) kB/ ? $1 : () } <$status>;
	return $kilobytes;
}

sub happen_to_worker
{
	my ($time) = @_;
	$node->safe_psql('worker', 'SET client_min_messages = error;'
		. happenings($time) . join "\n", always_due('a'), map { "CALL $_.happen();" } qw(b c));
	return;
}

# The session, meanwhile in another database, in which no worker is.

create_sources('session', 'a');
$node->safe_psql('session', <<'END');
CREATE TABLE sample (round int, used bigint, sources int, plans int, tables int);
CREATE PROCEDURE take_sample(round int) LANGUAGE sql AS $$
INSERT INTO sample SELECT round, sum(used_bytes),
	count(*) FILTER (WHERE name = 'campaign_autoclose source'),
	count(*) FILTER (WHERE name = 'CachedPlanSource'),
	count(*) FILTER (WHERE name = 'campaign_autoclose noted table')
FROM pg_backend_memory_contexts;
$$;
END

my ($rounds, $warm, $calls) = (28, 9, 100);
my $script = "SET client_min_messages = error;\n";
for my $round (1 .. $rounds)
{
	$script .= happenings($round) . 'CALL campaign_run_sweeps(force => true);' x ($round > $warm ? $calls : 30)
	  . "CALL take_sample($round);\n";
}
my $file = "$PostgreSQL::Test::Utils::tmp_check/session.sql";
append_to_file($file, $script);
my $session = IPC::Run::start(
	[ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr('session'), '-f', $file ],
	'<', \undef, '2>', \my $raised);

# The worker again.

my $pid = worker_pid($node, 'worker', 'true');
for my $time (1 .. 4)
{
	happen_to_worker($time);
	$node->poll_query_until('worker', $ran . 100 * $time, '1');
}
my $before = worker_memory($pid);
my $resident = resident($pid);
my $sweeps = $node->safe_psql('worker', "SELECT sum(runs) FROM campaign_sweep_run WHERE source = 'b'");
for my $time (5 .. 20)
{
	happen_to_worker($time);
	$node->poll_query_until('worker', $ran . int($sweeps + ($time - 4) * $week / @sources / 16), '1');
}
my $after = worker_memory($pid);
$sweeps = @sources * ($node->safe_psql('worker', "SELECT sum(runs) FROM campaign_sweep_run WHERE source = 'b'") - $sweeps);
cmp_ok($sweeps, '>=', $week, "a worker runs $sweeps sweeps, of which a week has $week");
is(worker_pid($node, 'worker', 'true'), $pid, 'all of them in one process');
cmp_ok($after - $before, '<', $allowed, "which used $before bytes before, and uses $after bytes");
SKIP:
{
	skip 'no /proc', 1 unless defined $resident;
	skip 'the address sanitizer keeps memory that was freed', 1 if ($ENV{LD_PRELOAD} // '') =~ /libasan/;
	my $now = resident($pid);
	cmp_ok($now - $resident, '<', 1024, "and had $resident kB of its own, and has $now kB");
}
cmp_ok($node->safe_psql('worker', 'SELECT count(*) FROM campaign_retry'), '>', 0,
	'some campaigns could not be closed');

# The session has come to an end.

ok($session->finish, 'a session makes its calls') or diag($raised);
# a statement may be needed for the first time late, but not one a round
my $seldom = 5;
my ($done, $grown, $used, $counts) = split /\|/, $node->safe_psql('session', <<"END");
SELECT max(round), max(used) FILTER (WHERE round > $warm) - max(used) FILTER (WHERE round <= $warm),
	max(used) FILTER (WHERE round <= $warm),
	max(sources) <= 3 AND max(plans) FILTER (WHERE round > $warm) <= max(plans) FILTER (WHERE round <= $warm) + $seldom
FROM sample
END
cmp_ok(($rounds - $warm) * $calls * 4, '>=', $week, 'four sweeps a call, they are those of a week');
is($done, $rounds, 'all of them were made');
cmp_ok($grown, '<', $allowed, "after which it uses $grown bytes more than $used bytes");
is($counts, 't', 'it has no more sources, and no more plans');

# A sweep that closes thousands of campaigns, seen by a trigger of the
# application's from time to time, which gives a hint each time that falls due at
# once.  The campaigns themselves are no hint's: how many of them hints would
# close before the sweep lists the rest is a matter of time.
#
# How much is used depends also on how many campaigns the transaction has closed
# already, so of every ten looks it is the least that is compared.  What the
# session prepares or reads of the catalogs late in the sweep is a step upwards,
# once; what each campaign leaves behind is a step every time, so it is the median
# of the steps that tells.

my $campaigns = 3000;
create_sources('session', 'b');
$node->safe_psql('session', <<"END");
SELECT FROM campaign_alter('b', 'check_delay', '0');
INSERT INTO b.campaigns (name, status, created_at)
SELECT CASE WHEN n % 50 = 0 THEN 'looked at' END, 'sending', now() - interval '1 hour' FROM generate_series(1, $campaigns) AS n;
ALTER TABLE b.messages DISABLE TRIGGER campaign_autoclose;
INSERT INTO b.messages (campaign_id, status) SELECT id, 'failed' FROM b.campaigns;
ALTER TABLE b.messages ENABLE TRIGGER campaign_autoclose;
INSERT INTO b.campaigns (name, status) VALUES ('hinted at', 'sending');
INSERT INTO b.messages (campaign_id, status) SELECT id, 'pending' FROM b.campaigns WHERE name = 'hinted at';
CREATE TABLE seen (n int GENERATED ALWAYS AS IDENTITY, used bigint);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	INSERT INTO public.seen (used) SELECT sum(used_bytes) FROM pg_backend_memory_contexts;
	INSERT INTO b.messages (campaign_id, status) SELECT id, 'failed' FROM b.campaigns WHERE name = 'hinted at';
	RETURN NULL;
END \$\$;
CREATE TRIGGER look AFTER UPDATE ON b.campaigns FOR EACH ROW WHEN (NEW.name = 'looked at') EXECUTE FUNCTION look();
CALL campaign_run_sweeps('b', force => true);
END
is($node->safe_psql('session', "SELECT count(*) FROM b.campaigns WHERE status = 'failed'"), $campaigns,
	"a sweep closes $campaigns campaigns");
my ($times, $grew) = split /\|/, $node->safe_psql('session', <<'END');
WITH ten AS (
	SELECT (n - 1) / 10 AS turn, min(used) AS used FROM seen GROUP BY turn
), step AS (
	SELECT used - lag(used) OVER (ORDER BY turn) AS bytes FROM ten
)
SELECT (SELECT count(*) FROM seen), percentile_disc(0.5) WITHIN GROUP (ORDER BY bytes) FROM step
END
is($times, $campaigns / 50, 'and is looked at');
cmp_ok($grew, '<', 16 * 10 * 50, "of every 500 campaigns $grew bytes are left behind");

# A session that makes and drops tables which have the trigger.

my $tables = 300;
is($node->safe_psql('session', (join "\n", map { <<"END" } 1 .. $tables) . <<'END'), 't', "of $tables tables that are gone, few are remembered");
CREATE TABLE passing_$_ (id int, campaign_id uuid, status text);
CREATE TRIGGER campaign_autoclose AFTER INSERT ON passing_$_ FOR EACH ROW EXECUTE FUNCTION campaign_note_message('a');
INSERT INTO passing_$_ DEFAULT VALUES;
DROP TABLE passing_$_;
ALTER TABLE a.messages ALTER COLUMN status SET STATISTICS ${\ (100 + $_ % 2)};
END
SELECT count(*) BETWEEN 1 AND 64 FROM pg_backend_memory_contexts WHERE name = 'campaign_autoclose noted table';
END

$node->stop;
done_testing();
