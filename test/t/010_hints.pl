# Hints at work: a campaign closes a moment after the change that ended it,
# whatever its sweeps are doing; what becomes of hints that find no room, or are
# lost in a crash; and that the launcher sleeps until they fall due.
#
# psql alone cannot show it: it takes a server with a launcher and workers, that
# crashes, and whose table of hints is small.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A worker's start and two timers' steps, on a busy machine, in seconds.
my $grace = 5;

my $node = preloaded_node('main', <<'END');
campaign_autoclose.tracked_campaigns = 16
END
$node->start;
create_source($node, 'shop');
set_every('1 hour');

sub set_every
{
	my ($value) = @_;
	$node->safe_psql('shop', join ' ', map { "SELECT FROM campaign_alter('public', '${_}_every', '$value');" }
		qw(expired timeout sending interrupted));
}

# Until the worker has left: every sweep has run, and the next is an hour away.
sub idle
{
	my ($name) = @_;
	return eventually($node, 'shop', "SELECT count(*) FILTER (WHERE process = 'worker') = 0
		AND bool_and(hints_waiting = 0) FILTER (WHERE process = 'launcher')
		AND (SELECT count(*) = 4 FROM campaign_sweep_run WHERE finished_at IS NOT NULL) FROM campaign_worker", $name);
}

# One open campaign, silently: one contact was sent Message 1, replied, and has
# a Message 2 to be sent.
sub almost
{
	return $node->safe_psql('shop', <<'END');
SET session_replication_role = replica;
WITH campaign AS (
	INSERT INTO campaigns (status, started_at, created_at)
	VALUES ('sending', now() - interval '1 hour', now() - interval '1 hour') RETURNING id
), contact AS (
	INSERT INTO contacts (full_number) VALUES ('+33 6') RETURNING id
), message AS (
	INSERT INTO messages (campaign_id, contact_id, message_type, status, sent_at)
	SELECT campaign.id, contact.id, m.type, m.status, CASE WHEN m.status = 'read' THEN now() END
	FROM campaign, contact, (VALUES ('message_1', 'read'), ('message_2', 'pending')) AS m (type, status)
)
SELECT id FROM campaign
END
}

sub send_last
{
	my (@campaigns) = @_;
	my $list = join ', ', map { "'$_'" } @campaigns;
	return $node->safe_psql('shop',
		"UPDATE messages SET status = 'sent', sent_at = now() WHERE campaign_id IN ($list) AND message_type = 'message_2' RETURNING now()")
	  =~ s/\n.*//sr;
}

# Closed so many seconds after that moment, and no sooner.
sub closes_after
{
	my ($campaign, $since, $delay, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'", $name);
	my $took = $node->safe_psql('shop',
		"SELECT extract(epoch FROM completed_at - '$since') FROM campaigns WHERE id = '$campaign'");
	cmp_ok($took, '>=', $delay, '... not before its time');
	cmp_ok($took, '<', $delay + $grace, '... but then');
	note("after $took s");
}

sub hints
{
	my ($column) = @_;
	return $node->safe_psql('shop', "SELECT $column FROM campaign_worker WHERE process = 'launcher'");
}

idle('the first visit finds nothing more to do');
my @campaigns = map { almost() } 1 .. 3;
is(hints('hints_waiting'), '0', 'what a replica writes is no hint');

# After check_delay, with the worker gone.

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'check_delay', '3 s')");
idle('the visit for that news is over');
my $sent = send_last($campaigns[0]);
is(hints('hints_waiting'), '2', 'the last Message 2 hints at judging and at statistics');
is($node->safe_psql('shop', "SELECT next_wake_at BETWEEN '$sent'::timestamptz + interval '2.9 s' AND now() + interval '3 s'
	FROM campaign_worker WHERE process = 'launcher'"), 't', 'the launcher sleeps until the first falls due');
is($node->safe_psql('shop', "SELECT count(*) FROM campaign_worker WHERE process = 'worker'"), '0', 'without a worker');
closes_after($campaigns[0], $sent, 3, 'a campaign closes check_delay after its last Message 2');
is(events_of($node, 'shop', $campaigns[0]), 'closed', 'with one event');
idle('the hints are used up');
cmp_ok(hints('hints_served'), '>=', 1, 'and counted');
is(hints('hints_dropped'), '0', 'none was dropped');
is($node->safe_psql('shop', "SELECT next_wake_at > now() FROM campaign_worker WHERE process = 'launcher'"), 't', 'the launcher sleeps on');

# Later messages do not postpone it.

$sent = send_last($campaigns[1]);
for (1 .. 4)
{
	$node->safe_psql('shop', "SELECT pg_sleep(0.6); UPDATE messages SET status = CASE status WHEN 'sent' THEN 'delivered' ELSE 'sent' END
		WHERE campaign_id = '$campaigns[1]' AND message_type = 'message_2'");
}
closes_after($campaigns[1], $sent, 3, 'later messages do not postpone it');

# At once.

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'check_delay', '0')");
idle('the worker is gone again');
$sent = send_last($campaigns[2]);
closes_after($campaigns[2], $sent, 0, 'with check_delay 0 it closes at once');

# While the worker lingers, and again and again.

for my $n (1 .. 3)
{
	my $campaign = almost();
	$sent = send_last($campaign);
	closes_after($campaign, $sent, 0, "so does the next, number $n, while the worker lingers");
}

# While a hint is served, campaign_worker has the source, and no sweep.

idle('the worker is gone before one is held up');
$node->safe_psql('shop', <<'END');
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION gate();
END
my $holder = session($node, 'shop');
$holder->query_safe('SELECT pg_advisory_lock(1)');
my $held = almost();
send_last($held);
eventually($node, 'shop', "SELECT count(*) = 1 FROM campaign_worker WHERE state = 'running' AND source = 'public'
	AND sweep IS NULL AND campaigns_done IS NULL AND campaigns_total IS NULL",
	'campaign_worker has the source of which hints are served');
$holder->query_safe('SELECT pg_advisory_unlock(1)');
$holder->quit;
$node->safe_psql('shop', 'DROP TRIGGER gate ON campaigns; UPDATE campaign_retry SET retry_at = now()');
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$held'", 'the worker goes on when it can');

# Of a campaign that is known to be kept open nothing else is read for a hint; and
# the worker stays for the next one, that of the statistics.

idle('the worker is gone before a campaign stays open');
my $open = open_campaign();

# One contact more, who may still reply.
sub open_campaign
{
	my $campaign = almost();
	$node->safe_psql('shop', <<"END");
SET session_replication_role = replica;
WITH contact AS (INSERT INTO contacts (full_number) VALUES ('+33 7') RETURNING id)
INSERT INTO messages (campaign_id, contact_id, message_type, status, sent_at)
SELECT '$campaign', id, 'message_1', 'sent', now() FROM contact;
END
	return $campaign;
}

# The message of the contact whose cycle has ended changes.
sub change
{
	$node->safe_psql('shop', "UPDATE messages SET status = CASE status WHEN 'sent' THEN 'delivered' ELSE 'sent' END
		WHERE campaign_id = '$open' AND message_type = 'message_2'");
}

# How often what is remembered of campaigns is read for a hint at judging, before
# the next hint, at statistics, falls due.
sub readings
{
	for (1 .. 10)
	{
		my $scans = q{SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'campaign_reopening'};
		my $before = $node->safe_psql('shop', $scans);
		my $served = hints('hints_served');
		change();
		$node->poll_query_until('shop', "SELECT bool_and(hints_served > $served) FILTER (WHERE process = 'launcher')
			AND bool_and(state = 'lingering') FILTER (WHERE process = 'worker') FROM campaign_worker");
		my $readings = $node->safe_psql('shop', $scans) - $before;
		return $readings if hints('hints_waiting') == 1;
		idle('all hints are served');
	}
	return 'unknown';
}

my $worker_pid = q{SELECT pid FROM campaign_worker WHERE process = 'worker'};
cmp_ok(readings(), '>', 0, 'a message that keeps a campaign open is looked for');
my $pid = $node->safe_psql('shop', $worker_pid);
eventually($node, 'shop', "SELECT hints_waiting = 0 FROM campaign_worker WHERE process = 'launcher'", 'its statistics are counted');
is($node->safe_psql('shop', $worker_pid), $pid, 'by the worker that has waited for that');
is(readings(), '0', 'and then that message is all that is looked at');
is(status_of($node, 'shop', $open), 'sending', 'as it shows that the campaign stays open');

# But one that was closed is, even if that message has come to wait again: all
# that is remembered of it shows it open.

$node->safe_psql('shop', <<"END");
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE messages SET status = 'failed' WHERE campaign_id = '$open' AND message_type = 'message_1';
UPDATE campaigns SET status = 'completed', completed_at = now() WHERE id = '$open';
INSERT INTO campaign_state (source, campaign_id, closed_at, closed_as, closed_by, noted_at)
SELECT 'public', id, completed_at, status, 'complete', now() FROM campaigns WHERE id = '$open';
COMMIT;
UPDATE messages SET status = 'pending' WHERE campaign_id = '$open' AND message_type = 'message_1';
END
eventually($node, 'shop', "SELECT status = 'sending' FROM campaigns WHERE id = '$open'", 'a hint reopens a campaign in spite of the message that it was known by');
cmp_ok(hints('hints_waiting'), '>', 0, 'the one at judging');
$node->safe_psql('shop', "DELETE FROM campaigns WHERE id = '$open'");

# No room.

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'check_delay', '1 min')");
idle('the worker is gone before there are many');
@campaigns = map { almost() } 1 .. 20;
send_last(@campaigns);
is(hints('hints_waiting || \' \' || hints_dropped'), '32 8', 'of 20 campaigns, 16 find room for their hints');
set_every('1 s');
eventually($node, 'shop', "SELECT count(*) = 0 FROM campaigns WHERE status = 'sending'", 'the next sweep closes all of them');

# A crash.

set_every('1 hour');
my $campaign = almost();
send_last($campaign);
cmp_ok(hints('hints_waiting'), '>', 0, 'there are hints');
$node->stop('immediate');
$node->start;
is(hints('hints_waiting || \' \' || hints_dropped || \' \' || hints_served'), '0 0 0', 'a crash loses them');
is(status_of($node, 'shop', $campaign), 'sending', 'the campaign is open still');
set_every('1 s');
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'", 'the next sweep closes it');

# Databases that nobody serves, or that are gone.

set_every('1 hour');
create_source($node, 'gone');
$node->safe_psql('gone', "SELECT FROM campaign_alter('public', 'check_delay', '1 hour')");
add_campaign($node, 'gone', 'complete');
cmp_ok(hints('hints_waiting'), '>', 0, 'another database has hints');
$node->safe_psql('postgres', 'DROP DATABASE gone');
create_source($node, 'news');	# has the launcher look at the databases
eventually($node, 'shop', "SELECT hints_waiting = 0 FROM campaign_worker WHERE process = 'launcher'",
	'those of a database that was dropped go with it');

# A worker that ends in the middle of one gives back those that it had not come to.

$node->safe_psql('shop', <<'END');
SELECT FROM campaign_alter('public', 'check_delay', '0');
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.name = 'slow' THEN
		PERFORM pg_sleep(300);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER linger BEFORE UPDATE OF status ON campaigns FOR EACH ROW EXECUTE FUNCTION linger();
END
eventually($node, 'shop', "SELECT count(*) = 0 FROM campaign_worker WHERE process = 'worker'", 'the worker is gone before there are any');
@campaigns = map { almost() } 1 .. 8;
$node->safe_psql('shop', "UPDATE campaigns SET name = 'slow' WHERE id = '$campaigns[0]'");
my $dropped = hints('hints_dropped');
# in this order, so that the slow one is the first to be served
$node->safe_psql('shop', join "\n", 'BEGIN;', (map { "UPDATE messages SET status = 'sent', sent_at = now()
	WHERE campaign_id = '$_' AND message_type = 'message_2';" } @campaigns), 'COMMIT;');
my $worker = worker_pid($node, 'shop', "wait_event = 'PgSleep'");
cmp_ok($node->safe_psql('shop', "SELECT count(*) FROM campaigns WHERE status = 'sending'"), '>', 1, 'a worker is at one of them, and others are to come');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
eventually($node, 'shop', "SELECT string_agg(name, '') = 'slow' FROM campaigns WHERE status = 'sending'",
	'once it is terminated, the next one closes the others at once');
is(hints('hints_dropped') - $dropped, 1, 'the hint that it was at is lost, and counted');
$node->safe_psql('shop', "DROP FUNCTION linger CASCADE; DELETE FROM campaigns WHERE name = 'slow'");

# Where nothing but hints brings a worker, what is old is deleted with them.

$node->safe_psql('shop', join "\n", map { "SELECT FROM campaign_alter('public', '${_}_every', NULL);" } qw(expired timeout sending interrupted));
$node->safe_psql('shop', "INSERT INTO campaign_event (at, source, campaign_id, event, reason) VALUES (now() - interval '1 year', 'public', 'old', 'closed', '')");
send_last($campaign = almost());
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$campaign'", 'a campaign is closed by its hint');
eventually($node, 'shop', "SELECT count(*) = 0 FROM campaign_event WHERE campaign_id = 'old'", 'and an old event deleted');

# A source that is paused has hints that nobody takes.

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'check_delay', '1 s')");
$campaign = almost();
send_last($campaign);
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'paused')");
my $quiet = "SELECT bool_and(hints_waiting = 0) FILTER (WHERE process = 'launcher')
	AND count(*) FILTER (WHERE process = 'worker') = 0 FROM campaign_worker";
eventually($node, 'shop', $quiet, 'those of a paused source are dropped');
is(status_of($node, 'shop', $campaign), 'sending', 'and it is left alone');

# One whose tables are dropped while its hints are looked at is left at once.

$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'mode', 'active')");
set_every('1 hour');
$node->restart;	# which makes room to remember a message
$open = open_campaign();
change();
eventually($node, 'shop', $quiet, 'a message is remembered that keeps a campaign open');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'check_delay', '3 s')");
change();
my $offset = -s $node->logfile;
my $dropping = session($node, 'shop');
$dropping->query_safe('BEGIN; DROP TABLE campaigns, contacts, messages, interactions CASCADE');
eventually($node, 'shop', "SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'campaign_autoclose worker' AND wait_event_type = 'Lock'", 'a worker waits for its tables');
$dropping->query_safe('COMMIT');
$dropping->quit;
eventually($node, 'shop', $quiet, 'the hints of a source without tables go');
unlike(slurp_file($node->logfile, $offset), qr/could not be|cache lookup/, 'and nobody has looked for them');

$node->stop;
done_testing();
