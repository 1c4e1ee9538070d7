# What is handed out: META.json holds to the rules of PGXN (the PGXN Meta Spec,
# version 1.0.0), make dist makes the zip that PGXN takes, and the Debian files
# agree with the rest.
#
# psql sees none of it.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::Bin/../..";
my $name = 'campaign_autoclose';

#
# META.json.  Nothing in Debian checks it, so this does.  A rule is a sub that is
# given a value and its place, and returns what is wrong with it.
#

my $semver = qr/(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:[a-zA-Z][-0-9A-Za-z]*)?/;
my %licenses = map { $_ => 1 } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3
  gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib
  open_source restricted unrestricted unknown);

sub matching
{
	my ($regexp, $what) = @_;
	return sub {
		my ($value, $place) = @_;
		return defined $value && !ref $value && $value =~ /\A$regexp\z/ ? () : ("$place is not $what");
	};
}

my $string = matching(qr/.*\S.*/s, 'a string');
my $term = matching(qr/[^\s\/\\\p{Cntrl}]{2,}/, 'a term');
my $tag = matching(qr/[^\/\\\p{Cntrl}]{1,255}/, 'a tag');
my $version = matching($semver, 'a semantic version');
my $range = matching(qr/0|(?:(?:[=!<>]=|[<>])?\s*$semver)(?:\s*,\s*(?:[=!<>]=|[<>])?\s*$semver)*/, 'a range of versions');
my $url = matching(qr/[a-z][-a-z0-9+.]*:\S+/i, 'a URL');
my $path = matching(qr/(?!\/)(?!.*(?:^|\/)\.\.(?:\/|$))\S+/, 'a path');

sub list_of
{
	my ($rule, $may_be_one) = @_;
	return sub {
		my ($value, $place) = @_;
		return $rule->($value, $place) if $may_be_one && !ref $value;
		return "$place is not a list" unless ref $value eq 'ARRAY';
		return "$place is empty" unless @$value;
		return map { $rule->($value->[$_], "$place\[$_]") } 0 .. $#$value;
	};
}

# Of any keys, or of those in %rules, of which the ones marked are required.
sub map_of
{
	my ($key_rule, $rule) = @_;
	return sub {
		my ($value, $place) = @_;
		return "$place is not a map" unless ref $value eq 'HASH';
		return "$place is empty" unless %$value;
		return map { ($key_rule->($_, "key $_ of $place"), $rule->($value->{$_}, "$place.$_")) } sort keys %$value;
	};
}

sub map_with
{
	my ($required, %rules) = @_;
	return sub {
		my ($value, $place) = @_;
		return "$place is not a map" unless ref $value eq 'HASH';
		my @wrong = map { "$place.$_ is missing" } grep { !exists $value->{$_} } @$required;
		for my $key (sort keys %$value)
		{
			next if $key =~ /^x_/i;
			push @wrong, exists $rules{$key} ? $rules{$key}->($value->{$key}, "$place.$key") : "$place.$key is unknown";
		}
		return @wrong;
	};
}

my $prereqs = map_with([], map { $_ => map_of($term, $range) } qw(requires recommends suggests conflicts));
my $license_name = sub {
	my ($value, $place) = @_;
	return !ref $value && exists $licenses{$value} ? () : "$place is no known license";
};
my $meta_rules = map_with([qw(name version abstract maintainer license provides meta-spec)],
	name => $term,
	version => $version,
	abstract => $string,
	description => $string,
	maintainer => list_of($string, 1),
	license => sub {
		my ($value, $place) = @_;
		return map_of($string, $url)->($value, $place) if ref $value eq 'HASH';
		return list_of($license_name, 1)->($value, $place);
	},
	provides => map_of($term, map_with([qw(file version)],
		file => $path, version => $version, abstract => $string, docfile => $path)),
	prereqs => map_with([], map { $_ => $prereqs } qw(configure build test runtime develop)),
	'meta-spec' => map_with(['version'], version => matching(qr/1\.0\.[0-9]+/, 'version 1.0'), url => $url),
	generated_by => $string,
	release_status => matching(qr/stable|testing|unstable/, 'a release status'),
	tags => list_of($tag),
	no_index => map_with([], file => list_of($path), directory => list_of($path)),
	resources => map_with([], homepage => $url,
		bugtracker => map_with([], web => $url, mailto => matching(qr/\S+@\S+/, 'an address')),
		repository => map_with([], url => $url, web => $url, type => matching(qr/[a-z]+/, 'a type'))));

my $text = slurp_file("$root/META.json");
my $meta = decode_json($text);
is(join("\n", $meta_rules->($meta, 'META')), '', 'META.json is as the PGXN Meta Spec wants it');

