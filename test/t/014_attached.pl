# Attached tables: what is attached and detached again is as it was before, to the
# byte of its dump; a dump keeps what is attached, oddly named or not, with its
# trigger exactly once, and what it restores acts when it is told to.
#
# psql alone cannot show it: it takes pg_dump and pg_restore, and several
# databases.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main', 'campaign_autoclose.enabled = off');
my $basedir = $node->basedir;
$node->start;

# An owner who is no superuser, tables with odd names, partitions, a view and a
# materialized view.

$node->safe_psql('postgres', <<'END');
CREATE ROLE "The Owner" LOGIN;
CREATE DATABASE shop OWNER "The Owner";
END
$node->safe_psql('shop', 'CREATE SCHEMA "Ext @ %s"; CREATE EXTENSION campaign_autoclose SCHEMA "Ext @ %s"; GRANT USAGE ON SCHEMA "Ext @ %s" TO PUBLIC');
my @as_owner = (extra_params => [ '-U', 'The Owner' ]);
$node->safe_psql('shop', <<'END', @as_owner);
CREATE SCHEMA "Sho'p ""1"".x";
SET search_path = "Sho'p ""1"".x";
CREATE TYPE "State" AS ENUM ('going', 'do''ne', 'bro"ken');
CREATE TABLE "Runs @ %s" ("No" bigint PRIMARY KEY, "St @te" "State" NOT NULL, made timestamptz NOT NULL DEFAULT now());
CREATE TABLE "Te.xts" ("No" bigint NOT NULL REFERENCES "Runs @ %s", "#" serial, "Pho""ne" text, "St @te" varchar(20) NOT NULL, PRIMARY KEY ("No", "#"))
	PARTITION BY HASH ("No");
CREATE TABLE texts_0 PARTITION OF "Te.xts" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE texts_1 PARTITION OF "Te.xts" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE "In" ("Pho""ne" text, at timestamptz);
CREATE MATERIALIZED VIEW "Re plies" AS SELECT "Pho""ne", at FROM "In";
CREATE TABLE more_runs (id uuid PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL);
CREATE VIEW run_view AS SELECT * FROM more_runs;
CREATE TABLE more_texts (id uuid PRIMARY KEY, campaign_id uuid, contact_id int, message_type text, status text);
END

my $attach = <<'END';
SET client_min_messages = error;
SET search_path = "Sho'p ""1"".x", "Ext @ %s";
SELECT FROM campaign_attach('od"d''s @ %s', '"Runs @ %s"', '"Te.xts"', '"Re plies"',
	columns => '{"campaigns": {"id": "No", "status": "St @te", "created_at": "made"},
		"messages": {"id": "#", "campaign_id": "No", "contact_id": "Pho\"ne", "status": "St @te"},
		"interactions": {"contact_id": "Pho\"ne", "received_at": "at"}}',
	labels => '{"campaigns": {"sending": "going", "completed": "do''ne", "failed": "bro\"ken"}}');
SELECT FROM campaign_attach('view', 'run_view', 'more_texts');
END
my $detach = <<'END';
SET search_path = "Ext @ %s";
SELECT campaign_detach('od"d''s @ %s');
SELECT campaign_detach('view');
END

# without the keys that newer releases of pg_dump print, other ones each time
sub dump_of
{
	my ($db, @options) = @_;

	my $dump = "$basedir/dump.sql";
	$node->command_ok([ 'pg_dump', '-U', 'The Owner', '-d', $node->connstr($db), '-f', $dump, @options ],
		"the owner can dump $db @options");
	my $text = slurp_file($dump);
	$text =~ s/^\\(un)?restrict .*\n//mg;
	return $text;
}

# No trace.

my $before = dump_of('shop', '-s');
$node->safe_psql('shop', $attach, @as_owner);
my $attached = dump_of('shop', '-s');
isnt($attached, $before, 'what is attached has a trigger');
is(() = $attached =~ /CREATE TRIGGER campaign_autoclose/g, 2, 'one on each table of messages');
$node->safe_psql('shop', $detach, @as_owner);
is(dump_of('shop', '-s'), $before, 'attached and detached, tables are as they were');
my $ours = $node->safe_psql('shop', <<'END');
SELECT string_agg(format('SELECT FROM %s', oid::regclass), ' UNION ALL ')
FROM pg_class WHERE relnamespace = '"Ext @ %s"'::regnamespace AND relkind = 'r'
END
is($node->safe_psql('shop', "SELECT count(*) FROM ($ours) AS row"), '0', 'and nothing is left in ours');
$node->safe_psql('shop', "BEGIN; $attach ROLLBACK", @as_owner);
is(dump_of('shop', '-s'), $before, 'so they are where attaching was rolled back');

