# Crashes: of the worker in the middle of a campaign, of the server, and what a
# restart finds due.  Whatever happens, a campaign is closed once.
#
# psql alone cannot show it: its server would be gone.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main');
$node->start;
create_source($node, 'shop');
every_second($node, 'shop', 'public', 'sending');

# A trigger of the application's that waits while the gate is closed.  It is
# held closed by a prepared transaction, which survives a crash.
$node->safe_psql('shop', <<'END');
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NEW;
END $$;
CREATE TRIGGER gate AFTER UPDATE ON campaigns FOR EACH ROW WHEN (NEW.name = 'gated') EXECUTE FUNCTION gate();
END

sub close_gate
{
	$node->safe_psql('shop', "BEGIN; SELECT pg_advisory_xact_lock(1); PREPARE TRANSACTION 'gate'");
	return;
}

sub open_gate
{
	$node->safe_psql('shop', "COMMIT PREPARED 'gate'");
	return;
}

# Each of these was closed, by one transaction, with one event.
sub closed_once
{
	my ($what, @campaigns) = @_;
	my $list = join ', ', map { "'$_'" } @campaigns;

	eventually($node, 'shop', "SELECT bool_and(status <> 'sending') FROM campaigns WHERE id IN ($list)",
		"$what: every campaign is closed");
	is(events_of($node, 'shop', $_), 'closed', "$what: with exactly one event") for @campaigns;
	return;
}

# kill -9 of the worker.

close_gate();
my $gated = add_campaign($node, 'shop', 'complete', name => 'gated');
my $pid = worker_pid($node, 'shop', "wait_event_type = 'Lock'");
my $launcher = $node->safe_psql('shop', "SELECT pid FROM campaign_worker WHERE process = 'launcher'");
my $meanwhile = add_campaign($node, 'shop', 'complete');
my $before = log_end($node);
is(kill(9, $pid), 1, 'kill -9 of the worker');
logged($node, qr/database system is ready to accept connections/, $before, 'the server restarts');
open_gate();
like(log_since($node, $before), qr/campaign_autoclose worker.* was terminated by signal 9/, 'as the worker crashed');
closed_once('after kill -9', $gated, $meanwhile);
isnt($node->safe_psql('shop', "SELECT pid FROM campaign_worker WHERE process = 'launcher'"), $launcher,
	'by the worker of a new launcher');

# A worker that is terminated, which crashes nothing, and then the launcher.

close_gate();
$gated = add_campaign($node, 'shop', 'complete', name => 'gated');
$pid = worker_pid($node, 'shop', "wait_event_type = 'Lock'");
$before = log_end($node);
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't', 'the worker is terminated');
eventually($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid", 'and gone');
is(status_of($node, 'shop', $gated), 'sending', 'before it closed the campaign');
open_gate();
closed_once('after the next visit', $gated);

$launcher = $node->safe_psql('shop', "SELECT pid FROM campaign_worker WHERE process = 'launcher'");
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)"), 't', 'the launcher is terminated');
eventually($node, 'postgres', "SELECT pid <> $launcher FROM campaign_worker WHERE process = 'launcher'",
	'it comes back')
  if $node->safe_psql('postgres', 'CREATE EXTENSION campaign_autoclose; SELECT true');
closed_once('by its workers', add_campaign($node, 'shop', 'complete'));
unlike(log_since($node, $before), qr/was terminated by signal|PANIC|TRAP/, 'and nothing crashed');

# The whole server.  What was done just before is not due at once; what fell due
# while it was down is.

every_second($node, 'shop', 'public');
$node->safe_psql('shop', <<'END');
SELECT FROM campaign_alter('public', 'expired_every', '1 hour');
SELECT FROM campaign_alter('public', 'timeout_every', '6 hours');
END
eventually($node, 'shop', "SELECT count(*) = 0 FROM campaign_worker WHERE process = 'worker'", 'nothing is due');
my $expired = add_campaign($node, 'shop', 'expired');
my $overdue = add_campaign($node, 'shop', 'overdue');
is($node->safe_psql('shop', "UPDATE campaign_sweep_run SET started_at = started_at - interval '6 h',
	finished_at = finished_at - interval '6 h' WHERE sweep = 'timeout' RETURNING true"), 't',
	'the last timeout sweep was 6 hours ago');
my $runs = $node->safe_psql('shop', "SELECT id, runs, started_at FROM campaign_sweep_run WHERE sweep IN ('expired', 'sending') ORDER BY id");
$node->stop('immediate');
$node->start;
closed_once('after an immediate shutdown', $overdue);
eventually($node, 'shop', "SELECT count(*) = 0 FROM campaign_worker WHERE process = 'worker'",
	'then nothing is due again');
is($node->safe_psql('shop', "SELECT id, runs, started_at FROM campaign_sweep_run WHERE sweep IN ('expired', 'sending') ORDER BY id"),
	$runs, 'the sweep that had just run was not run again');
is(status_of($node, 'shop', $expired), 'sending', 'as one sees at its candidate');
is($node->safe_psql('shop', "SELECT date_trunc('second', w.next_wake_at) <= r.started_at + interval '1 h' AND w.next_wake_at > now()
	FROM campaign_worker AS w, campaign_sweep_run AS r WHERE w.process = 'launcher' AND r.sweep = 'expired'"),
	't', 'its next time is known');

# A sweep that a crash cut short is due at once.

$node->safe_psql('shop', "UPDATE campaign_sweep_run SET finished_at = NULL WHERE sweep = 'expired'");
$node->restart;
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$expired'",
	'a sweep that was cut short is run again');
is(events_of($node, 'shop', $expired), 'expired closed', 'and does what it had left');

$node->stop;
done_testing();
