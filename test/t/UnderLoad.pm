# What the tests under load share: a database in which an application writes
# all the time, what may be done to it meanwhile, and what must hold afterwards.
#
# There are two sources.  The application works in "shop"
# (test/include/application.sql), whose every change is in a journal
# (test/include/journal.sql), and whose intervals are seconds, so that campaigns
# begin, end and are opened again while the test runs.  In "bulk" campaigns of
# thousands of contacts expire, without triggers, so that they are marked in
# batches and in passes.  Both are judged by test/include/invariants.sql.
#
# CAMPAIGN_EFFORT multiplies what the tests do by default.

package UnderLoad;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use IPC::Run;
use CampaignTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  rounds loaded_node under_load start_load stop_load bulk_campaigns add_bulk in_mid_sweep enable_worker passes_on holds
);

my $effort = $ENV{CAMPAIGN_EFFORT} || 1;
die "CAMPAIGN_EFFORT is not a number from 0.1 to 10000\n"
  unless $effort =~ /^\d+(\.\d+)?$/ && $effort >= 0.1 && $effort <= 10000;

my $include = "$FindBin::Bin/../include";

# The running application, if any.
my $load;

# rounds(NUMBER): how often something is done that is done so often by default.
sub rounds
{
	my ($number) = @_;
	my $rounds = int($number * $effort + 0.5);
	return $rounds < 1 ? 1 : $rounds;
}

