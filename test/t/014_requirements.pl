# What doc/requirements.md says that a test shows is in that test, and what it
# links to is there.

use strict;
use warnings;

use FindBin;
use Test::More;

my $root = "$FindBin::Bin/../..";

sub contents
{
	my ($file) = @_;

	open my $handle, '<', "$root/$file" or return;
	local $/;
	return <$handle>;
}

# The anchors that a document's headings make.
my %anchors;
for (contents('doc/reference.md') =~ /^#+ (.*)$/mg)
{
	my $anchor = lc =~ tr/a-z0-9_ -//cdr;
	$anchors{ $anchor =~ tr/ /-/r } = 1;
}

my (undef, @sections) = split /^## /m, contents('doc/requirements.md');
my %answered;
for my $section (@sections)
{
	my ($title) = $section =~ /^(.*)$/m;
	my @tests = $section =~ /^- (.*)$/mg;

	$answered{$_} = 1 for $title =~ /^(\d\.\d) /, $section =~ /^Also (\d\.\d)/m;
	like($section, qr/^Rule: \[/m, "$title: has its rule");
	cmp_ok(scalar @tests, '>', 0, '... and a test');
	for my $test (@tests)
	{
		my ($file, $line) = $test =~ /^`([^`]+)`: `([^`]+)`$/;
		my $is = defined $file ? contents($file) : undef;
		ok(defined $is && index($is, $line) >= 0, "... $test");
	}
	ok($anchors{$_}, "... reference.md#$_") for $section =~ /\(reference\.md#([^)]+)\)/g;
}
is(join(' ', sort keys %answered), '1.1 1.2 1.3 1.4 2.1 2.2 2.3 3.4 7.1 7.2 7.3 7.4 7.5 9.5',
	'every requirement is answered');

done_testing();
