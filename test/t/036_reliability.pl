# Every test that doc/reliability.md names is there, every command that it gives
# names tests that there are, every TAP file under load is told of in it, and so is
# every mutation, with the tests that notice it, which there are.

use strict;
use warnings;

use FindBin;
use Test::More;

my $root = "$FindBin::Bin/../..";

sub contents
{
	my ($file) = @_;

	open my $handle, '<', "$root/$file" or die "cannot read $file: $!";
	local $/;
	return <$handle>;
}

my $document = contents('doc/reliability.md');

# Files, by their names in backquotes.
my %named;
$named{$_} = 1 for $document =~ /`((?:test|src|bench|doc)\/[^`\s]+)`/g;
cmp_ok(scalar(keys %named), '>=', 10, 'the document names files');
for my $name (sort keys %named)
{
	my @files = glob("$root/$name");
	ok(@files && -e $files[0], "$name is there");
}

# Goals of make.
my $makefile = contents('Makefile');
for my $goal (sort keys %{ { map { $_ => 1 } $document =~ /\bmake ([a-z][a-z-]*)/g } })
{
	like($makefile, qr/^\Q$goal\E:/m, "make $goal is a goal");
}

# test/run --suite SUITE NAME...
my %suffixes = (regress => 'sql', isolation => 'specs', pgtap => 'pgtap', model => 'model', fuzz => 'fuzz', partitions => 'sql', tap => 't');
for my $command (sort keys %{ { map { $_ => 1 } $document =~ /\btest\/run ((?:--suite|[a-z0-9_]+)[^`#\n]*)/g } })
{
	my ($suite, $names) = $command =~ /--suite (\w+)(.*)$/;
	ok(defined $suite && $suffixes{$suite}, "test/run $command: there is such a suite") or next;
	$names =~ s/--\w+ \S+//g;
	for my $name (split ' ', $names)
	{
		my @files = glob("$root/test/$suffixes{$suite}/*$name*");
		cmp_ok(scalar(@files), '>', 0, "... and a test $name");
	}
}

# None of those under load is left out.
for my $file (glob("$root/test/t/*.pl"))
{
	my ($name) = $file =~ m{/(test/t/[^/]+)$};
	next unless contents($name) =~ /^use UnderLoad;/m;
	ok($named{$name}, "$name is told of");
}

# Every mutation.
my $table = do { local $/ = undef; open my $print, '-|', 'bash', "$root/test/mutants", '--table' or die $!; <$print> };
cmp_ok($table =~ tr/\n//, '>', 2, 'there are mutations');
ok(index($document, $table) >= 0, 'the table of mutations is that of test/mutants --table');
my %directories = (regress => 'sql', isolation => 'specs', pgtap => 'pgtap', model => 'model', fuzz => 'fuzz', tap => 't');
my %noticing = map { $_ => 1 } $table =~ m{`((?:regress|isolation|pgtap|model|fuzz|tap|partitions/\w+/\w+)/\w+)`}g;
for my $test (sort keys %noticing)
{
	my ($suite, $name) = $test =~ m{(\w+)/(\w+)$};
	my @files = glob("$root/test/$directories{$suite}/$name.*");
	is(scalar(@files), 1, "$test, which notices one, is there");
}

done_testing();