# Copies.

$node->safe_psql('shop', $attach, @as_owner);
$node->safe_psql('shop', <<'END', @as_owner);
SET search_path = "Sho'p ""1"".x";
INSERT INTO "Runs @ %s" VALUES (1, 'going', '2026-01-01'), (2, 'going', '2026-01-01');
INSERT INTO "Te.xts" ("No", "Pho""ne", "St @te") VALUES (1, '+331', 'sent'), (2, '+331', 'failed'), (2, '+332', 'pending');
END
my $state = <<'END';
SELECT source, campaigns, messages, interactions, columns, labels, mode, completion_rule, search_path, attached_names
FROM "Ext @ %s".campaign_source ORDER BY source
END
my $triggers = <<'END';
SELECT tgrelid::regclass, pg_get_triggerdef(t.oid), d.deptype IS NOT NULL
FROM pg_trigger AS t LEFT JOIN pg_depend AS d ON d.objid = t.oid AND d.deptype = 'x'
WHERE tgname = 'campaign_autoclose' ORDER BY tgrelid::regclass::text
END
my $source = $node->safe_psql('shop', $state);
my $on_tables = $node->safe_psql('shop', $triggers);
is(() = $on_tables =~ /^/mg, 4, 'the trigger is on both tables and on the two partitions');
dump_of('shop');
rename "$basedir/dump.sql", "$basedir/plain.sql" or die;
$node->command_ok([ 'pg_dump', '-U', 'The Owner', '-d', $node->connstr('shop'), '-Fc', '-f', "$basedir/custom.dump" ],
	'dumped in the custom format');

for my $copy (qw(plain custom))
{
	$node->safe_psql('postgres', qq{CREATE DATABASE "$copy" OWNER "The Owner"});
	$node->command_ok($copy eq 'plain' ?
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($copy), '-f', "$basedir/plain.sql" ] :
		[ 'pg_restore', '-e', '-j', '2', '-d', $node->connstr($copy), "$basedir/custom.dump" ],
		"$copy: restored");
	is($node->safe_psql($copy, $state), $source, "$copy: the sources are as they were");
	is($node->safe_psql($copy, $triggers), $on_tables, "$copy: and so are the triggers, each there once");
	is($node->safe_psql($copy, 'SELECT count(*) FROM "Ext @ %s".campaign_armed'), '0', "$copy: nothing is armed");
	$node->safe_psql($copy, 'SET client_min_messages = error; SELECT FROM "Ext @ %s".campaign_check_sending()');
	is($node->safe_psql($copy, q{SELECT count(*) FROM "Sho'p ""1"".x"."Runs @ %s" WHERE "St @te" = 'going'}), '2',
		"$copy: and nothing acts");
	is($node->safe_psql($copy, q{SELECT count(*) FROM "Ext @ %s".campaign_preflight('od"d''s @ %s') WHERE NOT ok AND check_name NOT IN ('indexes', 'launch')}),
		'0', "$copy: it would");

	$node->safe_psql($copy, q{SELECT FROM "Ext @ %s".campaign_alter('od"d''s @ %s', 'mode', 'active')}, @as_owner);
	is($node->safe_psql($copy, $triggers), $on_tables, "$copy: activated, it has no second trigger");
	$node->safe_psql($copy, 'SET client_min_messages = error; SELECT FROM "Ext @ %s".campaign_check_sending()', @as_owner);
	is($node->safe_psql($copy, q{SELECT string_agg("St @te"::text, ' ' ORDER BY "No") FROM "Sho'p ""1"".x"."Runs @ %s"}), q{do'ne going},
		"$copy: and acts, in its words");
	$node->safe_psql($copy, $detach, @as_owner);
	is(dump_of($copy, '-s'), $before, "$copy: detached, it is as the original was before");
}

# DROP EXTENSION takes the triggers along, and nothing else.

$node->safe_psql('shop', 'DROP EXTENSION campaign_autoclose');
is($node->safe_psql('shop', $triggers), '', 'no trigger is left without the extension');
is($node->safe_psql('shop', q{UPDATE "Sho'p ""1"".x"."Te.xts" SET "St @te" = 'read' WHERE "No" = 1 RETURNING 1}), '1',
	'and messages can be written');

$node->stop;
done_testing();