# Like preloaded_node(), with a log that tells SQLSTATEs, and who is speaking.
sub loaded_node
{
	my ($name, $conf, %params) = @_;
	return preloaded_node($name, "log_error_verbosity = verbose\nlog_line_prefix = '%m [%p] %b '\n" . ($conf // ''), %params);
}

# Makes the database "load" with both sources.  With a drag, each change of a
# campaign takes a while, so that a sweep can be struck.
sub under_load
{
	my ($node, %params) = @_;
	my $drag = $params{drag} // 0.004;
	my %settings = (
		interaction_timeout => '2 s', campaign_timeout => '5 s', stall_after => '1 s', check_delay => '300 ms',
		expired_every => '700 ms', timeout_every => '1 s', sending_every => '500 ms', interrupted_every => '900 ms',
		batch_size => 7);

	create_source($node, 'load', $_) for qw(shop bulk);
	$node->safe_psql('load', join "\n",
		'SET search_path = shop, public;',
		slurp_file("$include/journal.sql"), slurp_file("$include/application.sql"),
		map({ "SELECT FROM campaign_alter('shop', '$_', '$settings{$_}');" } sort keys %settings),
		"SELECT FROM campaign_alter('bulk', 'expired_every', '500 ms');",
		"SELECT FROM campaign_alter('bulk', 'batch_size', '2000');",
		$drag > 0 ? "CREATE FUNCTION proof.drag() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep($drag); RETURN NEW; END';
			CREATE TRIGGER drag BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION proof.drag();" : '',
		"INSERT INTO bulk.contacts (id, full_number) SELECT lpad(n::text, 32, '0')::uuid, n FROM generate_series(1, 5000) AS n;");
	return;
}

# Makes campaigns in "bulk" whose contacts have been silent for 24 hours in so
# many seconds: one that is marked in passes, one in batches.
sub bulk_campaigns
{
	my ($seconds) = @_;

	return <<"END";
WITH size (contacts) AS (
	VALUES (1200), (5000)
), campaign AS (
	INSERT INTO bulk.campaigns (status, started_at, total_recipients)
	SELECT 'sending', now() - interval '26 hours', contacts FROM size RETURNING id, total_recipients
)
INSERT INTO bulk.messages (campaign_id, contact_id, message_type, status, sent_at)
SELECT c.id, lpad(n::text, 32, '0')::uuid, 'message_1', 'read', now() - interval '24 hours' + interval '$seconds s'
FROM campaign AS c, generate_series(1, c.total_recipients) AS n
END
}

sub add_bulk
{
	my ($node, $seconds) = @_;
	$node->safe_psql('load', bulk_campaigns($seconds // 0));
	return;
}

# Starts the application.  Whatever ends its sessions, it comes back.
sub start_load
{
	my ($node, %params) = @_;
	my $directory = $node->basedir;
	my $script = "$directory/application.pgbench";

	unlink "$directory/stop", $script;
	append_to_file($script, "\\set choice random(0, 99)\nSELECT proof.application(:choice);\n");
	$load = { stop => "$directory/stop", started => time };
	$load->{run} = IPC::Run::start([ 'sh', '-c',
			'stop=$1; log=$2; shift 2; while [ ! -e "$stop" ]; do "$@" >>"$log" 2>&1; sleep 0.05; done', 'sh',
			$load->{stop}, "$directory/application.log",
			'pgbench', '--no-vacuum', '--client=' . ($params{clients} // 3), '--rate=' . ($params{rate} // 250), '--time=1',
			"--file=$script", $node->connstr('load') ]);
	return;
}

# It ends within a second or two.
sub stop_load
{
	return unless $load;
	append_to_file($load->{stop}, '');
	$load->{run}->finish;
	undef $load;
	return;
}

# Waits until a worker is in the middle of a sweep of either source; returns its
# process, or nothing if none was found there.
sub in_mid_sweep
{
	my ($node) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	while (time < $deadline)
	{
		my $pid;
		my ($status) = $node->psql('load', q{SELECT pid FROM campaign_worker
			WHERE process = 'worker' AND state = 'running' AND sweep IS NOT NULL AND campaigns_total > 0 LIMIT 1},
			stdout => \$pid, stderr => \my $stderr);
		return $pid if $status == 0 && $pid ne '';
	}
	return;
}

# Lets the application and the worker pass on undisturbed for so many seconds.
sub passes_on
{
	my ($seconds) = @_;
	sleep $seconds;
	return;
}

sub violations
{
	my ($node, $source) = @_;
	return $node->safe_psql('load', "SET search_path = $source, public;\n" . slurp_file("$include/invariants.sql"));
}

# Lets the launcher start workers, or not, and then waits until there is none.
sub enable_worker
{
	my ($node, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET campaign_autoclose.enabled = $value");
	$node->reload;
	$value eq 'on' or $node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'campaign_autoclose worker'})
	  or die 'the worker does not leave';
	return;
}

# holds(NODE, WHAT, least number of closings, SQLSTATE...): the application stops,
# what had failed is tried again, and everything that must hold does: first with
# campaigns that are still open, then when the application has done what it had
# left, and all have come to their end.  The errors of campaigns were those that
# are named, or that one took longer than it may (57014), as on a slow machine.
sub holds
{
	my ($node, $what, $least, @codes) = @_;
	my $allowed = join ', ', map { "'$_'" } '57014', @codes;
	my $log = slurp_file($node->logfile);
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	stop_load();
	enable_worker($node, 'off');
	$node->safe_psql('load', <<'END');
UPDATE campaign_retry SET retry_at = now() - interval '1 s' WHERE retry_at > now();
CALL campaign_run_sweeps(force => true);
END
	# that goes by witnesses; this counts
	is($node->safe_psql('load', q{SELECT sum((campaign_check_sending(s)).campaigns_closed) FROM unnest(ARRAY['shop', 'bulk']) AS s}),
		'0', "$what: the sweeps have left nothing to close");
	is(violations($node, $_), '', "$what: every invariant holds in $_") for qw(shop bulk);

	$node->safe_psql('load', <<'END');
SELECT proof.finish();
CALL campaign_run_sweeps(force => true);
SELECT campaign_check_expired_interactions(s, now() + interval '1 day'), campaign_check_sending(s, now() + interval '1 day'),
	campaign_check_timeout(s, now() + interval '1 day'), campaign_check_sending(s, now() + interval '1 day')
FROM unnest(ARRAY['shop', 'bulk']) AS s;
END
	is($node->safe_psql('load', q{SELECT count(*) FROM (TABLE shop.campaigns UNION ALL TABLE bulk.campaigns) AS c WHERE status NOT IN ('completed', 'failed')}),
		'0', "$what: every campaign comes to its end");
	is(violations($node, $_), '', "$what: and every invariant holds still in $_") for qw(shop bulk);

	my ($closed, $numbers) = split /\|/, $node->safe_psql('load', <<'END');
SELECT count(*) FILTER (WHERE event = 'closed'), format('%s closed, %s by time; %s reopened, %s marked in %s transactions, %s stalled, %s errors; %s changes by the application',
	count(*) FILTER (WHERE event = 'closed'), count(*) FILTER (WHERE event = 'closed' AND details ->> 'sweep' = 'timeout'),
	count(*) FILTER (WHERE event = 'reopened'), sum((details ->> 'messages')::bigint) FILTER (WHERE event = 'expired'),
	count(*) FILTER (WHERE event = 'expired'), count(*) FILTER (WHERE event = 'stalled'),
	count(*) FILTER (WHERE event = 'error'), (SELECT count(*) FROM proof.moment))
FROM campaign_event WHERE NOT shadow
END
	note("$what: $numbers");
	cmp_ok($closed, '>=', $least, "$what: it was under load: $numbers");
	is($node->safe_psql('load', qq{SELECT DISTINCT details ->> 'sqlstate', reason FROM campaign_event
		WHERE event = 'error' AND details ->> 'sqlstate' NOT IN ($allowed)}), '', "$what: no campaign was in another error");
	enable_worker($node, 'on');
	unlike($log, qr/PANIC: |TRAP: |deadlock detected|(?:ERROR|WARNING|FATAL):  XX/, "$what: no panic, deadlock or internal error");
	return;
}

END
{
	# the exit status is the test's
	local $?;
	eval { stop_load() };
}

1;
