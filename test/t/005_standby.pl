# A standby: nothing runs there, nothing can be done there, but everything can be
# asked; and its promotion starts the worker.
#
# psql alone cannot show it: it takes two servers, one of which follows the other.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %sweeps = (
	expired => 'campaign_check_expired_interactions',
	timeout => 'campaign_check_timeout',
	sending => 'campaign_check_sending',
	interrupted => 'campaign_recover_interrupted');

# The primary's own workers leave the campaigns to the standby.
my $primary = preloaded_node('primary', 'campaign_autoclose.enabled = off', allows_streaming => 1);
$primary->start;
create_source($primary, 'shop');
my %campaigns = map { $_ => add_campaign($primary, 'shop', $_, contacts => 3) }
  qw(complete expired overdue awaiting);
$campaigns{closed} = add_campaign($primary, 'shop', 'awaiting', name => 'closed');
$primary->safe_psql('shop', "SELECT campaign_close('$campaigns{closed}'::uuid, 'stop')");
$primary->backup('backup');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'campaign_autoclose.enabled = on');
$standby->start;
$primary->safe_psql('shop', "UPDATE campaigns SET name = 'followed' WHERE id = '$campaigns{complete}'");
$primary->wait_for_catchup($standby);
is($standby->safe_psql('shop', "SELECT name FROM campaigns WHERE id = '$campaigns{complete}'"), 'followed',
	'the standby follows the primary');

# Nothing runs.

is($standby->safe_psql('shop', 'SELECT process, state, pid IS NULL FROM campaign_worker'), 'launcher|standby|t',
	'campaign_worker says that it is a standby');
