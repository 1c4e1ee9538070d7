# The disk that has the database is full, while an application writes and
# campaigns expire; and has room again.
#
# psql alone cannot show it: it takes a disk that is small enough to be filled.
# test/run mounts one where it may, and names its directory.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use UnderLoad;
use File::Path qw(rmtree);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $disk = $ENV{CAMPAIGN_SMALL_DISK};
plan skip_all => 'CAMPAIGN_SMALL_DISK names no small disk: test/run mounts one where it runs as root'
  unless defined $disk && -d $disk && -w $disk;

my $node = loaded_node('main');
$node->start;
mkdir "$disk/tablespace" or die "cannot make a directory in $disk: $!";
$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$disk/tablespace'");
$node->safe_psql('postgres', 'CREATE DATABASE load TABLESPACE small');
under_load($node);
start_load($node);

# Takes all the room that there is.
sub fill_disk
{
	my $block = "\0" x 65536;

	open my $file, '>', "$disk/ballast" or die "cannot write in $disk: $!";
	$file->autoflush(1);
	1 while print {$file} $block;
	$block = "\0" x 512;
	1 while print {$file} $block;
	close $file;
	return;
}

for my $round (1 .. rounds(2))
{
	# A worker to which a source has just failed leaves that alone for a minute;
	# one that comes anew does not.
	enable_worker($node, $_) for 'off', 'on';
	my $before = log_end($node);

	# They expire when there is no room to mark them.
	add_bulk($node, 2);
	passes_on(1);
	fill_disk();
	logged($node, qr/client backend ERROR:  53100: /, $before, "round $round: the application finds the disk full");
	logged($node, qr/campaign_autoclose worker (?:ERROR|WARNING):  53100: /, $before, '... and so does the worker');
	passes_on(1);
	unlink "$disk/ballast" or die "cannot remove $disk/ballast: $!";
	my $last = $node->safe_psql('load', 'SELECT coalesce(max(id), 0) FROM campaign_event');
	eventually($node, 'load', "SELECT count(*) > 0 FROM campaign_event WHERE id > $last AND event = 'closed'",
		'... with room again, campaigns are closed');
}

holds($node, 'full disk', 10, '53100');

$node->stop;
rmtree("$disk/tablespace");
done_testing();
