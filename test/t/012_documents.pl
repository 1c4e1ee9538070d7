# What the documents show is what the tests execute, and what that prints.
#
# The statements are tested by the regress suite; here the documents are held
# against these tests.

use strict;
use warnings;

use FindBin;
use Test::More;

my $root = "$FindBin::Bin/../..";
my $differences = `$^X "$root/test/documents" 2>&1`;

is($? >> 8, 0, 'the documents show what the tests execute and print') or diag($differences);
is($differences, '', 'and nothing is to be said about that');

# Each of these tests is in a document.
my %shown;
for my $document ("$root/README.md", glob "$root/doc/*.md")
{
	open my $handle, '<', $document or die "$document: $!";
	/^<!-- test\/sql\/(\w+)\.sql -->$/ and $shown{$1} = 1 while <$handle>;
	close $handle;
}
for my $test (qw(readme attaching_rest attaching_legacy attaching_sms migrating resuming))
{
	ok($shown{$test}, "a document shows the test $test");
}

done_testing();
