# What the TAP tests share: a node with the extension preloaded, sources whose
# sweeps come every second, campaigns in a given condition relative to now().

package CampaignTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  preloaded_node create_source every_second add_campaign session status_of events_of
  eventually logged log_since log_end worker_pid
);

# A poll that will not come true fails a test soon enough; slow machines set
# the variable.
$PostgreSQL::Test::Utils::timeout_default = 40
  unless $ENV{PG_TEST_TIMEOUT_DEFAULT};

# preloaded_node(NAME, CONFIGURATION, parameters of init()): a node, not
# started.  Its log has what the extension logs, and not what the tests execute.
sub preloaded_node
{
	my ($name, $conf, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--no-locale', '--encoding=UTF8' ], %params);
	$node->append_conf('postgresql.conf', <<"END");
shared_preload_libraries = 'campaign_autoclose'
log_statement = none
max_prepared_transactions = 5
restart_after_crash = on
timezone = 'UTC'
END
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	return $node;
}

# The extension and the standard tables, in a database that may not exist yet.
sub create_source
{
	my ($node, $db, $schema) = @_;

	$schema //= 'public';
	$node->safe_psql('postgres', qq{CREATE DATABASE "$db"})
	  if $node->safe_psql('postgres',
		"SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = '$db')") eq 't';
	$node->safe_psql($db, <<"END");
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS campaign_autoclose;
CREATE SCHEMA IF NOT EXISTS $schema;
SELECT FROM campaign_create_tables('$schema');
END
	return;
}

# Has these sweeps of a source run every second, and no other.
sub every_second
{
	my ($node, $db, $source, @sweeps) = @_;

	$node->safe_psql($db, join ' ', map {
		my $sweep = $_;
		my $value = (grep { $_ eq $sweep } @sweeps) ? q('1 s') : 'NULL';
		"SELECT FROM campaign_alter('$source', '${sweep}_every', $value);"
	} qw(expired timeout sending interrupted));
	return;
}

# What the messages of a campaign's contacts are like: when it started, and
# type, status and age of each message.
my %conditions = (
	# to be closed by the sending sweep
	complete => [ '1 hour', [ 'message_1', 'read', '40 min' ], [ 'message_2', 'sent', '20 min' ] ],
	# to be marked by the expired sweep, and closed
	expired => [ '26 hours', [ 'message_1', 'read', '25 hours' ] ],
	# to be closed by the timeout sweep
	overdue => [ '50 hours', [ 'message_1', 'pending', '50 hours' ] ],
	# to be left alone
	awaiting => [ '1 hour', [ 'message_1', 'read', '40 min' ] ],
);

# add_campaign(NODE, DATABASE, CONDITION, schema, name, contacts): adds one open
# campaign, in one transaction; returns its id.
sub add_campaign
{
	my ($node, $db, $condition, %params) = @_;
	my $schema = $params{schema} // 'public';
	my $name = $params{name} // $condition;
	my $contacts = $params{contacts} // 1;
	my ($started, @messages) = @{ $conditions{$condition} };
	my $messages = join ', ', map { "('$_->[0]', '$_->[1]', interval '$_->[2]')" } @messages;

	return $node->safe_psql($db, <<"END");
WITH campaign AS (
	INSERT INTO $schema.campaigns (name, status, started_at, created_at)
	VALUES ('$name', 'sending', now() - interval '$started', now() - interval '$started')
	RETURNING id
), contact AS (
	INSERT INTO $schema.contacts (full_number, first_name, last_name)
	SELECT '+33 6 ' || lpad(n::text, 8, '0'), 'Contact', n::text
	FROM generate_series(1, $contacts) AS n
	RETURNING id
), message AS (
	INSERT INTO $schema.messages (campaign_id, contact_id, message_type, status, sent_at, created_at)
	SELECT campaign.id, contact.id, m.type, m.status,
		CASE WHEN m.status <> 'pending' THEN now() - m.age END, now() - m.age
	FROM campaign, contact, (VALUES $messages) AS m (type, status, age)
)
SELECT id FROM campaign
END
}

sub status_of
{
	my ($node, $db, $campaign, $schema) = @_;
	$schema //= 'public';
	return $node->safe_psql($db, "SELECT status FROM $schema.campaigns WHERE id = '$campaign'");
}

# The events of a campaign, in order: "expired closed".
sub events_of
{
	my ($node, $db, $campaign) = @_;
	return $node->safe_psql($db,
		"SELECT string_agg(event, ' ' ORDER BY id) FROM campaign_event WHERE campaign_id = '$campaign'");
}

# A session of the application's, that stays open.
sub session
{
	my ($node, $db) = @_;
	return $node->background_psql($db, timeout => 300);
}

# The query becomes true.
sub eventually
{
	my ($node, $db, $query, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until($db, $query), $name);
}

# The log gets a line that matches, after an offset.
sub logged
{
	my ($node, $regexp, $offset, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(eval { $node->wait_for_log($regexp, $offset) }, $name);
}

sub log_end
{
	my ($node) = @_;
	return -s $node->logfile;
}

sub log_since
{
	my ($node, $offset) = @_;
	return slurp_file($node->logfile, $offset);
}

# The process of the worker in a database, once it waits as described (a
# condition on pg_stat_activity).
sub worker_pid
{
	my ($node, $db, $condition) = @_;
	my $from = "FROM pg_stat_activity WHERE datname = '$db'"
	  . " AND backend_type = 'campaign_autoclose worker' AND $condition";

	$node->poll_query_until('postgres', "SELECT count(*) = 1 $from")
	  or die "there is no worker in $db with $condition";
	return $node->safe_psql('postgres', "SELECT pid $from");
}

1;
