# Versions of the extension: one that was upgraded consists of the same objects
# as a fresh one, for every pair of versions that there are scripts for; a library
# does not touch objects of another version, and says so.
#
# psql alone cannot show it: it takes scripts of several versions, and a server
# that finds them.
#
# The scripts are those of sql/, in the first part.  The others make versions of
# their own out of the current one: an older one that lacks something and a
# script that adds it, and a newer one.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::Bin/../..";
my $extension = 'campaign_autoclose';
my $objects = slurp_file("$root/test/include/objects.sql");
my ($version) = slurp_file("$root/$extension.control") =~ /^default_version = '([^']+)'$/m;
my $script = slurp_file("$root/sql/$extension.sql");

# A directory of scripts that the server looks into first.  Debian's PostgreSQL
# and 18 have a setting for it.

my $node = preloaded_node('main');
my $stage = $node->basedir . '/stage';
my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my $scripts = "$stage$sharedir/extension";
make_path($scripts);
my ($known) = run_command([ 'postgres', '--describe-config' ]);
if ($known =~ /^extension_destdir\t/m)
{
	$node->append_conf('postgresql.conf', "extension_destdir = '$stage'");
}
elsif ($known =~ /^extension_control_path\t/m)
{
	$node->append_conf('postgresql.conf', "extension_control_path = '$stage$sharedir:\$system'");
}
else
{
	plan skip_all => 'this PostgreSQL looks for scripts in one place alone';
}
copy("$root/$extension.control", $scripts) or die $!;
$node->start;

# The library is the one that is preloaded, wherever else there may be one.

my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
my ($library) = grep { -f } map { s/\$libdir/$libdir/r . "/$extension.so" }
  split /:/, $node->safe_psql('postgres', 'SHOW dynamic_library_path');
make_path("$stage$libdir");
symlink $library, "$stage$libdir/$extension.so" or die $!;

sub put_script
{
	my ($versions, $text) = @_;
	open my $file, '>', "$scripts/$extension--$versions.sql" or die $!;
	print $file $text;
	close $file or die $!;
	return;
}

sub remove_scripts
{
	unlink glob "$scripts/*--*.sql";
	return;
}

my $databases = 0;

sub new_database
{
	my $db = 'versions_' . ++$databases;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	return $db;
}

# The objects of the extension of one version, in a database of its own; by way
# of another version, if one is given.
sub objects_of
{
	my ($target, $source) = @_;
	my $db = new_database();

	$node->safe_psql($db, "CREATE EXTENSION $extension VERSION '" . ($source // $target) . "'");
	$node->safe_psql($db, "ALTER EXTENSION $extension UPDATE TO '$target'") if defined $source;
	return described($db);
}

sub described
{
	my ($db) = @_;
	return $node->safe_psql($db, "\\set extension $extension\n$objects");
}

# What an upgrade has made otherwise.
sub difference
{
	my ($upgraded, $fresh) = @_;
	my %upgraded = map { $_ => 1 } split /\n/, $upgraded;
	my %fresh = map { $_ => 1 } split /\n/, $fresh;

	return join "\n", (map { "upgraded: $_" } grep { !$fresh{$_} } sort keys %upgraded),
	  map { "fresh: $_" } grep { !$upgraded{$_} } sort keys %fresh;
}

# What a statement raises.
sub raised
{
	my ($db, $statement) = @_;
	my (undef, undef, $stderr) = $node->psql($db, "SET client_min_messages = error;\n\\set VERBOSITY verbose\n$statement");
	return $stderr;
}

#
# The versions in sql/
#

sub put_current_script
{
	put_script($version, $script);
	return;
}

put_current_script();
for my $file (glob "$root/sql/$extension--*.sql")
{
	# the copy of the current one that make has made is nothing new
	copy($file, $scripts) or die $! unless $file =~ /--\Q$version\E\.sql$/;
}

my %released = map { $_ => 1 } slurp_file("$root/CHANGELOG.md") =~ /^## \[([0-9.]+)\] - \d/mg;
delete $released{$version};
my %installable = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
	"SELECT version FROM pg_available_extension_versions WHERE name = '$extension'");
is(join(' ', grep { !$installable{$_} } sort keys %released), '', 'of every released version the install script is kept');
my %upgradable = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
	"SELECT source FROM pg_extension_update_paths('$extension') WHERE target = '$version' AND path IS NOT NULL");
