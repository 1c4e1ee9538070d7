# What an application's owner plants in its tables (test/include/planted.sql)
# runs in a worker, which is a superuser's process, as nobody but that owner, and
# gets him nowhere.  The database's name means to be SQL.
#
# test/sql/planted_everywhere.sql has the same for CALL and for plain calls: here
# it is the worker's session that he would get at.

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

# The worker serves, in this order, a source of the planter's and one of
# somebody else's: what the first leaves behind would be met in the second.
my $db = q{planted'"; DROP TABLE x; --};
$node->safe_psql('postgres', 'CREATE DATABASE "' . $db =~ s/"/""/gr . '"');

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql($db, $statement);
}

sql('CREATE EXTENSION campaign_autoclose');
sql(slurp_file("$FindBin::RealBin/../include/planted.sql"));
sql(<<'END');
CREATE ROLE regress_cac_victim NOSUPERUSER;
CREATE SCHEMA victim AUTHORIZATION regress_cac_victim;
CREATE TABLE victim.seen (by name, path text, setting text);
ALTER TABLE victim.seen OWNER TO regress_cac_victim;
SET ROLE regress_cac_victim;
SELECT FROM campaign_create_tables('victim');
CREATE FUNCTION victim.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO victim.seen VALUES (current_user, current_setting('search_path'), current_setting('planted.setting', true));
	RETURN NEW;
END $$;
CREATE TRIGGER see BEFORE UPDATE OF status ON victim.campaigns FOR EACH ROW EXECUTE FUNCTION victim.see();
SELECT FROM campaign_alter('victim', 'mode', 'paused');
RESET ROLE;
-- (settings that outlive a transaction, for whoever comes next)
CREATE FUNCTION planted.leave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_catalog.set_config('planted.setting', 'planted', false), pg_catalog.set_config('search_path', 'planted', false),
		pg_catalog.set_config('statement_timeout', '1', false), pg_catalog.set_config('row_security', 'on', false);
	RETURN NULL;
END $$;
CREATE TRIGGER z AFTER UPDATE ON planted.campaigns FOR EACH ROW EXECUTE FUNCTION planted.leave();
SET client_min_messages = error;
INSERT INTO victim.campaigns (id, status, created_at) VALUES ('00000000-0000-0000-0000-000000000001', 'sending', '2025-01-01 00:00Z');
INSERT INTO victim.messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000001', 'failed');
SELECT planted.launch(1), planted.forget();
-- in one transaction: the worker meets both at once
BEGIN;
SET search_path = planted, pg_catalog, public;
SELECT FROM public.campaign_attach('planted', 'planted.campaigns', 'planted.messages', 'planted.interactions', 'planted.contacts');
SELECT FROM public.campaign_alter('planted', 'on_event', 'planted.hear');
SELECT FROM public.campaign_alter('planted', 'log_messages', 'true');
SELECT FROM public.campaign_alter('planted', 'mode', 'active');
SELECT FROM public.campaign_alter('victim', 'mode', 'active');
SELECT FROM public.campaign_alter('victim', 'sending_every', '1 s');
SELECT planted.forget();
COMMIT;
END

eventually($node, $db, q{SELECT (SELECT count(*) FROM planted.state_of(1) AS s WHERE s LIKE '%sending%') = 1 AND EXISTS (SELECT FROM victim.seen)},
	'the worker has closed the campaigns of both');
is(sql('SELECT planted.state_of(1)'), "0: failed, failed\n1: completed, no_interaction\n2: failed, failed\n3: sending, pending", 'as it should');
is(sql('SELECT * FROM planted.ran()'),
	'after before cast check contacts_view deferred domain generated index interactions_view on_event rule statement when|',
	'what is planted has run, as nobody but the planter');
is(sql('SELECT DISTINCT place, state FROM planted.attempts ORDER BY 1, 2'),
	join("\n", map { "$_|42501" } qw(after before deferred on_event statement)), 'all that he attempts is refused, from everywhere');
is(sql(q{SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolsuper}), $node->safe_psql('postgres', 'SELECT current_user'), 'there is no other superuser');
is(sql('SELECT DISTINCT * FROM victim.seen'), 'regress_cac_victim|"$user", public|', 'nothing is left behind for the next source');
unlike(log_since($node, 0), qr/runs as another|terminated by signal|PANIC|terminating connection due to administrator command/, 'and the log has nothing');

$node->stop;
done_testing();
