# What takes the tables, their owner or the extension away from under a worker in
# the middle of a sweep succeeds at once, and the worker ends or goes on as the
# rules for what is left have it.
#
# psql alone cannot show it: it takes a worker.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = preloaded_node('main', "campaign_autoclose.max_workers = 4\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE anna; CREATE ROLE bert');

# A database that keeps a worker busy for half a minute, as anna, once its sweep
# is switched on.  The tables are in a schema of their own.
sub busy_database
{
	my ($db) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, <<"END");
CREATE EXTENSION campaign_autoclose;
GRANT ALL ON DATABASE $db TO anna;
CREATE SCHEMA shop AUTHORIZATION anna;
SET ROLE anna;
SELECT FROM campaign_create_tables('shop');
SELECT (campaign_alter('shop', sweep || '_every', NULL)).mode FROM unnest('{expired,timeout,sending,interrupted}'::text[]) AS sweep;
CREATE FUNCTION shop.slow() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM pg_sleep(0.05);
	NEW.name = current_user;
	RETURN NEW;
END \$\$;
CREATE TRIGGER slow BEFORE UPDATE ON shop.campaigns FOR EACH ROW EXECUTE FUNCTION shop.slow();
-- It is the sweep that is to close them, not hints.
ALTER TABLE shop.messages DISABLE TRIGGER campaign_autoclose;
WITH campaign AS (
	INSERT INTO shop.campaigns (status, started_at)
	SELECT 'sending', now() - interval '1 hour' FROM generate_series(1, 600) RETURNING id
)
INSERT INTO shop.messages (campaign_id, status) SELECT id, 'failed' FROM campaign;
END
	return;
}

# Runs a statement in the database, once the worker there is in mid-sweep.
sub in_mid_sweep
{
	my ($db, $statement) = @_;
	my ($started, $status, $stderr);

	$node->safe_psql($db, "SELECT FROM campaign_alter('shop', 'sending_every', '1 s')");
	eventually($node, $db, "SELECT campaigns_done BETWEEN 1 AND campaigns_total - 50
		FROM campaign_worker WHERE database = '$db' AND sweep = 'sending' AND state = 'running'",
		"a worker is in mid-sweep: $statement");
	$started = time;
	($status, undef, $stderr) = $node->psql($db, "SET client_min_messages = warning; $statement");
	note sprintf '%.3f s', time - $started;
	is("$status$stderr", '0', 'the statement succeeds');
	cmp_ok(time - $started, '<', 5, 'in good time');
	return;
}

sub closed_by
{
	my ($db, $role) = @_;
	return $node->safe_psql($db, "SELECT count(*) FROM shop.campaigns WHERE status <> 'sending' AND name = '$role'");
}

sub worker_is_gone
{
	my ($db, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return eventually($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity
		WHERE datname = '$db' AND backend_type = 'campaign_autoclose worker'", $name);
}

my $log = log_end($node);
busy_database($_) for qw(reassigned altered owned dropped cascade);

# Given away: the worker goes on as whoever owns it now.

in_mid_sweep('reassigned', 'REASSIGN OWNED BY anna TO bert');
eventually($node, 'reassigned', "SELECT count(*) > 5 FROM shop.campaigns WHERE status <> 'sending' AND name = 'bert'",
	'the worker goes on as the new owner');
cmp_ok(closed_by('reassigned', 'anna'), '>', 0, 'what was done before was done as the old one');
is($node->safe_psql('reassigned', "SELECT count(*) FROM campaign_retry WHERE failures > 0"), '0', 'no campaign failed for it');

in_mid_sweep('altered', 'BEGIN; ALTER TABLE shop.campaigns OWNER TO bert; ALTER TABLE shop.messages OWNER TO bert;
	ALTER TABLE shop.interactions OWNER TO bert; ALTER TABLE shop.contacts OWNER TO bert;
	GRANT USAGE ON SCHEMA shop TO bert; COMMIT');
eventually($node, 'altered', "SELECT count(*) > 5 FROM shop.campaigns WHERE status <> 'sending' AND name = 'bert'",
	'with ALTER TABLE ... OWNER TO, too');
$node->safe_psql($_, "SELECT FROM campaign_alter('shop', 'mode', 'paused')") for qw(reassigned altered);

# Dropped, with all that the owner has.

in_mid_sweep('owned', 'DROP OWNED BY anna');
worker_is_gone('owned', 'the worker leaves');
is($node->safe_psql('owned', "SELECT source, mode FROM campaign_source"), 'shop|active', 'the source is there still');
like($node->safe_psql('owned', "SELECT detail FROM campaign_health() WHERE check_name = 'tables' AND NOT ok"),
	qr/table shop\.campaigns of source "shop" does not exist any more/, 'and campaign_health() says what it wants');
is($node->safe_psql('owned', 'SELECT count(*) FROM campaign_retry WHERE failures > 0'), '0', 'no campaign is blamed');

in_mid_sweep('dropped', 'DROP SCHEMA shop CASCADE');
worker_is_gone('dropped', 'the worker leaves');
is($node->safe_psql('dropped', "SELECT campaign_detach('shop'); SELECT count(*) FROM campaign_source"), "\n0",
	'the source can be forgotten');

# The extension, with what depends on it.

$node->safe_psql('cascade', 'CREATE VIEW report AS SELECT source, count(*) FROM campaign_event GROUP BY source');
in_mid_sweep('cascade', 'DROP EXTENSION campaign_autoclose CASCADE');
worker_is_gone('cascade', 'the worker leaves');
my $left = $node->safe_psql('cascade', "SELECT count(*) FROM shop.campaigns WHERE status = 'sending'");
cmp_ok($left, '>', 50, 'with work left');
is($node->safe_psql('cascade', "SELECT to_regclass('report') IS NULL AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'campaign_autoclose')"),
	't', 'nothing of it is left');
$node->safe_psql('cascade', "CREATE EXTENSION campaign_autoclose; SET ROLE anna;
	SELECT FROM campaign_attach('shop', 'shop.campaigns', 'shop.messages', 'shop.interactions', 'shop.contacts')");
is($node->safe_psql('cascade', 'SELECT mode FROM campaign_source'), 'shadow', 'it can be had again');

unlike(log_since($node, $log), qr/XX000|TRAP:|PANIC|internal error|cache lookup failed|could not open relation/,
	'no worker ran into anything that it did not understand');
$node->safe_psql('cascade', "SELECT FROM campaign_alter('shop', 'mode', 'paused')");
eventually($node, 'postgres', "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'object' AND mode = 'ExclusiveLock'",
	'no lock is left behind');

$node->stop;
done_testing();