is($standby->safe_psql('shop', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'campaign%'"), '0',
	'there is no process of ours');
unlike(log_since($standby, 0), qr/campaign_autoclose launcher started/, 'nor was there one');

# Nothing can be done.

my @acting = (
	"SELECT campaign_update_status('$campaigns{complete}'::uuid)",
	"SELECT campaign_close('$campaigns{awaiting}'::uuid, 'stop')",
	"SELECT campaign_reopen('$campaigns{closed}'::uuid, 'go on')",
	'CALL campaign_run_sweeps()',
	"SELECT campaign_alter('public', 'mode', 'paused')",
	'SELECT campaign_create_tables()',
	"SELECT campaign_attach('again', 'campaigns', 'messages')",
	"SELECT campaign_alter('public', 'labels', '{}')",
	"SELECT campaign_detach('public')",
	map { "SELECT $_()" } sort values %sweeps);
for my $statement (@acting)
{
	my ($status, undef, $stderr) = $standby->psql('shop', "\\set VERBOSITY verbose\n$statement");
	like($stderr, qr/ERROR:  25006: cannot execute campaign_\w+\(\) during recovery/, "refused: $statement");
	like($stderr, qr/HINT:  (?:Call it on the primary server|With dry_run => true)/, 'with a hint');
}

# Everything can be asked.  The clock's "now" must not come between the two.

my $as_of = $primary->safe_psql('shop', 'SELECT now()');
my %told;
for my $sweep (sort keys %sweeps)
{
	$told{$sweep} = $standby->safe_psql('shop', "SELECT * FROM $sweeps{$sweep}('public', '$as_of', true)");
	is($told{$sweep}, $primary->safe_psql('shop', "SELECT * FROM $sweeps{$sweep}('public', '$as_of', true)"),
		"a dry run of sweep $sweep tells the same as on the primary");
}
is($told{expired}, 'expired|4|1|1|0|0|3|3', 'the dry run of sweep expired tells what is due');
is($told{timeout}, 'timeout|4|1|1|0|0|3|3', 'so does that of sweep timeout');
is($told{sending}, 'sending|4|4|1|0|0|0|0', 'so does that of sweep sending');
is($told{interrupted}, 'interrupted|4|3|1|1|0|0|0', 'so does that of sweep interrupted');
is($standby->safe_psql('shop', "SELECT sweep, campaigns_closed FROM campaign_check_sending(dry_run => true)"),
	'sending|1', 'the moment and the source need not be named');
my $preview = "SELECT c.name, p.sweep, p.what, p.count, p.status_to FROM campaign_preview('public', '$as_of') WITH ORDINALITY AS p
	JOIN campaigns AS c ON c.id::text = p.campaign_id ORDER BY c.name, p.ordinality";
is($standby->safe_psql('shop', $preview),
	join("\n", 'expired|expired|messages|3|no_interaction', 'expired|expired|campaign||completed',
		'followed|sending|campaign||completed', 'overdue|timeout|messages|3|failed', 'overdue|timeout|campaign||failed'),
	'a preview tells all of it');
is($standby->safe_psql('shop', $preview), $primary->safe_psql('shop', $preview), 'the same as on the primary');
is($standby->safe_psql('shop', 'SELECT (SELECT count(*) FROM campaign_event) + (SELECT count(*) FROM campaign_sweep_run)'), '1',
	'and nothing is recorded but what was done by hand');

for my $asked (
	(map { "SELECT * FROM campaign_explain('$campaigns{$_}'::uuid, as_of => '$as_of')" } sort keys %campaigns),
	"SELECT * FROM campaign_verify('$campaigns{closed}'::uuid)")
{
	my $told = $standby->safe_psql('shop', $asked);
	isnt($told, '', "answered: $asked");
	is($told, $primary->safe_psql('shop', $asked), 'as on the primary');
}
like($standby->safe_psql('shop', "SELECT detail FROM campaign_explain('$campaigns{closed}'::uuid) WHERE condition = 'closed by'"),
	qr/^hand of ".*" at .*: stop$/, 'what was done by hand on the primary is known');
my %reports = (
	campaign_progress => "campaign_progress('public', '$as_of')",
	campaign_overdue => "campaign_overdue('public', '$as_of')",
	campaign_sweep_status => "campaign_sweep_status('public', '$as_of')",
	campaign_preflight => "campaign_preflight('public')",
	campaign_shadow_report => "(SELECT count(*) FROM campaign_shadow_report('public')) AS report",
	campaign_metrics => "(SELECT source, active, open_campaigns, blackout FROM campaign_metrics) AS metrics",
	campaign_outcomes => "campaign_outcomes('$campaigns{expired}'::uuid, as_of => '$as_of')",
	campaign_funnel => "campaign_funnel('$campaigns{expired}'::uuid)");
for my $report (sort keys %reports)
{
	my $rows = $standby->safe_psql('shop', "SELECT * FROM $reports{$report}");
	isnt($rows, '', "$report works there");
	is($rows, $primary->safe_psql('shop', "SELECT * FROM $reports{$report}"), 'and tells the same as on the primary');
}

# Promotion.

$standby->promote;
eventually($standby, 'shop', "SELECT state = 'running' FROM campaign_worker WHERE process = 'launcher'",
	'promotion starts the launcher');
eventually($standby, 'shop', "SELECT status = 'failed' FROM campaigns WHERE id = '$campaigns{overdue}'",
	'and the overdue campaign is closed');
eventually($standby, 'shop', 'SELECT count(*) = 4 FROM campaign_sweep_run WHERE finished_at IS NOT NULL',
	'each sweep is run');
is($standby->safe_psql('shop', q{SELECT c.name, e.event, e.status_to FROM campaign_event AS e
	JOIN campaigns AS c ON c.id::text = e.campaign_id WHERE c.name <> 'closed' ORDER BY c.name, e.id}),
	join("\n", 'expired|expired|sending', 'expired|closed|completed', 'followed|closed|completed', 'overdue|closed|failed'),
	'and does what it told');
is($primary->safe_psql('shop', "SELECT count(*) FROM campaigns WHERE status = 'sending'"), '4',
	'nothing happened on the primary');

$standby->stop;
$primary->stop;
done_testing();
