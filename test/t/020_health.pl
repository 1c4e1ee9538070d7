# campaign_health(): the checks of processes, settings and shared memory turn
# red, and green again.
#
# psql alone cannot show it: it is about a launcher that is killed, settings that
# are reloaded, and servers with and without the library.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main', "campaign_autoclose.tracked_campaigns = 16\n", allows_streaming => 1);
$node->start;
create_source($node, 'shop');
every_second($node, 'shop', 'public', 'sending');
eventually($node, 'shop', 'SELECT count(*) > 0 FROM campaign_sweep_run', 'the worker has come');

# The names of the checks that are red.
my $red = "SELECT coalesce(string_agg(check_name, ' '), '') FROM campaign_health() WHERE NOT ok";

sub detail_of
{
	my ($check) = @_;
	return $node->safe_psql('shop', "SELECT detail FROM campaign_health() WHERE check_name = '$check'");
}

sub turns
{
	my ($state, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return eventually($node, 'shop', "SELECT ($red) = '$state'", $name)
	  || diag($node->safe_psql('shop', 'SELECT * FROM campaign_health()'));
}

turns('', 'all is green');
is(detail_of('launcher'), 'running', 'with a launcher that runs');
is(detail_of('database'), 'workers come here', 'and workers that come');

# The launcher.

$node->safe_psql('shop', "SELECT pg_terminate_backend(pid) FROM campaign_worker WHERE process = 'launcher'");
turns('launcher', 'the launcher was killed');
is(detail_of('launcher'), 'the launcher is not running', 'which is said');
turns('', 'it is started again');

$node->safe_psql('shop', 'ALTER TABLE campaign_source RENAME TO gone');
eventually($node, 'shop', "SELECT last_error ~ 'is not installed' FROM campaign_worker WHERE process = 'launcher'",
	'a visit fails');
$node->safe_psql('shop', 'ALTER TABLE gone RENAME TO campaign_source');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'active')");
# (a worker that never leaves has not ended its visit)
every_second($node, 'shop', 'public');
turns('', 'a visit that succeeds clears it');
every_second($node, 'shop', 'public', 'sending');

# The settings.

for my $case ([ 'enabled', 'off', 'campaign_autoclose.enabled is off, so no worker comes here' ],
	[ 'databases', "'elsewhere'", 'this database is not among campaign_autoclose.databases, so no worker comes here' ])
{
	my ($setting, $value, $detail) = @$case;

	$node->safe_psql('shop', "ALTER SYSTEM SET campaign_autoclose.$setting = $value");
	$node->reload;
	# what ran of late is not late yet: then it is as if somebody else ran it
	eventually($node, 'shop', "SELECT state = 'disabled' OR current_setting('campaign_autoclose.databases') <> '' FROM campaign_worker WHERE process = 'launcher'",
		"$setting: the setting has come through");
	like(detail_of('database'), qr/; the sweeps are run from outside$/, "$setting: while the sweeps run in time, nothing is wrong");
	$node->safe_psql('shop', "UPDATE campaign_sweep_run SET started_at = started_at - interval '1 hour'");
	turns('database sweep sending', "$setting: when they are late, it is");
	is(detail_of('database'), $detail, "$setting: which is said");
	$node->safe_psql('shop', 'CALL campaign_run_sweeps()');
	turns('', "$setting: what runs them from outside mends it");
	$node->safe_psql('shop', "ALTER SYSTEM RESET campaign_autoclose.$setting");
	$node->reload;
	eventually($node, 'shop', "SELECT detail = 'workers come here' FROM campaign_health() WHERE check_name = 'database'",
		"$setting: the workers come again");
}

# Hints that found no room.

$node->safe_psql('shop', <<'END');
INSERT INTO campaigns (status, started_at) SELECT 'sending', now() FROM generate_series(1, 100);
INSERT INTO messages (campaign_id, status) SELECT id, 'pending' FROM campaigns;
END
turns('hints', 'hints were dropped');
like(detail_of('hints'), qr/^\d+ hints were dropped since the server started, the last at .*; the sweeps make up for them$/,
	'which is said');
$node->append_conf('postgresql.conf', 'campaign_autoclose.tracked_campaigns = 1000');
$node->restart;
turns('', 'with room for them all is green');

# A standby, and its promotion.

my $backup = 'backup';
$node->backup($backup);
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, $backup, has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('shop', "SELECT string_agg(detail, ', ') FROM campaign_health() WHERE check_name IN ('launcher', 'database') AND ok"),
	'a standby: it starts with promotion, workers come here', 'a standby has no launcher, and nothing is wrong with that');
is($standby->safe_psql('shop', $red), '', 'nor with anything else');
$standby->stop;

# Without preload.

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$node->safe_psql('shop', "UPDATE campaign_sweep_run SET started_at = started_at - interval '1 hour'");
is($node->safe_psql('shop', $red), 'launcher sweep sending', 'without preload nothing runs by itself');
is(detail_of('launcher'), 'the library is not preloaded, so nothing runs by itself', 'which is said');
is(detail_of('trigger'), 'does nothing, as the library is not preloaded', 'and that there are no hints');
is($node->safe_psql('shop', "SELECT count(*) FROM campaign_health() WHERE check_name IN ('database', 'hints')"), '0',
	'which makes two checks moot');
$node->safe_psql('shop', 'CALL campaign_run_sweeps()');
is($node->safe_psql('shop', $red), '', 'who runs the sweeps from outside misses nothing');
is($node->safe_psql('shop', 'SELECT campaign_counters()'), '(,,,,,,,,)', 'nothing is counted');

$node->stop;
done_testing();
