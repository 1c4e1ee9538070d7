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

# A campaign that has just ended, and whose row a session holds: whoever judges it
# waits for that session.  The application, which writes in any campaign, and the
# worker may have been faster than the session; then it is to be another one.
sub held_campaign
{
	my ($holder) = @_;

	for (1 .. 20)
	{
		my $id = $node->safe_psql('load', <<'END');
WITH campaign AS (
	INSERT INTO shop.campaigns (status, started_at) VALUES ('sending', clock_timestamp()) RETURNING id
)
INSERT INTO shop.messages (campaign_id, contact_id, message_type, status, sent_at)
SELECT id, lpad('99', 32, '0')::uuid, 'message_1', 'sent', clock_timestamp() + interval '1 hour' FROM campaign
RETURNING campaign_id
END
		my $status = $holder->query_safe("BEGIN; SELECT status FROM shop.campaigns WHERE id = '$id' FOR NO KEY UPDATE");
		if ($status eq 'sending')
		{
			$node->safe_psql('load', "UPDATE shop.messages SET status = 'failed' WHERE campaign_id = '$id'");
			return $id;
		}
		$holder->query_safe('ROLLBACK');
	}
	die 'every campaign is closed before it can be held';
}

# How often the worker was cancelled since then.
sub cancelled
{
	my ($since) = @_;
	return scalar(() = log_since($node, $since) =~ /campaign_autoclose worker ERROR:  57014: /g);
}

for my $round (1 .. rounds(2))
{
	my $before = log_end($node);
	my $holder = session($node, 'load');
	my @sessions;

	add_bulk($node, $_) for 0, 2;
	for my $kind ('callers', 'callers', 'judges', 'judges', 'holders', 'holders', 'cancellers')
	{
		my $script = join '', map { $statements{$kind}->() } 1 .. { callers => 60, judges => 12, holders => 40, cancellers => 20 }->{$kind};
		push @sessions, { kind => $kind, run => IPC::Run::start([ 'psql', '-XAtq', $node->connstr('load') ], '<', \$script, '>', '/dev/null', '2>', '/dev/null') };
	}

	# What becomes of those is chance; meanwhile, two waits that are none.
	my $campaign = held_campaign($holder);
	for my $limit ([ 'lock_timeout', 'lock timeout' ], [ 'statement_timeout', 'statement timeout' ])
	{
		my ($status, undef, $stderr) = $node->psql('load', "SET $limit->[0] = '50 ms'; SELECT campaign_update_status('$campaign', 'shop')");
		is($status, 3, "round $round: who judges a campaign that is held runs into $limit->[0]");
		like($stderr, qr/^(psql:\S+ )?ERROR:  canceling statement due to $limit->[1]$/m, '... and is told so');
	}
	is($holder->query_safe("SELECT status FROM shop.campaigns WHERE id = '$campaign'"), 'sending', '... with nothing done');
	$holder->query_safe('COMMIT');
	$holder->quit;
	for (1 .. 100)
	{
		my $pid = in_mid_sweep($node);
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)") if $pid;
		passes_on(0.1);
		last if cancelled($before);
	}
	cmp_ok(cancelled($before), '>', 0, '... the worker is cancelled in the middle of a sweep');

	ok($_->{run}->finish, "... a session of $_->{kind} is through") for @sessions;
	my %times;
	$times{$_}++ for log_since($node, $before) =~ /client backend (?:ERROR|FATAL):  (\w{5}): /g;
	note(sprintf 'round %d: %d statements and %d workers cancelled, %d locks not got', $round, $times{'57014'} // 0, cancelled($before), $times{'55P03'} // 0);
	is(join(' ', grep { $_ ne '57014' && $_ ne '55P03' } sort keys %times), '', '... and no session has met another error');
}

holds($node, 'timeouts', 20, '55P03');

$node->stop;
done_testing();
