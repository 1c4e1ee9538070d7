# Worker and launcher are killed, and the server is shut down at once, again and
# again, in the middle of sweeps and of what an application writes.
#
# psql alone cannot show it: its server would be gone.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use UnderLoad;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = loaded_node('main');
$node->start;
under_load($node);
start_load($node);

# kill -9, after which the postmaster restarts everything.
sub strike
{
	my ($what, $find) = @_;
	my $before = log_end($node);
	my ($pid) = $find->();

	ok(defined $pid && kill(9, $pid) == 1, "kill -9 of the $what");
	logged($node, qr/database system is ready to accept connections/, $before, '... and the server restarts');
	like(log_since($node, $before), qr/campaign_autoclose $what.* was terminated by signal 9/, '... since that crashed');
	return;
}

for my $round (1 .. rounds(4))
{
	add_bulk($node) if $round % 2;
	strike('worker', sub { in_mid_sweep($node) });
}

for (1 .. rounds(2))
{
	passes_on(0.3);
	strike('launcher', sub {
		in_mid_sweep($node);
		return $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'campaign_autoclose launcher'});
	});
}

for my $round (1 .. rounds(3))
{
	add_bulk($node) if $round % 2;
	ok(scalar in_mid_sweep($node), 'a worker is in mid-sweep');
	$node->stop('immediate');
	$node->start;
}

passes_on(1);
holds($node, 'killed', 20);

$node->stop;
done_testing();
