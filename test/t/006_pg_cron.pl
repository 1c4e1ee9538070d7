# A job of pg_cron closes campaigns: without preload of the extension, in both
# ways that pg_cron has of running jobs, in its own database and in another; and
# beside the worker, and a session that calls the functions, nothing is done twice.
#
# psql alone cannot show it: it takes servers that have preloaded one, or both.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
$node->start;
plan skip_all => 'pg_cron is not installed'
  if $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'") eq '0';

$node->append_conf('postgresql.conf', <<"END");
shared_preload_libraries = 'pg_cron'
cron.database_name = 'shop'
cron.host = '@{[ $node->host ]}'
log_statement = none
max_prepared_transactions = 1
END
$node->restart;
$node->safe_psql('postgres', <<'END');
CREATE ROLE shopkeeper LOGIN;
CREATE DATABASE shop OWNER shopkeeper;
CREATE DATABASE branch OWNER shopkeeper;
END

# What tells that nothing is preloaded.

my ($status, undef, $stderr) = $node->psql('shop', 'CREATE EXTENSION campaign_autoclose');
is($status, 0, 'CREATE EXTENSION works without preload');
like($stderr, qr/WARNING: .*not preloaded, so no worker will run.*HINT: .*shared_preload_libraries = 'campaign_autoclose'.*restart.*campaign_schedule_pg_cron\(\)/s,
	'with a warning that has the line to add, and the way of pg_cron');
is($node->safe_psql('shop', 'SELECT process, state, pid IS NULL FROM campaign_worker'),
	'launcher|not preloaded: no worker will run|t', 'campaign_worker says so too');

# Tables of a plain role, in pg_cron's database and in another.

my @as_owner = (extra_params => [ '-U', 'shopkeeper' ]);
$node->safe_psql('shop', 'CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO shopkeeper');
$node->psql('branch', 'CREATE EXTENSION campaign_autoclose');
$node->safe_psql($_, 'SELECT FROM campaign_create_tables()', @as_owner) for qw(shop branch);

# Jobs of that role.  From version 1.5 pg_cron takes seconds; before, nothing
# less than a minute, but also "when pg_cron starts".

my $seconds = $node->safe_psql('shop', "SELECT extversion !~ '^1\\.[0-4]\\M' FROM pg_extension WHERE extname = 'pg_cron'") eq 't';
my $schedule = $seconds ? '1 second' : '@reboot';
my $call = "SELECT campaign_schedule_pg_cron('$schedule')";
my $job = $node->safe_psql('shop', $call, @as_owner);
like($job, qr/^\d+$/, 'a job is scheduled');
($status, undef, $stderr) = $node->psql('branch', $call, @as_owner);
isnt($status, 0, 'not from another database');
my ($statement) = $stderr =~ /HINT:  In database "shop", run: (SELECT cron\.schedule_in_database\(.*\);)$/m;
ok($statement, 'but with the statement to run in that of pg_cron') or diag $stderr;
my $other_job = $node->safe_psql('shop', $statement);
is($node->safe_psql('shop', 'SELECT jobid, schedule, command, database, username FROM cron.job ORDER BY jobid'),
	"$job|$schedule|CALL public.campaign_run_sweeps()|shop|shopkeeper\n"
	. "$other_job|$schedule|CALL public.campaign_run_sweeps()|branch|shopkeeper",
	'each with the CALL that commits as its only statement, as the owner of the tables');

# "when it starts" means once: let what scheduling may have begun be over
$node->restart;
eventually($node, 'shop', "SELECT count(DISTINCT jobid) = 2 FROM cron.job_run_details
	WHERE start_time > pg_postmaster_start_time() AND end_time IS NOT NULL", 'both run');

for my $way ([ 'off', 'connection' ], [ 'on', 'background worker' ])
{
	my ($setting, $name) = @$way;
	my %campaigns;

	$node->safe_psql('shop', 'DELETE FROM cron.job_run_details');
	for my $db (qw(shop branch))
	{
		# whatever ran before, all is due again
		$node->safe_psql($db, 'DELETE FROM campaign_sweep_run');
		$campaigns{$db} = [ map { add_campaign($node, $db, $_) } qw(complete overdue) ];
	}
	$node->append_conf('postgresql.conf', "cron.use_background_workers = $setting");
	$node->restart;
	for my $db (qw(shop branch))
	{
		my $ids = join ', ', map { "'$_'" } @{ $campaigns{$db} };

		eventually($node, $db, "SELECT bool_and(status <> 'sending') FROM campaigns WHERE id IN ($ids)",
			"$name, $db: a job of pg_cron closes campaigns");
		is(events_of($node, $db, $_), 'closed', "$name, $db: with one event each") for @{ $campaigns{$db} };
	}
	eventually($node, 'shop', "SELECT count(DISTINCT jobid) = 2 AND bool_and(status = 'succeeded') FROM cron.job_run_details WHERE end_time IS NOT NULL",
		"$name: the jobs succeeded");
}
is($node->safe_psql('shop', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'campaign%'"), '0',
	'no process of ours has run');

# Both, and a session that calls the functions: what is due once runs once, whoever
# comes first.  The first two begin when the server does.  Whoever of them is first
# waits in the middle of a campaign, for a lock of a prepared transaction, until
# that session is there too; and everybody is slow from then on.

$node->safe_psql('shop', <<'END');
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	PERFORM pg_sleep(0.02);
	RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION gate();
-- a lock that is asked for, and not granted
CREATE PROCEDURE await_host() LANGUAGE plpgsql AS $$
BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted) LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
CREATE PROCEDURE await_timeouts() LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM campaigns WHERE name = 'overdue' AND status = 'sending') LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
END