is(join(' ', grep { !$upgradable{$_} } sort keys %released), '', 'each can be upgraded to the current one');
for my $pair (split /\n/, $node->safe_psql('postgres',
	"SELECT source, target FROM pg_extension_update_paths('$extension') WHERE path IS NOT NULL ORDER BY 1, 2"))
{
	my ($source, $target) = split /\|/, $pair;
	next unless $installable{$source} && $installable{$target};
	is(difference(objects_of($target, $source), objects_of($target)), '', "$source to $target: nothing is otherwise");
}
my $fresh = objects_of($version);
cmp_ok(scalar(split /\n/, $fresh), '>', 300, 'there is much to be compared');
for my $script (glob "$root/sql/$extension--*--*.sql")
{
	like(slurp_file($script), qr/^(--.*\n|\s*\n|\\echo .*\\quit\n)*SELECT campaign_announce\(\);$/m,
		"$script begins with campaign_announce()");
}

#
# A version that was, with something of each kind less
#

my ($major, $minor) = $version =~ /^(\d+)\.(\d+)/;
my $old = $minor > 0 ? "$major." . ($minor - 1) . '.7' : $major - 1 . '.9.7';
my $older = $old =~ s/7$/6/r;
my $newer = "$major." . ($minor + 1) . '.0';

# Takes what matches out of the text, and returns it.
sub take
{
	my ($text, $regexp) = @_;
	$$text =~ s/($regexp)// or die "the script has no $regexp";
	return $1;
}

