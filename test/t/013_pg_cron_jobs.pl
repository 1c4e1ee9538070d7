# Jobs of pg_cron: whose they are, what becomes of one that is there already,
# and what keeps one from being scheduled, with the remedy that the hint names.
#
# psql alone cannot show it: it takes a server that has preloaded pg_cron, its
# database and others, one of which is renamed and copied.

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
END
$node->restart;

# as(ROLE, DATABASE, SQL): exit status, output and what is on stderr, where an
# error begins with its SQLSTATE.
sub as
{
	my ($role, $db, $sql) = @_;
	my ($out, $err);
	my $connstr = $node->connstr($db) . ($role ? " user='$role'" : '');
	my $status = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", connstr => $connstr,
		stdout => \$out, stderr => \$err);
	return ($status, $out, $err);
}

# It raises this.
sub raises
{
	my ($role, $db, $sql, $regexp, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, undef, $err) = as($role, $db, $sql);
	ok($status != 0 && $err =~ $regexp, $name) or diag "status $status: $err";
	return $err;
}

# It returns this, and says that.
sub returns
{
	my ($role, $db, $sql, $result, $regexp, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $out, $err) = as($role, $db, $sql);
	ok($status == 0 && $out eq $result && $err =~ $regexp, $name) or diag "status $status: $out\n$err";
	return $err;
}

sub jobs
{
	return $node->safe_psql('shop', 'SELECT jobname, username, database, schedule, command, active FROM cron.job ORDER BY 1, 2');
}

my $silence = qr/^$/;
my $schedule = 'SELECT campaign_schedule_pg_cron()';
my $unschedule = 'SELECT campaign_unschedule_pg_cron()';
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

$node->safe_psql('postgres', <<'END');
CREATE ROLE anna LOGIN;
CREATE ROLE "bert's" LOGIN;
CREATE ROLE guest LOGIN;
CREATE ROLE owners NOLOGIN ROLE anna;
CREATE DATABASE shop;
END
$node->safe_psql('shop', <<'END');
SET client_min_messages = error;
CREATE SCHEMA "Clo""ser's";
CREATE EXTENSION campaign_autoclose SCHEMA "Clo""ser's";
GRANT USAGE ON SCHEMA "Clo""ser's" TO PUBLIC;
ALTER DATABASE shop SET search_path = "Clo""ser's", public;
CREATE SCHEMA anna AUTHORIZATION anna;
CREATE SCHEMA bert AUTHORIZATION "bert's";
END
my $command = q{CALL "Clo""ser's".campaign_run_sweeps()};

# What keeps a job from being scheduled.

raises('', 'shop', $_, qr/ERROR:  55000: extension "pg_cron" is not installed in this database.*HINT:  Run CREATE EXTENSION pg_cron, as a superuser\./s,
	'pg_cron is not there') for $schedule, $unschedule;
$node->safe_psql('shop', "CREATE EXTENSION pg_cron VERSION '1.3'");
raises('', 'shop', $schedule, qr/ERROR:  55000: extension "pg_cron" is older than version 1\.4.*HINT:  Run ALTER EXTENSION pg_cron UPDATE\./s,
	'it is too old');