# What the session does: from the last campaign to the first, as a sweep goes from
# the first to the last, each in a transaction of its own.  The last sweep would
# hold what the others have to time out.
my $by_hand = <<'END';
SET statement_timeout = '40 s';
CALL await_host();
COMMIT PREPARED 'gate';
SELECT format('SELECT changed FROM campaign_update_status(%L::uuid)', id) FROM campaigns WHERE name = 'complete' AND status = 'sending' ORDER BY id DESC \gexec
SELECT 'swept' FROM campaign_check_timeout(as_of => now());
CALL await_timeouts();
SELECT 'swept' FROM campaign_check_sending(as_of => now());
END

for my $setting (qw(off on))
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	$node->safe_psql('shop', 'DELETE FROM campaign_sweep_run; DELETE FROM cron.job_run_details');
	$node->safe_psql('shop', "SELECT FROM campaign_alter('public', '${_}_every', '1 hour')") for qw(expired timeout sending interrupted);
	my @campaigns = map { add_campaign($node, 'shop', $_ % 2 ? 'complete' : 'overdue') } 1 .. 20;
	my $list = join ', ', map { "'$_'" } @campaigns;
	$node->safe_psql('shop', "BEGIN; SELECT pg_advisory_xact_lock(1); PREPARE TRANSACTION 'gate'");
	$node->append_conf('postgresql.conf', <<"END");
shared_preload_libraries = 'pg_cron, campaign_autoclose'
cron.use_background_workers = $setting
END
	$node->restart;
	my $called = $node->safe_psql('shop', $by_hand);
	eventually($node, 'shop', "SELECT bool_and(status <> 'sending') FROM campaigns WHERE id IN ($list)",
		"with pg_cron ($setting), the worker and a session, campaigns are closed");
	cmp_ok(scalar(() = $called =~ /^t$/gm), '>', 0, 'by the functions that the session called');
	is(scalar(() = $called =~ /^swept$/gm), 2, 'which were sweeps too');
	eventually($node, 'shop', "SELECT count(*) >= 1 AND bool_and(status = 'succeeded') FROM cron.job_run_details WHERE jobid = $job AND end_time IS NOT NULL",
		'by the job, which has run');
	eventually($node, 'shop', "SELECT count(*) = 4 AND bool_and(finished_at IS NOT NULL) FROM campaign_sweep_run WHERE as_of IS NULL",
		'... or, where it found a sweep of the session, the worker, a moment later');
	eventually($node, 'shop', "SELECT count(*) = 1 FROM campaign_worker WHERE process = 'launcher' AND state = 'running'
		AND NOT EXISTS (SELECT FROM campaign_worker WHERE process = 'worker' AND state IN ('starting', 'running'))",
		'and by the worker, which has nothing left to do');
	is($node->safe_psql('shop', 'SELECT sweep, sum(runs), bool_and(finished_at IS NOT NULL) FROM campaign_sweep_run WHERE as_of IS NULL GROUP BY sweep ORDER BY sweep'),
		"expired|1|t\ninterrupted|1|t\nsending|1|t\ntimeout|1|t", 'each sweep that was due has run once');
	is($node->safe_psql('shop', "SELECT count(*), count(DISTINCT campaign_id) FROM campaign_event WHERE event = 'closed' AND campaign_id IN ($list)"),
		'20|20', 'each campaign was closed once');
	is($node->safe_psql('shop', "SELECT count(*) FROM campaign_event WHERE event = 'error'"), '0', 'and none was in an error');
}
$node->safe_psql('shop', 'DROP TRIGGER gate ON campaigns');

# Without its job pg_cron leaves the database alone.

is($node->safe_psql('shop', 'SELECT campaign_unschedule_pg_cron()', @as_owner), 't', 'the job is removed');
(undef, undef, $stderr) = $node->psql('branch', 'SELECT campaign_unschedule_pg_cron()', @as_owner);
($statement) = $stderr =~ /HINT:  In database "shop", run: (.*;)$/m;
is($node->safe_psql('shop', $statement), 't', 'that of the other database too, by the statement in the hint');
is($node->safe_psql('shop', 'SELECT count(*) FROM cron.job'), '0', 'no job is left');
# ... as another job, which it does run, makes sure
$node->safe_psql('shop', "DELETE FROM campaign_sweep_run; DELETE FROM cron.job_run_details; SELECT cron.schedule('$schedule', 'SELECT 1')");
my $complete = add_campaign($node, 'shop', 'complete');
$node->append_conf('postgresql.conf', 'campaign_autoclose.enabled = off');
$node->restart;
eventually($node, 'shop', "SELECT count(*) >= 1 FROM cron.job_run_details WHERE status = 'succeeded'", 'pg_cron runs other jobs');
is($node->safe_psql('shop', 'SELECT count(*) FROM campaign_sweep_run'), '0', 'and no sweep');
is(status_of($node, 'shop', $complete), 'sending', 'the campaign is open');

$node->stop;
done_testing();
