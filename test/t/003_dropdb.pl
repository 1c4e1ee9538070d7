# DROP DATABASE, ALTER DATABASE ... RENAME and CREATE DATABASE ... TEMPLATE
# succeed while a worker is in the middle of a sweep there; so does what takes
# the tables away from under it.
#
# psql alone cannot show it: each of them needs a database with a worker in it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = preloaded_node('main');
$node->start;
create_source($node, 'shop');
every_second($node, 'shop', 'public', 'sending');

# Half a minute of work.
$node->safe_psql('shop', <<'END');
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(0.05);
	RETURN NEW;
END $$;
CREATE TRIGGER slow BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION slow();
-- It is the sweep that is to close them, not hints.
ALTER TABLE messages DISABLE TRIGGER campaign_autoclose;

WITH campaign AS (
	INSERT INTO campaigns (status, started_at)
	SELECT 'sending', now() - interval '1 hour' FROM generate_series(1, 600) RETURNING id
)
INSERT INTO messages (campaign_id, status) SELECT id, 'failed' FROM campaign;
END

# Runs a statement, elsewhere or in the database, once the worker has closed
# campaigns of its sweep.
sub in_mid_sweep
{
	my ($db, $statement, $where) = @_;
	my ($started, $status, $stderr);
	my $log = log_end($node);

	eventually($node, $db, "SELECT campaigns_done BETWEEN 1 AND campaigns_total - 50
		FROM campaign_worker WHERE database = '$db' AND sweep = 'sending' AND state = 'running'",
		"a worker is in mid-sweep: $statement");
	$started = time;
	($status, undef, $stderr) = $node->psql($where // 'postgres', $statement);
	note sprintf '%.3f s', time - $started;
	is("$status$stderr", '0', 'the statement succeeds');
	unlike(log_since($node, $log), qr/FATAL|exited with exit code/, 'no worker fails for it')
	  unless defined $where;
	return;
}

sub open_campaigns
{
	my ($db) = @_;
	return $node->safe_psql($db, "SELECT count(*) FROM campaigns WHERE status = 'sending'");
}

# The work goes on where it was left.
sub work_goes_on
{
	my ($db) = @_;
	my $left = open_campaigns($db);

	cmp_ok($left, '>', 50, 'there is work left');
	eventually($node, $db, "SELECT count(*) < $left FROM campaigns WHERE status = 'sending'",
		"which the worker goes on with in $db");
	return;
}

in_mid_sweep('shop', 'CREATE DATABASE copy TEMPLATE shop');
my $copied = open_campaigns('copy');
work_goes_on('shop');

in_mid_sweep('shop', 'ALTER DATABASE shop RENAME TO store');
work_goes_on('store');

in_mid_sweep('store', 'REINDEX TABLE campaigns', 'store');
work_goes_on('store');

in_mid_sweep('store', 'DROP DATABASE store');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = 'store'"), '0',
	'the database is gone');
is($node->safe_psql('copy', "SELECT count(*) FROM campaign_worker WHERE process = 'worker' AND database IS NULL AND state <> 'exited'"),
	'0', 'and so is its worker');
is(open_campaigns('copy'), $copied, 'nothing happened in the copy');

# A copy that is at work, whose extension goes.

$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE copy');
$node->safe_psql('other', "SELECT FROM campaign_alter('public', 'mode', 'active')");
in_mid_sweep('other', 'DROP EXTENSION campaign_autoclose', 'other');
eventually($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'other'", 'the worker leaves');
my $left = open_campaigns('other');
cmp_ok($left, '>', 50, 'with work left');

# A campaign that has failed before, and would take for ever again.

$node->safe_psql('copy', <<'END');
CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('application_name', 'heavy', false);
	PERFORM pg_sleep(60);
	RETURN NEW;
END $$;
INSERT INTO campaign_retry (source, campaign_id, sweep, failures, retry_at)
SELECT 'public', id::text, 'sending', 5, now() FROM campaigns WHERE status = 'sending';
SELECT FROM campaign_alter('public', 'mode', 'active');
END
worker_pid($node, 'copy', "application_name = 'heavy'");
my ($status, undef, $stderr) = $node->psql('postgres', 'DROP DATABASE copy');
is("$status$stderr", '0', 'a database whose worker is busy with a campaign that fails again and again can be dropped');

$node->stop;
done_testing();
