# monitoring/postgres_exporter.yml: the real exporter serves what it says.
#
# psql alone cannot show it: it takes the exporter, and its page of metrics.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use HTTP::Tiny;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($exporter) = grep { -x } map { ("$_/prometheus-postgres-exporter", "$_/postgres_exporter") }
  split(/:/, $ENV{PATH}), '/usr/bin', '/usr/local/bin';
plan skip_all => 'postgres_exporter is not installed' unless $exporter;

my $queries = "$FindBin::Bin/../../monitoring/postgres_exporter.yml";
my $node = preloaded_node('main');
$node->start;
create_source($node, 'shop');
create_source($node, 'shop', 'tenant');
every_second($node, 'shop', 'public', 'sending', 'expired');
# the role of the document
$node->safe_psql('shop', 'CREATE ROLE campaign_monitor LOGIN BYPASSRLS IN ROLE pg_read_all_stats');

my $port = PostgreSQL::Test::Cluster::get_free_port();
my ($out, $err) = ('', '');
local $ENV{DATA_SOURCE_NAME} = sprintf('host=%s port=%d user=campaign_monitor dbname=shop sslmode=disable', $node->host, $node->port);
my $process = IPC::Run::start(
	[ $exporter, "--extend.query-path=$queries", "--web.listen-address=127.0.0.1:$port",
		'--disable-default-metrics', '--disable-settings-metrics' ],
	'<', \undef, '>', \$out, '2>', \$err);

# The samples of the page, by name with labels.
sub samples
{
	my %sample;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $response = HTTP::Tiny->new(timeout => 5)->get("http://127.0.0.1:$port/metrics");
		if ($response->{success})
		{
			for (split /\n/, $response->{content})
			{
				next unless /^(campaign_autoclose\w*|pg_exporter_\w+)\{?([^}]*)\}? (\S+)$/;
				my ($name, $labels, $value) = ($1, $2, $3);
				my $which = join ',', sort grep { !/^server=/ } $labels =~ /\w+="[^"]*"/g;
				$sample{ $which eq '' ? $name : "$name\{$which\}" } = $value;
			}
			return \%sample if exists $sample{'campaign_autoclose_sweeps_total'};
		}
		$process->pump_nb;
		Time::HiRes::usleep(100_000);
	}
	diag($err);
	return \%sample;
}

sub wait_for_sample
{
	my ($name, $value, $test) = @_;
	my $samples;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$samples = samples();
		last if ($samples->{$name} // '') eq $value;
		Time::HiRes::usleep(100_000);
	}
	return is($samples->{$name}, $value, $test);
}

my $first = samples();
is($first->{pg_exporter_last_scrape_error}, '0', 'the exporter takes the queries');
is($first->{"campaign_autoclose_${_}_total"} // 'missing', '0', "$_ is counted, from 0 on")
  for qw(campaigns_closed campaigns_reopened campaigns_stalled messages_marked errors hints_dropped);
like($first->{campaign_autoclose_hints_waiting} // 'missing', qr/^\d+$/, 'hints waiting are shown');
like($first->{campaign_autoclose_hints_served_total} // 'missing', qr/^\d+$/, 'hints served are shown');
is_deeply([ sort map { /source="(\w+)"/ } grep { /^campaign_autoclose_source_active\{/ } keys %$first ],
	[ 'public', 'tenant' ], 'each source has its own');
is($first->{"campaign_autoclose_source_$_\{datname=\"shop\",source=\"tenant\"}"} // 'missing', '0', "source: $_")
  for qw(failing_campaigns skipped_campaigns blackout failing_sweeps);
is($first->{'campaign_autoclose_source_active{datname="shop",source="tenant"}'}, '1', 'source: active');

# What the worker does is seen there.

add_campaign($node, 'shop', 'expired', contacts => 3);
wait_for_sample('campaign_autoclose_messages_marked_total', '3', 'the messages that the worker marks are counted');
wait_for_sample('campaign_autoclose_campaigns_closed_total', '1', 'and the campaigns that it closes');
add_campaign($node, 'shop', 'awaiting') for 1 .. 2;
wait_for_sample('campaign_autoclose_source_open_campaigns{datname="shop",source="public"}', '2',
	'open campaigns are shown');

my $checks = samples();
is_deeply([ sort map { /check="([\w ]+)"/ } grep { /^campaign_autoclose_check_ok\{/ } keys %$checks ],
	[ sort split /\n/, $node->safe_psql('shop', 'SELECT check_name FROM campaign_health()') ],
	'each check of campaign_health() is there');
is($checks->{'campaign_autoclose_check_ok{check="mode",datname="shop"}'}, '1', 'one that is green is 1');
$node->safe_psql('shop', "SELECT FROM campaign_alter('tenant', 'mode', 'paused')");
wait_for_sample('campaign_autoclose_check_ok{check="mode",datname="shop"}', '0', 'one that turns red is 0');
wait_for_sample('campaign_autoclose_source_active{datname="shop",source="tenant"}', '0', 'so is a source that does not act');

$process->kill_kill;
$node->stop;
done_testing();
