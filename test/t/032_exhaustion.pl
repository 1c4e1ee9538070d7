# The server is out of connections, and then out of slots for background workers,
# while an application writes.  The worker needs no connection; without a slot it
# comes later.
#
# psql alone cannot show it: it is refused.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use UnderLoad;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The launcher and one worker, and no slot for anybody else.
my $node = loaded_node('main', <<'END');
max_connections = 10
superuser_reserved_connections = 0
max_worker_processes = 2
max_logical_replication_workers = 0
campaign_autoclose.max_workers = 1
END
$node->start;
under_load($node);
start_load($node);

sub psql_in_background
{
	my ($sql) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-c', $sql, $node->connstr('load') ], '>', '/dev/null', '2>', '/dev/null');
}

# Out of connections.  This one is there before, and has what the others wait for.

my $session = session($node, 'load');
for my $round (1 .. rounds(2))
{
	my $before = log_end($node);
	my @hogs;

	$session->query_safe('SELECT pg_advisory_lock(7)');
	@hogs = map { psql_in_background('SELECT pg_advisory_lock_shared(7)') } 1 .. 14;
	logged($node, qr/FATAL:  53300: /, $before, "round $round: the server is out of connections");
	$session->query_safe(bulk_campaigns(0));
	# 20 ms each; what was in error is tried again after a minute
	my $polls = 45 * $PostgreSQL::Test::Utils::timeout_default;
	is($session->query_safe(<<"END"), '10|0', '... and with all of them taken still, what fell due is closed');
DO \$\$
BEGIN
	FOR i IN 1 .. $polls LOOP
		PERFORM pg_sleep(0.02), pg_stat_clear_snapshot();
		PERFORM set_config('proof.found', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
			|| '|' || (SELECT count(*) FROM bulk.campaigns WHERE status = 'sending'), false);
		EXIT WHEN current_setting('proof.found') = '10|0';
	END LOOP;
END \$\$;
SHOW proof.found
END
	$session->query_safe('SELECT pg_advisory_unlock(7)');
	$_->finish for @hogs;
}
$session->quit;

# Out of worker slots: a parallel query has the only one.

$node->safe_psql('load', <<'END');
CREATE TABLE proof.pages (filling text);
ALTER TABLE proof.pages ALTER COLUMN filling SET STORAGE PLAIN;
INSERT INTO proof.pages SELECT repeat('x', 5000) FROM generate_series(1, 40);
ALTER TABLE proof.pages SET (parallel_workers = 1);
ANALYZE proof.pages;
END
for my $round (1 .. rounds(1))
{
	my $before = log_end($node);
	my $hog;

	enable_worker($node, 'off');
	$hog = psql_in_background(<<'END');
SET seq_page_cost = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(pg_sleep(0.2)) FROM proof.pages
END
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'parallel worker'})
	  or die 'there is no parallel worker';
	enable_worker($node, 'on');
	logged($node, qr/WARNING:  53400: out of background worker slots/, $before, "round $round: the launcher finds no slot, and says so");
	my $last = $node->safe_psql('load', 'SELECT coalesce(max(id), 0) FROM campaign_event');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'campaign_autoclose worker'}), '0', '... there is no worker');
	$hog->finish;
	eventually($node, 'load', "SELECT count(*) > 0 FROM campaign_event WHERE id > $last AND event = 'closed'",
		'... and when there is one, it closes what had to wait');
}

holds($node, 'exhausted', 20);

$node->stop;
done_testing();
