# A copy of a database, restored from a dump or made with CREATE DATABASE ...
# TEMPLATE, keeps its sources and does nothing until they are activated.
#
# psql alone cannot show it: it takes pg_dump and pg_restore, several databases,
# and a server whose worker would act there if it could.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CampaignTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main');
my $plain = $node->basedir . '/plain.sql';
my $custom = $node->basedir . '/custom.dump';
my $directory = $node->basedir . '/directory.dump';
my $clean = $node->basedir . '/clean.sql';
my $schema = $node->basedir . '/schema.sql';
$node->start;

# The database of an owner who is no superuser.  Its sweeps have just run, and
# are not due while it is dumped and copied; nor are checks of its campaigns.

$node->safe_psql('postgres', <<'END');
CREATE ROLE shopkeeper LOGIN;
CREATE DATABASE shop OWNER shopkeeper;
END
$node->safe_psql('shop', 'CREATE EXTENSION campaign_autoclose');
$node->safe_psql('shop', <<'END', extra_params => [ '-U', 'shopkeeper' ]);
SELECT FROM campaign_create_tables();
SELECT FROM campaign_alter('public', 'campaign_timeout', '47 hours');
SELECT FROM campaign_alter('public', 'history_keep', '1 year');
SELECT FROM campaign_alter('public', 'check_delay', '1 hour');
END
eventually($node, 'shop', 'SELECT count(*) = 4 FROM campaign_sweep_run WHERE finished_at IS NOT NULL',
	'the sweeps have run');

# One that was closed and reopened, and one that is complete.
my $reopened = add_campaign($node, 'shop', 'complete');
my $check = 'SELECT FROM campaign_check_sending()';
$node->safe_psql('shop', $check);
$node->safe_psql('shop', "INSERT INTO messages (campaign_id, status) VALUES ('$reopened', 'pending')");
$node->safe_psql('shop', $check);
is(events_of($node, 'shop', $reopened), 'closed reopened', 'a campaign was closed and reopened');
my $complete = add_campaign($node, 'shop', 'complete');
my $reopening = $node->safe_psql('shop', 'SELECT * FROM campaign_reopening');
my $source = $node->safe_psql('shop', 'SELECT * FROM campaign_source');

# The copies.

$node->command_ok([ 'pg_dump', '-U', 'shopkeeper', '-d', $node->connstr('shop'), '-f', $plain ],
	'the owner of the database can dump it');
$node->command_ok([ 'pg_dump', '-U', 'shopkeeper', '-d', $node->connstr('shop'), '-Fc', '-f', $custom ],
	'in the custom format too');
$node->command_ok([ 'pg_dump', '-U', 'shopkeeper', '-d', $node->connstr('shop'), '-Fd', '-j', '2', '-f', $directory ],
	'as a directory, in parallel');
$node->command_ok([ 'pg_dump', '-U', 'shopkeeper', '-d', $node->connstr('shop'), '--clean', '--if-exists', '-f', $clean ],
	'with what drops first');
$node->command_ok([ 'pg_dump', '-U', 'shopkeeper', '-d', $node->connstr('shop'), '--schema-only', '-f', $schema ],
	'without data');
my $dump = slurp_file($plain);
like($dump, qr/^COPY public\.campaign_source /m, 'sources are dumped');
like($dump, qr/^COPY public\.campaign_reopening /m, 'so are reopenings');
unlike($dump, qr/^COPY public\.campaign_(?!source|reopening)/m, 'but not history, nor what is armed');
is(status_of($node, 'shop', $complete), 'sending', 'the campaign was open while it was dumped');