# Would it be noticed?
for my $case ([ 'META.license is missing', sub { delete $_[0]{license} } ],
	[ 'META.license is no known license', sub { $_[0]{license} = 'PostgreSQL License' } ],
	[ 'META.version is not a semantic version', sub { $_[0]{version} = '1.0' } ],
	[ 'META.provides is empty', sub { $_[0]{provides} = {} } ],
	[ "META.provides.$name.file is missing", sub { delete $_[0]{provides}{$name}{file} } ],
	[ 'META.tags[0] is not a tag', sub { $_[0]{tags}[0] = 'a/b' } ],
	[ 'META.keywords is unknown', sub { $_[0]{keywords} = [] } ],
	[ 'META.meta-spec.version is missing', sub { $_[0]{'meta-spec'} = {} } ],
	[ 'META.prereqs.runtime.requires.PostgreSQL is not a range of versions',
		sub { $_[0]{prereqs}{runtime}{requires}{PostgreSQL} = '15' } ])
{
	my ($wrong, $spoil) = @$case;
	my $copy = decode_json($text);

	$spoil->($copy);
	is(join("\n", $meta_rules->($copy, 'META')), $wrong, "it would be noticed: $wrong");
}

ok(-f "$root/$_", "$_ exists") for map { @{$_}{qw(file docfile)} } values %{ $meta->{provides} };
is($meta->{name}, $name, 'it is of the extension');

#
# The Debian files
#

my ($debian_version) = slurp_file("$root/debian/changelog") =~ /\Acampaign-autoclose \(([^)]+)-\d+\) /;
is($debian_version, $meta->{version}, 'debian/changelog begins with the version');
(my $license = slurp_file("$root/LICENSE")) =~ s/\ACopyright.*\n\n//;
$license =~ s/^$/./mg;
$license =~ s/^/ /mg;
like(slurp_file("$root/debian/copyright"), qr/\QLicense: PostgreSQL\E\n\Q$license\E/, 'debian/copyright has the license');
(my $control = slurp_file("$root/debian/control.in")) =~ s/PGVERSION/\\d\\d/g;
my ($package) = $control =~ /^(Package: .*)/ms;
$package =~ s/([\[\](){}\$+.*?|^])/\\$1/g;
my @packages = split /(?=^Package: )/m, slurp_file("$root/debian/control");
shift @packages;
cmp_ok(scalar @packages, '>=', 1, 'debian/control has a package');
like($_, qr/\A$package\s*\z/, 'made from debian/control.in') for @packages;

#
# make dist, of a repository made of these files
#

SKIP:
{
	my ($git) = eval { run_command([ 'git', '--version' ]) };
	skip 'git is not installed' unless $git;

	my $clone = PostgreSQL::Test::Utils::tempdir() . '/clone';
	my @git = ('git', '-c', 'user.name=test', '-c', 'user.email=test@localhost', '-C', $clone);

	make_path($clone);
	system_or_bail('tar', '-C', $root, '--exclude=./.git', '--exclude=./tmp_check', '-cf', "$clone.tar", '.');
	system_or_bail('tar', '-C', $clone, '-xf', "$clone.tar");
	system_or_bail(@git, 'init', '-q');
	system_or_bail(@git, 'add', '-A');
	system_or_bail(@git, 'commit', '-q', '-m', 'all');
	system_or_bail('make', '-s', '-C', $clone, 'dist');

	my $zip = "$name-$meta->{version}.zip";
	ok(-f "$clone/$zip", "make dist makes $zip");
	my ($listed) = run_command([ 'python3', '-c',
			'import sys, zipfile; print("\n".join(n for n in zipfile.ZipFile(sys.argv[1]).namelist() if not n.endswith("/")))',
			"$clone/$zip" ]);
	my $top = "$name-$meta->{version}/";
	my @elsewhere = grep { index($_, $top) != 0 } split /\n/, $listed;
	my @files = map { s/^\Q$top\E//r } split /\n/, $listed;
	is("@elsewhere", '', 'with one directory in it, of name and version');
	my %there = map { $_ => 1 } @files;
	my @missing = grep { !$there{$_} }
	  ('META.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'Makefile', "$name.control", "sql/$name.sql", 'debian/control',
		map { s/^\Q$root\E\///r } glob "$root/src/*.[ch] $root/doc/*.md $root/test/sql/*.sql $root/test/expected/*.out $root/test/t/*.p[lm] $root/debian/*.in");
	is("@missing", '', 'with all that belongs there');
	my @strangers = grep { m{\.(?:o|so|bc|zip|gc\w\w|deb)$|^\.git|^sql/$name--[^-]*\.sql$|^results/|^tmp_check} } @files;
	is("@strangers", '', 'and nothing else');

	# It is what is committed, whatever lies about.
	append_to_file("$clone/README.md", 'not committed');
	system_or_bail('make', '-s', '-C', $clone, 'dist');
	my ($readme) = run_command([ 'python3', '-c',
			'import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]).decode())',
			"$clone/$zip", "$name-$meta->{version}/README.md" ]);
	unlike($readme, qr/not committed/, 'as it was committed');
}

done_testing();
