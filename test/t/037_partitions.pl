# Partitions that are detached (concurrently too) and attached, and rows that are
# moved from one to another, while the worker closes campaigns and marks messages,
# and the application writes: nothing fails, nothing is done twice, and everything
# is closed.
#
# psql alone cannot show it: it takes a server with a worker, and DETACH
# CONCURRENTLY, which is no part of a transaction.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main', 'log_min_messages = warning');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', <<'END');
SET client_min_messages = error;
CREATE EXTENSION campaign_autoclose;
CREATE TABLE campaigns (id int PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), completed_at timestamptz,
	sent_count int, failed_count int, pending_count int, updated_at timestamptz);
CREATE INDEX ON campaigns (id) WHERE status = 'sending';
CREATE TABLE messages (id int, campaign_id int NOT NULL, contact_id int, message_type text NOT NULL DEFAULT 'message_1', status text NOT NULL,
	sent_at timestamptz, day int NOT NULL, PRIMARY KEY (id, campaign_id, day)) PARTITION BY LIST (day);
CREATE INDEX ON messages (campaign_id, contact_id, message_type);
CREATE TABLE day_1 PARTITION OF messages FOR VALUES IN (1);
CREATE TABLE day_2 PARTITION OF messages FOR VALUES IN (2) PARTITION BY HASH (campaign_id);
CREATE TABLE day_2_0 PARTITION OF day_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE day_2_1 PARTITION OF day_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE day_3 PARTITION OF messages FOR VALUES IN (3);
SELECT FROM campaign_attach('shop', 'campaigns', 'messages', labels => '{"messages": {"no_interaction": "silent"}}');
SELECT FROM campaign_alter('shop', 'check_delay', '0');
-- a finished message of each campaign: it is failed where it is pending now
CREATE PROCEDURE finish(number int) LANGUAGE sql AS $$
	UPDATE messages SET status = 'failed' WHERE campaign_id = number AND status = 'pending';
$$;
END
every_second($node, 'shop', 'shop', qw(expired sending interrupted timeout));

# Campaigns have a pending message in partition 1 or 2; an old one in 3, which
# comes and goes, has failed.  (All at once: with what has failed alone they would
# be closed.)
my $campaigns = 40;
$node->safe_psql('shop', <<"END");
BEGIN;
INSERT INTO campaigns (id, status) SELECT n, 'sending' FROM generate_series(1, $campaigns) AS n;
INSERT INTO messages (id, campaign_id, contact_id, status, day) SELECT 1, n, 1, 'failed', 3 FROM generate_series(1, $campaigns) AS n;
INSERT INTO messages (id, campaign_id, contact_id, status, day) SELECT 2, n, 2, 'pending', 1 + n % 2 FROM generate_series(1, $campaigns) AS n;
COMMIT;
END

my $log = log_end($node);
my $number = 0;
for my $round (1 .. 10)
{
	my $how = $round % 2 ? 'CONCURRENTLY' : '';

	$node->safe_psql('shop', "ALTER TABLE messages DETACH PARTITION day_3 $how");
	# to and fro, and some are finished, each by a transaction of its own
	for (1 .. 2)
	{
		$number++;
		$node->safe_psql('shop', "UPDATE messages SET day = 3 - day WHERE campaign_id % 5 = $number % 5 AND day <> 3; CALL finish($number)");
	}
	$node->safe_psql('shop', 'ALTER TABLE messages ATTACH PARTITION day_3 FOR VALUES IN (3)');
	for (1 .. 2)
	{
		$number++;
		$node->safe_psql('shop', "CALL finish($number); UPDATE messages SET day = 3 - day WHERE campaign_id % 3 = $number % 3 AND day <> 3");
	}
}
is($number, $campaigns, 'every campaign was finished');

