# What the files say of themselves: one version everywhere, scripts that load in
# a database of any encoding, one file that knows the server's versions.
#
# psql sees none of it: these are files that are not installed, or that only
# fail somewhere else.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::Bin/../..";

my ($version) = slurp_file("$root/campaign_autoclose.control") =~ /^default_version = '([^']+)'$/m;
like($version, qr/^\d+\.\d+\.\d+$/, 'the control file has a version of three numbers');

my $meta = decode_json(slurp_file("$root/META.json"));
is($meta->{version}, $version, "META.json's version is the control file's");
is($meta->{provides}{campaign_autoclose}{version}, $version, 'so is that of what it provides');
ok(-f "$root/$meta->{provides}{campaign_autoclose}{file}", 'the script that META.json names exists');
like(slurp_file("$root/CHANGELOG.md"), qr/^#+ \[?v?\Q$version\E\b/m, 'CHANGELOG.md has an entry for the version');

my @scripts = glob "$root/sql/*.sql";
cmp_ok(scalar @scripts, '>', 0, 'there are scripts');
my @not_ascii = grep { slurp_file($_) =~ /[^\x00-\x7f]/ } @scripts;
is("@not_ascii", '', 'all scripts are ASCII');

my @sources = glob "$root/src/*.[ch]";
cmp_ok(scalar @sources, '>', 10, 'there are sources');
my @versioned = grep { slurp_file($_) =~ /\bPG_(?:VERSION_NUM|MAJORVERSION\w*)\b/ } @sources;
s/.*\/// for @versioned;
is("@versioned", 'compat.h', 'compat.h alone asks for the version of the server');

done_testing();
