# The clock steps back, and forth, while an application writes: a library that is
# preloaded into the server (test/include/clock.c) adds to the time what the test
# says.
#
# psql alone cannot show it: its server has the machine's clock.

use strict;
use warnings;

use Config;
use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use UnderLoad;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = loaded_node('main');
my $library = $node->basedir . '/clock.so';
my $dial = $node->basedir . '/clock';
my @compiler = grep { system("command -v $_ >/dev/null 2>&1") == 0 } 'cc', 'gcc', 'clang';
plan skip_all => 'there is no C compiler for the clock' unless @compiler;
system($compiler[0], '-O1', '-shared', '-fPIC', '-o', $library, "$FindBin::Bin/../include/clock.c", '-ldl') == 0
  or die 'the clock could not be compiled';

# From now on the time differs by so many seconds.
sub step_clock
{
	my ($seconds) = @_;
	open my $file, '+<', $dial or die "cannot write $dial: $!";
	syswrite $file, pack('q', $seconds * 1_000_000);
	close $file;
	return;
}

append_to_file($dial, pack('q', 0));
{
	local $ENV{STEPPING_CLOCK} = $dial;
	local $ENV{LD_PRELOAD} = join ' ', grep { defined && length } $ENV{LD_PRELOAD}, $library;
	$node->start;
}
# pg_sleep() goes by the clock
under_load($node, drag => 0);
start_load($node);

# Where the clock is after each step, in seconds.
for my $position ((-90, -95, 3600, 0, -1.5, -7200) x rounds(1))
{
	passes_on(0.7);
	my $last = $node->safe_psql('load', 'SELECT coalesce(max(id), 0) FROM campaign_event');
	step_clock($position);
	my $clock = $node->safe_psql('load', 'SELECT extract(epoch FROM clock_timestamp())') - time;
	cmp_ok(abs($clock - $position), '<', 3, "the clock is $position s off");
	add_bulk($node) if $position == -95;
	eventually($node, 'load', "SELECT count(*) >= 2 FROM campaign_event WHERE id > $last AND event = 'closed' AND at <= clock_timestamp()",
		'... campaigns are closed, by that clock');
	eventually($node, 'load', q{SELECT next_wake_at <= clock_timestamp() + interval '61 s' FROM campaign_worker WHERE process = 'launcher'},
		'... and the launcher sleeps for a minute at most');
}

# It steps back once more, to where it never was, while nobody is there: the launcher
# has been told when to come by a clock that is hours ahead.
stop_load();
$node->safe_psql('load', join ' ', map { my $source = $_; map { "SELECT FROM campaign_alter('$source', '${_}_every', '6 s');" } qw(expired timeout sending interrupted) } qw(shop bulk));
$node->poll_query_until('load', q{SELECT count(*) = 0 FROM campaign_worker WHERE process = 'worker'}) or die 'the worker does not leave';
step_clock(-20000);
eventually($node, 'load', 'SELECT count(*) = 8 FROM (SELECT DISTINCT source, sweep FROM campaign_sweep_run WHERE started_at <= clock_timestamp()) AS runs',
	'stepping back while no worker is there: every sweep is run by the new clock');

holds($node, 'clock', 10);

# A step forward while statistics are being written is not time that this took: the
# next are counted in seconds, not hours.
create_source($node, 'load', 'slow');
every_second($node, 'load', 'slow');
$node->safe_psql('load', <<'END');
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END';
CREATE TRIGGER gate BEFORE UPDATE ON slow.campaigns FOR EACH ROW EXECUTE FUNCTION gate();
END
my $gate = session($node, 'load');
$gate->query_safe('SELECT pg_advisory_lock(7)');
my $slow = add_campaign($node, 'load', 'awaiting', schema => 'slow', contacts => 3);
step_clock(-19980);
worker_pid($node, 'load', "wait_event_type = 'Lock' AND wait_event = 'advisory'");
step_clock(0);
$gate->query_safe('SELECT pg_advisory_unlock(7)');
my $statistics = "SELECT sent_count || ' ' || delivered_count FROM slow.campaigns";
ok($node->poll_query_until('load', $statistics, '3 0'), 'statistics are written, and the clock is set meanwhile');
$node->safe_psql('load', "UPDATE slow.messages SET status = 'delivered'");
step_clock(20);
ok($node->poll_query_until('load', $statistics, '3 3'), '... and again after the next change');
$gate->quit;

$node->stop;
done_testing();