eventually($node, 'shop', "SELECT count(*) = 0 FROM campaigns WHERE status <> 'failed'", 'and is closed');
eventually($node, 'shop', "SELECT bool_and(failed_count = 2 AND pending_count = 0) FROM campaigns", 'with the messages of all partitions counted');
is($node->safe_psql('shop', "SELECT count(*), count(DISTINCT campaign_id) FROM campaign_event WHERE event = 'closed'"), "$campaigns|$campaigns",
	'each once')
  or diag $node->safe_psql('shop', "SELECT e FROM campaign_event AS e
	WHERE campaign_id IN (SELECT campaign_id FROM campaign_event WHERE event = 'closed' GROUP BY 1 HAVING count(*) > 1) ORDER BY id");

# Messages expire, second after second, and are marked in batches, while a
# partition that has a third of them comes and goes all the time, and the
# application moves the others to and fro.  One that is pending keeps each campaign
# open, whatever is attached.
my $silent = 120;
my $marked = "SELECT count(*) FROM campaign_event WHERE event = 'expired'";
$node->safe_psql('shop', <<"END");
SELECT FROM campaign_alter('shop', 'batch_size', '10');
INSERT INTO campaigns (id, status, created_at) SELECT n, 'sending', now() - interval '25 hours' FROM generate_series(201, 205) AS n;
INSERT INTO messages (id, campaign_id, contact_id, status, sent_at, day)
SELECT n, c, n, CASE WHEN n > 0 THEN 'read' ELSE 'pending' END, now() - interval '24 hours' + n * interval '8 s' / $silent, 1 + n % 3
FROM generate_series(201, 205) AS c, generate_series(0, $silent) AS n;
END
my $all_marked = "SELECT count(*) = 0 FROM (TABLE messages UNION TABLE ONLY day_3) AS m WHERE campaign_id > 200 AND status = 'read'";
my $comings = 0;
my $seen = 0;
until ($comings >= 10 && $node->safe_psql('shop', $all_marked) eq 't')
{
	my $how = ++$comings % 2 ? 'CONCURRENTLY' : '';
	my $before = $node->safe_psql('shop', $marked);
	my $mover = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('shop'), '-c',
		"UPDATE messages SET day = 3 - day WHERE campaign_id > 200 AND id % 4 = $comings % 4 AND day <> 3" ], '>', '/dev/null', '2>', \my $stderr);

	$node->safe_psql('shop', "ALTER TABLE messages DETACH PARTITION day_3 $how");
	$node->safe_psql('shop', 'ALTER TABLE messages ATTACH PARTITION day_3 FOR VALUES IN (3)');
	$mover->finish or fail("messages could not be moved: $stderr");
	$seen++ if $node->safe_psql('shop', $marked) > $before;
	last if $comings == 2000;
}
note("$comings times detached and attached, $seen of them with markings meanwhile");
cmp_ok($seen, '>', 0, 'messages were marked while a partition came and went');
is($node->safe_psql('shop', "SELECT count(*) FILTER (WHERE status = 'silent'), count(*) FILTER (WHERE status = 'read') FROM messages WHERE campaign_id > 200"),
	5 * $silent . '|0', '... all that were to expire, of each partition');
is($node->safe_psql('shop', "SELECT sum((details ->> 'messages')::int) FROM campaign_event WHERE event = 'expired'"), 5 * $silent, '... each once');
is($node->safe_psql('shop', "SELECT max((details ->> 'messages')::int) <= 10 FROM campaign_event WHERE event = 'expired'"), 't', '... in batches');
is($node->safe_psql('shop', 'SELECT string_agg(DISTINCT status, \' \') FROM campaigns WHERE id > 200'), 'sending', '... in campaigns that stay open');
$node->safe_psql('shop', "UPDATE messages SET status = 'failed' WHERE campaign_id > 200 AND status = 'pending'");
eventually($node, 'shop', "SELECT bool_and(status <> 'sending') FROM campaigns WHERE id > 200", '... and then end');
is($node->safe_psql('shop', "SELECT count(*), count(DISTINCT campaign_id) FROM campaign_event WHERE event = 'closed' AND campaign_id::int > 200"), '5|5',
	'each once');
is($node->safe_psql('shop', 'SELECT string_agg(DISTINCT concat_ws(\' \', status, failed_count, pending_count), \'; \') FROM campaigns WHERE id > 200'),
	'completed ' . ($silent + 1) . ' 0', 'with all of it counted');

