# The statistics of open campaigns follow their messages within seconds, while
# these keep changing too; those of a campaign that has closed are kept right;
# and a hint that was lost in a crash costs time alone.
#
# psql alone cannot show it: statistics of open campaigns are the worker's to
# count, by its own clock.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

# "At most 10 seconds behind", and what a busy machine adds to that.
my $behind = 10 + 10;

my $node = preloaded_node('main');
$node->start;
create_source($node, 'shop');
set_every('1 hour');

sub set_every
{
	my ($value) = @_;
	$node->safe_psql('shop', join ' ', map { "SELECT FROM campaign_alter('public', '${_}_every', '$value');" }
		qw(expired timeout sending interrupted));
}

# No sweep is due for an hour: what follows is not their doing.
eventually($node, 'shop', "SELECT count(*) = 4 FROM campaign_sweep_run WHERE finished_at IS NOT NULL", 'every sweep has run');

# Change the messages of a campaign that meet a condition.
sub update_messages
{
	my ($campaign, $status, $where) = @_;
	$node->safe_psql('shop', "UPDATE messages SET status = '$status' WHERE campaign_id = '$campaign' AND $where");
}

my $statistics = q{concat_ws(' ', sent_count, success_count, delivered_count, read_count, failed_count, no_interaction_count, pending_count)};

# Statistics: sent, success, delivered, read, failed, no_interaction, pending.
sub statistics_of
{
	my ($campaign) = @_;
	return $node->safe_psql('shop', "SELECT $statistics FROM campaigns WHERE id = '$campaign'");
}

# They become that, and not too late.
sub follows
{
	my ($campaign, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $since = time;
	eventually($node, 'shop', "SELECT $statistics = '$expected' FROM campaigns WHERE id = '$campaign'", $name)
	  or diag(statistics_of($campaign) . " instead of $expected");
	my $took = time - $since;
	cmp_ok($took, '<', $behind, '... in time');
	note("after $took s");
}

sub sweeps
{
	return $node->safe_psql('shop', 'SELECT sum(runs) FROM campaign_sweep_run');
}

# An open campaign that stays open.

my $sweeps = sweeps();
my $campaign = add_campaign($node, 'shop', 'awaiting', contacts => 300);
follows($campaign, '300 300 0 300 0 0 0', 'a new campaign is counted');
update_messages($campaign, 'failed', "id IN (SELECT id FROM messages WHERE campaign_id = '$campaign' ORDER BY contact_id LIMIT 100)");
follows($campaign, '200 200 0 200 100 0 0', 'its messages change, as if to complete it');
$node->safe_psql('shop', "INSERT INTO messages (campaign_id, contact_id, message_type)
	SELECT campaign_id, contact_id, 'message_2' FROM messages WHERE campaign_id = '$campaign' AND status = 'read' ORDER BY contact_id LIMIT 50;
	DELETE FROM messages WHERE campaign_id = '$campaign' AND status = 'failed'");
follows($campaign, '200 200 0 200 0 0 50', 'messages are added, and deleted');
is(status_of($node, 'shop', $campaign), 'sending', 'it is open all the while');
is(events_of($node, 'shop', $campaign), '', 'without an event');

# While changes never cease.

my %seen;
my $last = 0;
my $changed = 0;
my $since = time;
while (keys %seen < 3 && $changed < 150 && time - $since < 3 * $behind)
{
	$changed++;
	update_messages($campaign, 'delivered', "id = (SELECT id FROM messages WHERE campaign_id = '$campaign' AND status = 'read' LIMIT 1)");
	$last = $node->safe_psql('shop', "SELECT delivered_count FROM campaigns WHERE id = '$campaign'");
	$seen{$last} = 1;
	sleep 0.25;
}
cmp_ok($last, '>', 0, 'while messages keep changing, it is counted');
cmp_ok(scalar keys %seen, '>=', 3, '... again and again');
note("seen in $changed changes: " . join ' ', sort { $a <=> $b } keys %seen);
follows($campaign, join(' ', 200, 200, $changed, 200 - $changed, 0, 0, 50), 'and in the end they are right');

# Several at a time; and one that is not open.

my $other = add_campaign($node, 'shop', 'awaiting', contacts => 200);
my $paused = add_campaign($node, 'shop', 'awaiting', contacts => 10);
$node->safe_psql('shop', "UPDATE campaigns SET status = 'paused' WHERE id = '$paused'");
update_messages($campaign, 'read', "status = 'delivered'");
follows($other, '200 200 0 200 0 0 0', 'so are those of another campaign');
follows($campaign, '200 200 0 200 0 0 50', 'at the same time');
is(statistics_of($paused), '0 0 0 0 0 0 0', 'but not of one that is paused');

# Closed, and then a callback.

my $closed = add_campaign($node, 'shop', 'complete', contacts => 100);
my $reopened = add_campaign($node, 'shop', 'complete');
eventually($node, 'shop', "SELECT count(*) = 2 FROM campaigns WHERE status = 'completed'", 'two campaigns close');
my $closing = $node->safe_psql('shop', "SELECT status, completed_at FROM campaigns WHERE id = '$closed'");
is(statistics_of($closed), '200 200 0 100 0 0 0', 'with their final statistics');
update_messages($closed, 'failed', "message_type = 'message_2'");
follows($closed, '100 100 0 100 100 0 0', 'late callbacks are counted');
is($node->safe_psql('shop', "SELECT status, completed_at FROM campaigns WHERE id = '$closed'"), $closing,
	'status and completed_at are untouched');
is(events_of($node, 'shop', $closed), 'closed', 'and there is one event');
is(sweeps(), $sweeps, 'all this without a sweep');

# A crash.

update_messages($campaign, 'delivered', "status = 'read'");
update_messages($closed, 'delivered', "status = 'failed'");
$node->safe_psql('shop', "INSERT INTO messages (campaign_id) VALUES ('$reopened')");
$node->stop('immediate');
$node->start;
is($node->safe_psql('shop', "SELECT hints_waiting FROM campaign_worker WHERE process = 'launcher'"), '0', 'a crash loses the hints');
is(statistics_of($campaign), '200 200 0 200 0 0 50', 'before what they told of was counted');
is(status_of($node, 'shop', $reopened), 'completed', 'or opened again');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'sending_every', '1 s')");
follows($campaign, '200 200 200 0 0 0 50', 'the next sweep counts an open campaign');
follows($closed, '200 200 100 100 0 0 0', 'and one that has closed');
eventually($node, 'shop', "SELECT status = 'sending' FROM campaigns WHERE id = '$reopened'", 'and opens one again');

# Afterwards.

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'sending_every', '1 hour')");
update_messages($campaign, 'read', "status = 'delivered'");
follows($campaign, '200 200 0 200 0 0 50', 'then hints tell of changes again');

$node->stop;
done_testing();
