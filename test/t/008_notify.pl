# Whoever listens on channel campaign_autoclose is told what the worker did, by
# ids alone.
#
# psql alone cannot show it: one session listens while the worker, another
# process, closes a campaign.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main');
$node->start;
create_source($node, 'shop');
every_second($node, 'shop', 'public', 'sending', 'expired');

my $listener = session($node, 'shop');
$listener->query_safe('LISTEN campaign_autoclose');

# The payloads of the next $count notifications, decoded.
sub heard
{
	my ($count) = @_;
	my @payloads;

	for (1 .. 300)
	{
		my $output = $listener->query_safe('SELECT FROM pg_sleep(0.1)');
		push @payloads, map { decode_json($_) }
		  $output =~ /notification "campaign_autoclose" with payload "(.*)" received from server process/g;
		last if @payloads >= $count;
	}
	return @payloads;
}

my $campaign = add_campaign($node, 'shop', 'complete');
my @heard = heard(1);
is(scalar @heard, 1, 'one notification arrives');
is_deeply($heard[0],
	{ event_id => int($node->safe_psql('shop', 'SELECT id FROM campaign_event')), campaign_id => $campaign },
	'with the ids of the event and its campaign, and nothing else');
is(status_of($node, 'shop', $campaign), 'completed', 'the campaign is closed by then');

$campaign = add_campaign($node, 'shop', 'expired', contacts => 3);
@heard = heard(2);
is($node->safe_psql('shop', "SELECT string_agg(event, ' ' ORDER BY id) FROM campaign_event WHERE id IN ("
		. join(', ', map { $_->{event_id} } @heard) . ')'),
	'expired closed', 'each event is one notification');
is("$heard[0]{campaign_id} $heard[1]{campaign_id}", "$campaign $campaign", 'of its campaign');

# Shadow events are told to nobody.

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'shadow')");
$campaign = add_campaign($node, 'shop', 'complete');
eventually($node, 'shop', "SELECT count(*) = 1 FROM campaign_event WHERE campaign_id = '$campaign' AND shadow",
	'in shadow mode the event is recorded');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'active')");
@heard = heard(1);
is($node->safe_psql('shop', "SELECT shadow FROM campaign_event WHERE id = $heard[0]{event_id}"), 'f',
	'but the first notification is that of the real one');

$listener->quit;
$node->stop;
done_testing();
