# Without preload, with pg_cron: its job closes campaigns.
#
# psql alone cannot show it: it takes a server that has pg_cron preloaded, and
# not the extension.

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
END
$node->restart;
$node->safe_psql('postgres', 'CREATE DATABASE shop');

# What tells that nothing is preloaded.

my ($status, undef, $stderr) = $node->psql('shop', 'CREATE EXTENSION campaign_autoclose');
is($status, 0, 'CREATE EXTENSION works without preload');
like($stderr, qr/WARNING: .*not preloaded, so no worker will run.*HINT: .*shared_preload_libraries = 'campaign_autoclose'.*restart.*CALL campaign_run_sweeps\(\) with pg_cron/s,
	'with a warning that has the line to add, and the way of pg_cron');
is($node->safe_psql('shop', 'SELECT process, state, pid IS NULL FROM campaign_worker'),
	'launcher|not preloaded: no worker will run|t', 'campaign_worker says so too');
$node->safe_psql('shop', 'CREATE EXTENSION pg_cron; SELECT FROM campaign_create_tables()');

# Its jobs, each of its two ways of running them.  From version 1.5 it takes
# seconds; before, nothing less than a minute, but also "when pg_cron starts".

my $seconds = $node->safe_psql('shop', "SELECT extversion !~ '^1\\.[0-4]\\M' FROM pg_extension WHERE extname = 'pg_cron'") eq 't';
$node->safe_psql('shop', 'SELECT cron.schedule(' . ($seconds ? "'1 second'" : "'\@reboot'") . ", 'CALL campaign_run_sweeps()')");

for my $way ([ 'off', 'connection' ], [ 'on', 'background worker' ])
{
	my ($setting, $name) = @$way;

	# whatever ran before, all is due again
	$node->safe_psql('shop', 'DELETE FROM campaign_sweep_run; DELETE FROM cron.job_run_details');
	my $complete = add_campaign($node, 'shop', 'complete');
	my $overdue = add_campaign($node, 'shop', 'overdue');
	$node->append_conf('postgresql.conf', "cron.use_background_workers = $setting");
	$node->restart;
	eventually($node, 'shop', "SELECT bool_and(status <> 'sending') FROM campaigns WHERE id IN ('$complete', '$overdue')",
		"$name: a job of pg_cron closes campaigns");
	is(events_of($node, 'shop', $complete), 'closed', "$name: with one event each");
	is(events_of($node, 'shop', $overdue), 'closed', "$name: with one event each");
	eventually($node, 'shop', "SELECT count(*) > 0 AND bool_and(status = 'succeeded') FROM cron.job_run_details WHERE end_time IS NOT NULL",
		"$name: the job succeeded");
}
is($node->safe_psql('shop', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'campaign%'"), '0',
	'no process of ours has run');

$node->stop;
done_testing();
