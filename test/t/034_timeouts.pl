# Whoever works on a source is stopped in the middle of it: callers by their
# statement_timeout and lock_timeout, the worker by pg_cancel_backend(); while
# others hold the rows that it wants, or judge the same campaigns, and an
# application writes.
#
# psql alone cannot show it: it takes several sessions that do not wait for each
# other.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use UnderLoad;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = loaded_node('main');
$node->start;
under_load($node);
start_load($node);

my $seed = $ENV{CAMPAIGN_SEED} // int(rand(1e9));
note("CAMPAIGN_SEED=$seed");
srand($seed);

sub one_of { return $_[ int(rand(@_)) ] }

# Each a session that goes on after an error.
my %statements = (
	callers => sub {
		my $call = one_of(
			'CALL campaign_run_sweeps(force => true)', 'CALL campaign_run_sweeps(\'shop\', true)', 'CALL campaign_run_sweeps(\'bulk\', true)',
			'SELECT campaign_check_expired_interactions(\'shop\')', 'SELECT campaign_check_sending(\'shop\')',
			'SELECT campaign_check_timeout(\'shop\')', 'SELECT campaign_recover_interrupted(\'shop\')',
			('SELECT campaign_update_status(id, \'shop\') FROM shop.campaigns WHERE status = \'sending\' LIMIT 5') x 4);
		return sprintf "SET statement_timeout = %d;\nSET lock_timeout = %d;\n%s;\n", 1 + rand(80), 1 + rand(20), $call;
	},
	# rows of campaigns, and of messages
	holders => sub {
		my $rows = one_of(('shop.campaigns WHERE status = \'sending\'') x 3, 'shop.messages WHERE status = \'pending\'', 'bulk.campaigns WHERE status = \'sending\'',
			'bulk.messages WHERE status = \'read\'');
		return sprintf "BEGIN;\nSELECT count(*) FROM (SELECT FROM %s LIMIT 20 FOR UPDATE SKIP LOCKED) AS held;\nSELECT pg_sleep(%.3f);\nCOMMIT;\n", $rows, rand(0.15);
	},
	# all that are open, each in a transaction of its own
	judges => sub {
		return "SELECT format('SELECT campaign_update_status(%L::uuid, %L)', id, 'shop') FROM shop.campaigns WHERE status = 'sending' \\gexec\n";
	},
	cancellers => sub {
		return sprintf "SELECT pg_sleep(%.3f);\nSELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'campaign_autoclose worker';\n", rand(0.2);
	});

for my $round (1 .. rounds(2))
{
	my $before = log_end($node);
	my @sessions;

	add_bulk($node, $_) for 0, 2;
	for my $kind ('callers', 'callers', 'judges', 'judges', 'holders', 'holders', 'cancellers')
	{
		my $script = join '', map { $statements{$kind}->() } 1 .. { callers => 60, judges => 12, holders => 40, cancellers => 20 }->{$kind};
		push @sessions, IPC::Run::start([ 'psql', '-XAtq', $node->connstr('load') ], '<', \$script, '>', '/dev/null', '2>', '/dev/null');
	}
	ok($_->finish || 1, "round $round: a session is through") for @sessions;

	my $log = log_since($node, $before);
	my %times = map { my $code = $_; $code => scalar(() = $log =~ /ERROR:  $code: /g) } qw(57014 55P03);
	cmp_ok($times{'57014'}, '>', 10, "... $times{'57014'} statements were cancelled");
	cmp_ok($times{'55P03'}, '>', 0, "... $times{'55P03'} did not get their locks");
	my $cancelled = () = $log =~ /campaign_autoclose worker ERROR:  57014: /g;
	cmp_ok($cancelled, '>', 0, "... the worker was cancelled, $cancelled times");
}

holds($node, 'timeouts', 20, '55P03');

$node->stop;
done_testing();