my $base = $script;
my $function = take(\$base, qr/CREATE FUNCTION campaign_counters\(.*?\n(?=\n)/s);
my $view = take(\$base, qr/-- One row a source, all of it cheap.*?CREATE VIEW campaign_metrics .*?GRANT SELECT ON campaign_metrics TO PUBLIC;\n/s);
my $policy = take(\$base, qr/CREATE POLICY source_owner ON campaign_blackout .*?;\n/s);
my $index = take(\$base, qr/CREATE INDEX campaign_retry_due_idx .*?;\n/);
my $comment = take(\$base, qr/COMMENT ON COLUMN campaign_retry\.\w+ .*?;\n|COMMENT ON TABLE campaign_retry .*?;\n/);
my $config = take(\$base, qr/SELECT pg_catalog\.pg_extension_config_dump\('campaign_reopening', ''\);\n/);
my $column = take(\$base, qr/\tattached_names text\[\] NOT NULL\n/);
$base =~ s/(\tattached_at .*),\n/$1\n/ or die;
my $column_comment = take(\$base, qr/COMMENT ON COLUMN campaign_source\.attached_names .*?;\n/);
my $announce = "SELECT campaign_announce();\n";
my $upgrade = join "\n", $announce, "ALTER TABLE campaign_source ADD COLUMN attached_names text[] NOT NULL;",
  $column_comment, $function, $view, $policy, $index, $comment, $config;

remove_scripts();
put_current_script();
put_script($older, $base);
put_script("$older--$old", $announce);
put_script("$old--$version", $upgrade);
is(difference(objects_of($version, $older), $fresh), '', "a version that was is upgraded, in two steps, $older to $old to $version");

for my $forgotten ([ 'a function', $function, qr/fresh: .*campaign_counters\(\): function/ ],
	[ 'a policy', $policy, qr/campaign_blackout: policy/ ],
	[ 'an index', $index, qr/campaign_retry_due_idx/ ],
	[ 'a comment', $comment, qr/fresh: .*campaign_retry/ ],
	[ 'what is dumped', $config, qr/campaign_reopening: dumped/ ],
	[ 'a grant', "GRANT SELECT ON campaign_metrics TO PUBLIC;\n", qr/campaign_metrics: relation/ ])
{
	my ($what, $text, $expected) = @$forgotten;
	my $incomplete = $upgrade;

	$incomplete =~ s/\Q$text\E// or die;
	put_script("$old--$version", $incomplete);
	like(difference(objects_of($version, $older), $fresh), $expected, "$what that an upgrade forgets is noticed");
}
put_script("$old--$version", $upgrade);

# Its objects are nothing for this library, until they are upgraded.

my $db = new_database();
put_script($old, $base);
$node->safe_psql($db, "CREATE EXTENSION $extension VERSION '$old'");
my $refusal = qr/ERROR:  55000: library "campaign_autoclose" is version \Q$version\E, but the extension in this database is version \Q$old\E\nHINT:  Run ALTER EXTENSION campaign_autoclose UPDATE\./;
for my $statement ('SELECT campaign_create_tables()', "SELECT campaign_update_status('1')", 'SELECT campaign_check_sending()',
	'CALL campaign_run_sweeps()', "SELECT campaign_alter('public', 'mode', 'active')", "SELECT * FROM campaign_explain('1')",
	'SELECT * FROM campaign_preflight()', 'TABLE campaign_progress', "SELECT campaign_detach('public')")
{
	like(raised($db, "$statement;"), $refusal, "older objects: $statement is refused");
}
is($node->safe_psql($db, 'SELECT check_name, ok, detail, fix FROM campaign_health()'),
	"version|f|the library is $version, the extension $old|ALTER EXTENSION campaign_autoclose UPDATE; if the library is the older one, restart the server first.",
	'campaign_health() has nothing else to say');
eventually($node, $db, "SELECT last_error LIKE '%but the extension in this database is version $old' FROM campaign_worker WHERE process = 'launcher'",
	'a worker gives up, and campaign_worker says why');

# The application is not disturbed, and nothing is lost.
$node->safe_psql($db, <<"END");
CREATE TABLE runs (id int PRIMARY KEY, status text, created_at timestamptz);
CREATE TABLE texts (id int PRIMARY KEY, campaign_id int, contact_id int, status text);
CREATE TRIGGER campaign_autoclose AFTER INSERT OR UPDATE OF status OR DELETE ON texts
	FOR EACH ROW EXECUTE FUNCTION campaign_note_message('runs');
END
my $session = session($node, $db);
$session->query_safe('SET client_min_messages = error');
is($session->query_safe("INSERT INTO texts VALUES (1, 1, 1, 'failed') RETURNING status"), 'failed', 'the trigger stands in nobody\'s way');
$node->safe_psql($db, "ALTER EXTENSION $extension UPDATE");
is(difference(described($db), $fresh), '', 'they are upgraded');
is($session->query_safe('SELECT campaign_check_sending() IS NOT NULL'), 't', 'which a session that was refused notices');
$session->query_safe("INSERT INTO runs VALUES (1, 'sending', now())");
is($session->query_safe("SELECT mode FROM campaign_attach('runs', 'runs', 'texts')"), 'shadow', 'now there is work to do');
$session->quit;
is($node->safe_psql($db, "SELECT ok FROM campaign_health() WHERE check_name = 'version'"), 't', 'and all is well');
eventually($node, $db, "SELECT count(*) > 0 FROM campaign_sweep_run", 'a worker has come');

# Between two patch versions nothing is refused.

$session = session($node, $db);
$session->query_safe('SET client_min_messages = error');
is($session->query_safe('SELECT count(*) FROM campaign_progress'), '1', 'a session knows the extension');
(my $patched = $version) =~ s/(\d+)$/$1 + 1/e;
put_script("$version--$patched", $announce);
put_script("$patched--$newer", "${announce}CREATE FUNCTION campaign_future() RETURNS void AS 'MODULE_PATHNAME', 'campaign_future' LANGUAGE C;\n");
$node->safe_psql($db, "ALTER EXTENSION $extension UPDATE TO '$patched'");
is($session->query_safe('SELECT count(*) FROM campaign_progress'), '1', 'objects of another patch version are served');
is($node->safe_psql($db, "SELECT ok, detail FROM campaign_health() WHERE check_name = 'version'"),
	"f|the library is $version, the extension $patched", 'health says so');

# A newer version needs a newer library: its scripts are refused at once.

my $too_new = qr/ERROR:  55000: library "campaign_autoclose" is version \Q$version\E, but the extension in this database is version \Q$newer\E\nHINT:  Restart the server after the library of version \Q$newer\E has been installed\./;
like(raised($db, "ALTER EXTENSION $extension UPDATE TO '$newer';"), $too_new, 'an upgrade to a newer version than the library is refused');
is($node->safe_psql($db, "SELECT extversion FROM pg_extension WHERE extname = '$extension'"), $patched, 'and leaves everything as it was');
is($session->query_safe('SELECT count(*) FROM campaign_progress'), '1', 'which goes on working');
(my $newer_script = $script) =~ s/(SELECT campaign_announce\(\);\n)/$1CREATE FUNCTION campaign_future() RETURNS void AS 'MODULE_PATHNAME', 'campaign_future' LANGUAGE C;\n/;
put_script($newer, $newer_script);
like(raised(new_database(), "CREATE EXTENSION $extension VERSION '$newer';"), $too_new, 'so is to create one');

$session->quit;
$node->stop;
done_testing();
