# demo/listen.py: a client in Python is told of what the worker does.
#
# psql alone cannot show it: it takes Python, and psycopg2.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($python) = grep { -x && system("'$_' -c 'import psycopg2' 2>/dev/null") == 0 }
  '/usr/bin/python3', map { "$_/python3" } split /:/, $ENV{PATH};
plan skip_all => 'psycopg2 is not installed' unless $python;

my $node = preloaded_node('main');
$node->start;
create_source($node, 'shop');
every_second($node, 'shop', 'public', 'sending', 'expired');

my $patience = $PostgreSQL::Test::Utils::timeout_default;
my $dsn = sprintf('host=%s port=%d dbname=shop', $node->host, $node->port);

sub listen_to
{
	my ($out, @arguments) = @_;
	my $err = '';
	my $client = IPC::Run::start([ $python, "$FindBin::Bin/../../demo/listen.py", @arguments, $dsn ],
		'<', \undef, '>', $out, '2>', \$err, IPC::Run::timeout(2 * $patience));

	$client->pump until $$out =~ /^listening\n/ || !$client->pumpable;
	return $client;
}

my $out = '';
my $client = listen_to(\$out, '--events', 3, '--timeout', $patience);
my $complete = add_campaign($node, 'shop', 'complete');
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$complete'", 'the worker closes a campaign');
my $expired = add_campaign($node, 'shop', 'expired');
ok($client->finish, 'the client leaves after three events');
my @told = (
	"campaign $complete closed sending -> completed: every contact's cycle has ended",
	"campaign $expired expired: Pas d'interaction dans les 24h",
	"campaign $expired closed sending -> completed: every contact's cycle has ended");
$out =~ s/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d //mg;
is($out, join("\n", 'listening', @told, ''), 'it was told of each, once, in order');

# What was missed.

my $since = $node->safe_psql('shop', "SELECT min(id) FROM campaign_event");
$out = '';
$client = listen_to(\$out, '--since', $since, '--events', 2, '--timeout', $patience);
ok($client->finish, 'what happened meanwhile is told at once');
is(() = $out =~ /campaign $expired /g, 2, 'all of it');
unlike($out, qr/campaign $complete /, 'and nothing before');

$out = '';
$client = listen_to(\$out, '--events', 1, '--timeout', 1);
ok(!$client->finish, 'where nothing happens it gives up');
is($out, "listening\n", 'and has told nothing');

$node->stop;
done_testing();