my %copies = (
	plain => sub {
		$node->safe_psql('postgres', 'CREATE DATABASE plain');
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', $plain ],
			'plain: restored');
	},
	custom => sub {
		$node->safe_psql('postgres', 'CREATE DATABASE custom');
		$node->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', $node->connstr('custom'), $custom ],
			'custom: restored');
	},
	directory => sub {
		$node->safe_psql('postgres', 'CREATE DATABASE directory');
		$node->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', $node->connstr('directory'), $directory ],
			'directory: restored, in parallel');
	},
	# over a database that is at work
	clean => sub {
		create_source($node, 'clean');
		every_second($node, 'clean', 'public', 'sending');
		add_campaign($node, 'clean', 'complete');
		eventually($node, 'clean', "SELECT count(*) = 1 FROM campaign_event WHERE event = 'closed'", 'clean: it is at work');
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('clean'), '-f', $clean ],
			'clean: restored over it');
	},
	template => sub {
		$node->safe_psql('postgres', 'CREATE DATABASE template TEMPLATE shop');
		# nothing else tells the launcher before the next minute
		$node->reload;
	});

for my $copy (qw(plain custom directory clean template))
{
	my $before = log_end($node);

	$copies{$copy}->();
	is($node->safe_psql($copy, 'SELECT * FROM campaign_source'), $source, "$copy: the source is there as it was");
	is($node->safe_psql($copy, 'SELECT * FROM campaign_reopening'), $reopening, "$copy: and the reopening");
	is($node->safe_psql($copy, 'SELECT count(*) FROM campaign_armed WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())'),
		'0', "$copy: but it is not armed");
	is($node->safe_psql($copy, 'SELECT (SELECT count(*) FROM campaign_armed) + (SELECT count(*) FROM campaign_event) + (SELECT count(*) FROM campaign_state)'),
		'0', "$copy: and has no history")
	  if $copy ne 'template';

	logged($node, qr/source "public" was not activated in this database, and does nothing/, $before,
		"$copy: the log says that it does nothing");
	$node->safe_psql($copy, "SELECT FROM campaign_alter('public', 'sending_every', '1 s')");
	$node->safe_psql($copy, 'CALL campaign_run_sweeps(force => true)');
	my ($status, undef, $stderr) = $node->psql($copy, $check);
	is($status, 0, "$copy: a sweep can be called");
	like($stderr, qr/NOTICE: .*was not activated in this database.*\n.*HINT: .*campaign_alter\('public', 'mode', 'active'\)/,
		"$copy: which says so");
	is(status_of($node, $copy, $complete), 'sending', "$copy: the campaign stays open");
	is($node->safe_psql($copy, "SELECT count(*) FROM campaign_event WHERE campaign_id = '$complete'"), '0',
		"$copy: with no event");

	$node->safe_psql($copy, "SELECT FROM campaign_alter('public', 'mode', 'active')", extra_params => [ '-U', 'shopkeeper' ]);
	eventually($node, $copy, "SELECT status = 'completed' FROM campaigns WHERE id = '$complete'",
		"$copy: once the source is activated, it is closed");
	is(events_of($node, $copy, $complete), 'closed', "$copy: with one event");
	is(status_of($node, $copy, $reopened), 'sending', "$copy: the reopened one is open still");
}

# Without data there is no source; its tables can be attached.

$node->safe_psql('postgres', 'CREATE DATABASE bare');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('bare'), '-f', $schema ],
	'bare: restored without data');
is($node->safe_psql('bare', 'SELECT (SELECT count(*) FROM campaign_source) + (SELECT count(*) FROM campaigns)'), '0', 'bare: there is no source');
my $bare = add_campaign($node, 'bare', 'complete');
$node->safe_psql('bare', "SELECT FROM campaign_attach('public', 'campaigns', 'messages', 'interactions', 'contacts')");
is($node->safe_psql('bare', 'SELECT mode FROM campaign_source'), 'shadow', 'bare: the tables can be attached');
$node->safe_psql('bare', "SELECT FROM campaign_alter('public', 'mode', 'active'); SELECT FROM campaign_check_sending()");
is(status_of($node, 'bare', $bare), 'completed', 'bare: which closes');

is(status_of($node, 'shop', $complete), 'sending', 'what the copies did did not touch the original');
$node->safe_psql('shop', "SELECT FROM campaign_alter('public', 'sending_every', '1 s')");
eventually($node, 'shop', "SELECT status = 'completed' FROM campaigns WHERE id = '$complete'",
	'which is served as before');

$node->stop;
done_testing();