$node->safe_psql('shop', 'ALTER EXTENSION pg_cron UPDATE');
my $error = raises('anna', 'shop', $schedule, qr/ERROR:  42501: permission denied for schema cron/, 'the role may not use it');
raises('anna', 'shop', $unschedule, qr/ERROR:  42501: permission denied for schema cron/, 'nor remove a job');
my ($remedy) = $error =~ /HINT:  Let a superuser run: (.*;)$/m;
is($remedy, 'GRANT USAGE ON SCHEMA cron TO anna;', 'the hint has the remedy');
$error = raises(q{bert\\'s}, 'shop', $schedule, qr/ERROR:  42501:/, 'nor may another');
my ($quoted) = $error =~ /HINT:  Let a superuser run: (.*;)$/m;
$node->safe_psql('shop', $_) for $remedy, $quoted;
raises('anna', 'shop', "SET ROLE owners; $schedule", qr/ERROR:  28000: role "owners" cannot log in.*HINT:  Call it as a role that may log in and is a member of "owners"\./s,
	'a role that cannot log in');
raises('anna', 'shop', "SELECT campaign_schedule_pg_cron('$_')",
	qr/ERROR:  22023: invalid schedule: .*HINT:  Use five fields as cron does, '\* \* \* \* \*' for every minute/s, "no schedule: $_")
  for 'now and then', '', '90 seconds';
is(jobs(), '', 'no job was scheduled');

# A role's own job.

like((as('anna', 'shop', $schedule))[1], qr/^\d+$/, 'the id of a job is returned, before there is any source');
is(jobs(), "campaign_autoclose|anna|shop|* * * * *|$command|t", 'which runs every minute as the role');
returns('anna', 'shop', $unschedule, 't', $silence, 'it can be removed');
is(jobs(), '', 'and is gone');
returns('anna', 'shop', $unschedule, 'f', qr/NOTICE:  00000: role "anna" has no job "campaign_autoclose" of pg_cron in this database/, 'once');

$node->safe_psql('shop', "SELECT FROM campaign_create_tables('anna')", extra_params => [ '-U', 'anna' ]);
my $id = $node->safe_psql('shop', $schedule, extra_params => [ '-U', 'anna' ]);
returns('anna', 'shop', $schedule, $id, $silence, 'calling again changes nothing');
returns('anna', 'shop', "SELECT campaign_schedule_pg_cron('*/2 * * * *')", $id, $silence, 'another schedule is that of the same job');
is(jobs(), "campaign_autoclose|anna|shop|*/2 * * * *|$command|t", 'of which there is one');
$node->safe_psql('shop', "UPDATE cron.job SET command = 'SELECT 1'");
returns('anna', 'shop', $schedule, $id, $silence, 'one by that name gets the right command');
is(jobs(), "campaign_autoclose|anna|shop|* * * * *|$command|t", 'and the schedule');

# One that would not run any more is replaced.

for my $change ('nodeport = 1', "nodename = 'nowhere.invalid'", 'active = false', "database = 'gone'")
{
	$node->safe_psql('shop', "UPDATE cron.job SET $change");
	my $new = $node->safe_psql('shop', $schedule, extra_params => [ '-U', 'anna' ]);
	isnt($new, $id, "$change: the job is replaced");
	$id = $new;
	is(jobs(), "campaign_autoclose|anna|shop|* * * * *|$command|t", "$change: there is one, which runs");
	is($node->safe_psql('shop', 'SELECT nodename, nodeport FROM cron.job'), $node->host . '|' . $node->port,
		"$change: on this server");
}
$node->safe_psql('shop', "UPDATE cron.job SET database = 'postgres'");
raises('anna', 'shop', $schedule, qr/ERROR:  42710: job "campaign_autoclose" of pg_cron runs in database "postgres".*HINT:  .*SELECT cron\.unschedule\($id\);/s,
	'the job of another database is not touched');
returns('anna', 'shop', $unschedule, 'f', qr/NOTICE: .*has no job/, 'nor removed');
is($node->safe_psql('shop', 'SELECT database FROM cron.job'), 'postgres', 'it is there');
$node->safe_psql('shop', "UPDATE cron.job SET database = 'shop'");

# Several roles.

returns('guest', 'shop', 'SELECT 1', '1', $silence, 'a guest');
$node->safe_psql('shop', 'GRANT USAGE ON SCHEMA cron TO guest');
like((as('guest', 'shop', $schedule))[2], qr/WARNING:  42501: role "guest" owns the tables of no source, so its job will fail.*HINT:  Schedule it as the owner/s,
	'a role that owns nothing is warned');
returns('guest', 'shop', $unschedule, 't', $silence, 'it removes its job, and sees no other');
$node->safe_psql('shop', "SELECT FROM campaign_create_tables('bert')", extra_params => [ '-U', "bert's" ]);
like((as('anna', 'shop', $schedule))[2], qr/NOTICE:  00000: the job runs 1 of 2 sources: those whose tables role "anna" owns/,
	'a role that owns some is told');
like((as('', 'shop', $schedule))[1], qr/^\d+$/, 'a superuser has a job of its own');
is((as('', 'shop', $schedule))[2], '', 'for all sources');
$node->safe_psql('shop', $schedule, extra_params => [ '-U', "bert's" ]);
is($node->safe_psql('shop', 'SELECT username FROM cron.job ORDER BY 1'), join("\n", sort 'anna', "bert's", $superuser),
	'there is one for each');
my $berts = $node->safe_psql('shop', "SELECT jobid FROM cron.job WHERE username = 'bert''s'");
returns('', 'shop', $unschedule, 't',
	qr/NOTICE:  00000: job $id of role "anna" still runs the sweeps of this database\nHINT:  To remove it: SELECT cron\.unschedule\($id\);.*NOTICE:  00000: job $berts of role "bert's"/s,
	'a superuser removes its own, and is told of the others');
$node->safe_psql('shop', "SELECT cron.unschedule($_)") for $id, $berts;
is(jobs(), '', 'the statements in the hints remove them');

# From another database: the statement to run in that of pg_cron.

my $odd = q{o'dd \\ "db"};
my $long = 'l' x 63;
for my $db ($odd, $long)
{
	(my $ident = $db) =~ s/"/""/g;
	(my $connect = $db) =~ s/(['\\])/\\$1/g;
	my $literal = $node->safe_psql('postgres', "SELECT quote_literal(\$db\$$db\$db\$)");
	$node->safe_psql('postgres', qq{CREATE DATABASE "$ident"});
	my $oid = $node->safe_psql('postgres', "SELECT oid FROM pg_database WHERE datname = $literal");
	my $jobname = length("campaign_autoclose $db") < 64 ? "campaign_autoclose $db" : "campaign_autoclose $oid";
	my $in = sub {
		my ($role, $sql) = @_;
		my ($out, $err);
		my $result = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", stdout => \$out, stderr => \$err,
			connstr => "host='@{[ $node->host ]}' port=@{[ $node->port ]} dbname='$connect'" . ($role ? " user='$role'" : ''));
		return ($result, $out, $err);
	};
	my $statement = sub {
		my ($role, $sql) = @_;
		my ($result, undef, $err) = $in->($role, $sql);
		isnt($result, 0, "$db: an error");
		like($err, qr/ERROR:  55000: pg_cron keeps its jobs in database "shop", out of reach of database "\Q$db\E"/,
			"$db: which says why");
		return $err =~ /HINT:  In database "shop", run: (.*;)$/m ? $1 : '';
	};

	$in->('', 'CREATE EXTENSION campaign_autoclose');
	my $as_superuser = $statement->('', $schedule);
	my $as_anna = $statement->('anna', "SELECT campaign_schedule_pg_cron('5 4 * * *')");
	like($node->safe_psql('shop', $as_superuser), qr/^\d+$/, "$db: the statement works");
	is(jobs(), "$jobname|$superuser|$db|* * * * *|CALL public.campaign_run_sweeps()|t",
		"$db: and schedules what was asked for");
	like($node->safe_psql('shop', $as_anna), qr/^\d+$/, "$db: that of a plain role too, for a superuser");
	is(jobs(), join("\n", sort "$jobname|anna|$db|5 4 * * *|CALL public.campaign_run_sweeps()|t",
		"$jobname|$superuser|$db|* * * * *|CALL public.campaign_run_sweeps()|t"),
		"$db: and schedules a job of that role");
	my $remove = $statement->('', $unschedule);
	$node->safe_psql('shop', "SELECT cron.schedule('mine', '* * * * *', 'SELECT 1'); SELECT cron.schedule('campaign_autoclose', '* * * * *', '$command')" =~ s/ser's/ser''s/r);
	is($node->safe_psql('shop', $remove), "t\nt", "$db: so does the statement that removes them");
	is($node->safe_psql('shop', 'SELECT jobname, database FROM cron.job ORDER BY 1'), "campaign_autoclose|shop\nmine|shop",
		"$db: and no others");
	$node->safe_psql('shop', 'SELECT cron.unschedule(jobid) FROM cron.job');
}

# The database of pg_cron is renamed and copied; superusers' jobs are forbidden.

$node->safe_psql('shop', $schedule, extra_params => [ '-U', 'anna' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
raises('', 'shop', $_, qr/ERROR:  55000: pg_cron is not preloaded/, 'not preloaded, whatever the configuration says') for $schedule, $unschedule;
$node->safe_psql('postgres', 'ALTER DATABASE shop RENAME TO market');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE market');
$node->safe_psql('copy', q{ALTER DATABASE copy SET search_path = "Clo""ser's"});
$node->append_conf('postgresql.conf', <<'END');
shared_preload_libraries = 'pg_cron'
cron.database_name = 'market'
cron.enable_superuser_jobs = off
END
$node->restart;
is($node->safe_psql('market', 'SELECT database FROM cron.job'), 'shop', 'renamed: the job has the old name');
isnt($node->safe_psql('market', $schedule, extra_params => [ '-U', 'anna' ]), '', 'renamed: it is scheduled again');
is($node->safe_psql('market', 'SELECT jobname, username, database, active FROM cron.job'), 'campaign_autoclose|anna|market|t',
	'renamed: under the new name, once');
raises('anna', 'copy', $_, qr/ERROR:  55000: pg_cron keeps its jobs in database "market", out of reach of database "copy"/,
	'copied: the copy of its tables is not where pg_cron looks') for $schedule, $unschedule;
raises('', 'market', $schedule, qr/ERROR:  42501: cannot schedule jobs as superuser.*HINT:  Call it as the role that owns the tables of the sources\./s,
	'superusers may have no jobs');

# DROP EXTENSION leaves the job; the documented statement removes it.

$node->safe_psql('market', 'DROP EXTENSION campaign_autoclose');
is($node->safe_psql('market', 'SELECT count(*) FROM cron.job'), '1', 'dropped: the job is still there');
is($node->safe_psql('market', "SELECT cron.unschedule('campaign_autoclose')", extra_params => [ '-U', 'anna' ]), 't',
	'dropped: and can be removed by name');

$node->stop;
done_testing();
