# The contenders of the benchmark (bench/peers) leave the same rows as the
# extension, so that what bench/run compares is the same work; and the benchmark's
# own workload is what they all find.
#
# The workload is tiny: what takes time is measured by bench/run.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bench = "$FindBin::Bin/../../bench";
my $python = '/usr/bin/python3';
my @tables = glob "$bench/peers/*.sql";
my $node = preloaded_node('main', "campaign_autoclose.enabled = off\n");
my $psycopg2 = system("$python -c 'import psycopg2' >/dev/null 2>&1") == 0;

$node->start;
plan skip_all => 'the benchmark is not there' if !@tables;

# workload(DATABASE, SWEEP, FILL, LEARN): tables to be copied.
sub workload
{
	my ($db, $sweep, $fill, $learn) = @_;

	create_source($node, $db);
	every_second($node, $db, 'public', $sweep);
	$node->safe_psql($db, join "\n", map { slurp_file($_) } "$bench/fill.sql", "$bench/workload.sql", "$bench/peers.sql", @tables);
	$node->safe_psql($db, "CALL $fill");
	$node->safe_psql($db, "CALL $learn");
	return;
}

# left_by(CONTENDER, TASK, DATABASE): the rows that a contender leaves in a copy, as
# a checksum.
sub left_by
{
	my ($contender, $task, $db) = @_;

	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS peers');
	$node->safe_psql('postgres', "CREATE DATABASE peers TEMPLATE $db");
	$node->safe_psql('peers', "SELECT FROM campaign_alter('public', 'mode', 'active')");
	$node->safe_psql('peers', 'CALL set_based.create_indexes()') if $contender eq 'set_based';
	if ($contender eq 'task_queue')
	{
		local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'peers');
		run_log([ $python, "$bench/peers/task_queue.py", $task ]) or return 'the task failed';
	}
	else
	{
		$node->safe_psql('peers', "CALL bench.run('$contender', '$task')");
	}
	return $node->safe_psql('peers', 'SELECT bench.checksum()');
}

# A day's expired messages: some campaigns are complete with them, some not.

workload('day', 'expired', 'bench.generate(40, 60)', 'by_id.learn_expired()');
is($node->safe_psql('day', q{
		SELECT count(*) > 100, count(DISTINCT campaign_id) BETWEEN 4 AND 8 FROM by_id.due}), 't|t',
	'in the workload, messages of the campaigns of a day have expired');
is($node->safe_psql('day', q{
		SELECT count(*) FILTER (WHERE final = 'completed') > 0, count(*) FILTER (WHERE final = 'sending') > 0 FROM by_id.outcome}), 't|t',
	'with which some campaigns are complete, and some not');
is($node->safe_psql('day', q{
		SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM messages}), 'delivered failed no_interaction pending read sent',
	'and it has messages in every status');

my $before = $node->safe_psql('day', 'SELECT bench.checksum()');
my $expected = left_by('extension', 'expired', 'day');

isnt($expected, $before, 'the extension changes rows');
is(left_by($_, 'expired', 'day'), $expected, "marking: $_ leaves the same rows") for qw(by_id per_campaign set_based plpgsql);
SKIP:
{
	skip 'psycopg2 is not installed', 1 if !$psycopg2;
	is(left_by('task_queue', 'expired', 'day'), $expected, 'marking: task_queue leaves the same rows');
}

# Campaigns that are complete.

workload('closing', 'sending', 'bench.fill(current_schema(), 5, replied => 20)', 'by_id.learn_complete()');
$expected = left_by('extension', 'sending', 'closing');
like($expected, qr/ 5$/, 'the extension closes all');
is(left_by('by_id', 'closing', 'closing'), $expected, 'closing: by_id leaves the same rows');
is(left_by($_, 'sending', 'closing'), $expected, "closing: $_ leaves the same rows") for qw(set_based plpgsql recount);
SKIP:
{
	skip 'psycopg2 is not installed', 1 if !$psycopg2;
	is(left_by('task_queue', 'sending', 'closing'), $expected, 'closing: task_queue leaves the same rows');
}

# Campaigns that are not: nobody closes them.

workload('waiting', 'sending', 'bench.fill(current_schema(), 5, replied => 4, waiting => 16)', 'by_id.learn_open()');
for my $contender (qw(extension by_id set_based plpgsql recount), $psycopg2 ? 'task_queue' : ())
{
	left_by($contender, 'sending', 'waiting');
	is($node->safe_psql('peers', 'SELECT DISTINCT status, completed_at FROM campaigns'), 'sending|', "$contender closes none that waits");
}

$node->stop;
done_testing();