is($node->safe_psql('shop', "SELECT count(*) FROM campaign_event WHERE event = 'error'"), '0', 'no campaign raised an error');
is($node->safe_psql('shop', 'SELECT count(*) FROM campaign_retry'), '0', 'none is to be retried');
is($node->safe_psql('shop', "SELECT string_agg(DISTINCT error, '; ') FROM campaign_sweep_run"), '', 'no sweep did');
unlike(log_since($node, $log), qr/(WARNING|ERROR|FATAL|PANIC):/, 'nothing is in the log');

# A hint comes from a partition that was attached a moment ago, with every sweep off.
every_second($node, 'shop', 'shop');
$node->safe_psql('shop', <<'END');
CREATE TABLE day_4 (LIKE messages INCLUDING ALL);
INSERT INTO campaigns (id, status) VALUES (100, 'sending');
INSERT INTO day_4 (id, campaign_id, contact_id, status, day) VALUES (1, 100, 1, 'pending', 4);
ALTER TABLE messages ATTACH PARTITION day_4 FOR VALUES IN (4);
UPDATE messages SET status = 'failed' WHERE campaign_id = 100;
END
eventually($node, 'shop', "SELECT status = 'failed' FROM campaigns WHERE id = 100", 'a new partition tells of what it gets');

# What is detached with pending messages completes its campaigns, which the sweep
# finds; what is attached again reopens them, which a call finds.
$node->safe_psql('shop', <<'END');
INSERT INTO campaigns (id, status) VALUES (101, 'sending');
INSERT INTO messages (id, campaign_id, contact_id, status, day) VALUES (1, 101, 1, 'pending', 4), (2, 101, 2, 'failed', 1);
END
every_second($node, 'shop', 'shop', 'sending');
$node->safe_psql('shop', 'ALTER TABLE messages DETACH PARTITION day_4 CONCURRENTLY');
eventually($node, 'shop', "SELECT status = 'failed' FROM campaigns WHERE id = 101", 'what is left decides');
$node->safe_psql('shop', 'ALTER TABLE messages ATTACH PARTITION day_4 FOR VALUES IN (4)');
$node->safe_psql('shop', 'SET client_min_messages = error; SELECT FROM campaign_check_sending()');
is($node->safe_psql('shop', "SELECT status FROM campaigns WHERE id = 101"), 'sending', 'what comes back reopens it');

# While a partition is being detached, which waits for a transaction, the others are
# seen, also those that a plan for any campaign would miss.
$node->safe_psql('shop', <<'END');
INSERT INTO campaigns (id, status) SELECT n, 'sending' FROM generate_series(301, 304) AS n;
INSERT INTO messages (id, campaign_id, contact_id, status, day) SELECT 1, n, 1, 'failed', 4 FROM generate_series(301, 304) AS n;
INSERT INTO messages (id, campaign_id, contact_id, status, day) SELECT 2, n, 2, 'pending', 2 FROM generate_series(301, 304) AS n;
END
my $holder = session($node, 'shop');
$holder->query_safe('BEGIN; SELECT count(*) FROM messages');
my $detaching = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('shop'), '-c', 'ALTER TABLE messages DETACH PARTITION day_1 CONCURRENTLY' ]);
eventually($node, 'shop', "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'day_1'::regclass", 'a partition is being detached');
is($node->safe_psql('shop', "SET plan_cache_mode = force_generic_plan; SELECT status, pending_count FROM generate_series(301, 304) AS n, campaign_update_status(n)"),
	join("\n", ('sending|1') x 4), 'a call sees what is pending in a partition that follows');
my $sweeps = $node->safe_psql('shop', "SELECT sum(runs) FROM campaign_sweep_run WHERE sweep = 'sending'");
eventually($node, 'shop', "SELECT sum(runs) > $sweeps + 1 FROM campaign_sweep_run WHERE sweep = 'sending'", 'a worker looks');
is($node->safe_psql('shop', 'SELECT string_agg(DISTINCT status, \' \') FROM campaigns WHERE id > 300'), 'sending', 'and sees it too');
$holder->query_safe('COMMIT');
$holder->quit;
ok($detaching->finish, 'the partition is detached');

$node->stop;
done_testing();
