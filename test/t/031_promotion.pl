# A primary is lost in mid-sweep, with an application writing, and its standby is
# promoted while sessions there ask for dry runs; again and again, each time with
# a new standby.  What the standby had not received is gone, on both sides of
# every invariant.
#
# psql alone cannot show it: it takes two servers, one of which follows the other.

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

my $primary = loaded_node('primary', undef, allows_streaming => 1);
$primary->start;
under_load($primary);

for my $round (1 .. rounds(2))
{
	my $standby = PostgreSQL::Test::Cluster->new("standby_$round");

	$primary->backup("backup_$round");
	$standby->init_from_backup($primary, "backup_$round", has_streaming => 1);
	$standby->start;
	start_load($primary);
	add_bulk($primary);
	passes_on(1.5);

	# Dry runs, until well after the promotion.
	my $script = $standby->basedir . '/dry_run.pgbench';
	append_to_file($script, "SELECT (campaign_check_sending(dry_run => true)).campaigns_closed, (campaign_check_expired_interactions(dry_run => true)).messages_marked;\n");
	my ($out, $err) = ('', '');
	my $reader = IPC::Run::start([ 'pgbench', '--no-vacuum', '--client=2', '--rate=40', '--time=2', "--file=$script", $standby->connstr('load') ],
		'>', \$out, '2>', \$err);

	ok(scalar in_mid_sweep($primary), "round $round: a worker of the primary is in mid-sweep");
	$primary->stop('immediate');
	stop_load();
	is($standby->safe_psql('load', 'SELECT pg_is_in_recovery()'), 't', '... and the primary is gone');
	$standby->promote;
	start_load($standby);
	eventually($standby, 'load', "SELECT count(*) > 0 FROM campaign_event WHERE event = 'closed' AND at > pg_postmaster_start_time()",
		'... the promoted one closes campaigns');
	ok($reader->finish, '... and no dry run has failed') or diag($err);
	passes_on(0.5);
	holds($standby, "promoted, round $round", 5);
	$primary = $standby;
}

$primary->stop;
done_testing();
