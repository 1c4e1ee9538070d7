# campaign_autoclose: PostgreSQL extension that closes messaging campaigns
#
#   make, make install, make installcheck    as with any PGXS module
#   make check    builds and tests in a cluster of its own (see test/run --help)
#   make check-versions   the same on every PostgreSQL that Debian has (see test/versions --help)
#   make check-partitions   the tests of the standard tables, with these partitioned in each way
#   make check-sanitizers   the same with somebody watching (see test/sanitizers --help)
#   make coverage   the same, and which lines that executes (see test/coverage --help)
#   make check-mutants  breaks the code, and sees the tests fail (see test/mutants --help)
#   make analyze    reads the code without running it (see test/analyze --help)
#   make check-citus      on tables that Citus distributes, where it is installed (see test/citus --help)
#   make check-upgrade    pg_upgrade of a server with the extension at work (see test/upgrade --help)
#   make check-package    builds, installs and uses the Debian package (see test/package --help)
#   make dist     the zip that PGXN takes, of what is committed
#   make demo     shows the extension at work, in a cluster of its own
#   make bench    measures what it costs, in a cluster of its own (see bench/run --help)

EXTENSION = campaign_autoclose
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)

MODULE_big = $(EXTENSION)
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
PG_CPPFLAGS = -I$(srcdir)/src -DCAC_VERSION='"$(EXTVERSION)"'
PGFILEDESC = "campaign_autoclose - closes messaging campaigns"

DATA = $(wildcard sql/$(EXTENSION)--*--*.sql)
DATA_built = sql/$(EXTENSION)--$(EXTVERSION).sql

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test
TAP_TESTS = $(if $(wildcard test/t/*.pl),1)
PROVE_TESTS = test/t/*.pl

# These do without PGXS, which has a "check" of its own that only fails: they
# install what is missing, pg_config included.
OWN_GOALS = check check-partitions check-versions check-citus check-sanitizers check-mutants coverage analyze demo bench check-upgrade check-package dist

ifneq (,$(filter $(OWN_GOALS),$(MAKECMDGOALS)))

.PHONY: $(MAKECMDGOALS)

check:
	@bash test/run

check-partitions:
	@bash test/run --suite partitions --shape hash --shape range --shape nested

check-versions:
	@bash test/versions

check-upgrade:
	@bash test/upgrade

check-package:
	@bash test/package

dist:
	git archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ --output=$(EXTENSION)-$(EXTVERSION).zip HEAD

check-sanitizers:
	@bash test/sanitizers

check-mutants:
	@bash test/mutants

coverage:
	@bash test/coverage

analyze:
	@bash test/analyze

check-citus:
	@bash test/citus

demo:
	@bash demo/run

bench:
	@bash bench/run

$(filter-out $(OWN_GOALS),$(MAKECMDGOALS)):
	@$(MAKE) $@

else

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq (,$(wildcard $(PGXS)))
$(error PostgreSQL's development files are needed: install postgresql-server-dev-NN (NN is the server's major version), or name its pg_config with PG_CONFIG=/path/to/pg_config)
endif

# Each test has a database of its own, so that it can begin with CREATE
# EXTENSION; pg_regress makes one database a run.
NO_INSTALLCHECK = 1

include $(PGXS)

PROVE_FLAGS += -I test/t

$(OBJS): $(wildcard src/*.h)
src/health.o: $(EXTENSION).control

$(DATA_built): sql/$(EXTENSION).sql $(EXTENSION).control
	cp $< $@

.PHONY: installcheck
installcheck:
	@status=0; \
	for test in $(REGRESS); do \
	  $(pg_regress_installcheck) $(REGRESS_OPTS) $$test || status=1; \
	done; \
	for test in $(ISOLATION); do \
	  $(pg_isolation_regress_installcheck) $(ISOLATION_OPTS) $$test || status=1; \
	done; \
	exit $$status
ifneq (,$(TAP_TESTS))
	@$(prove_installcheck)
endif

endif
