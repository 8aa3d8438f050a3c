# The verbs of pgquorum. Compilation is CMake's (CMakeLists.txt); PG_CONFIG names the server, as with PGXS.
#
#   make            build            make check        every test
#   make demo       a cluster that survives its primary's death
#   make help       all verbs
PG_CONFIG ?= /usr/lib/postgresql/15/bin/pg_config
BUILD ?= build
VERSION := 0.1.0
JOBS ?= $(shell nproc)
SEEDS ?= 2000

.DEFAULT_GOAL := all
# Fragments add verbs (bench-…, demo-…, check-…) without editing this file.
include $(sort $(wildcard make/*.mk))

# ---- build ----------------------------------------------------------------------------------------
CMAKE_FLAGS = -G Ninja -DPG_CONFIG=$(PG_CONFIG) $(if $(filter true,$(CI)),-DPGQUORUM_WERROR=ON)

.PHONY: all product
all: deps
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS) >/dev/null
	cmake --build $(BUILD) --parallel $(JOBS)

# What is installed, without unit tests, simulators and benchmarks: half of the time.
product: deps
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS) >/dev/null
	cmake --build $(BUILD) --parallel $(JOBS) --target pgquorum_product

# Installs the Debian packages that are missing; does nothing, and needs no rights, when all are there.
.PHONY: deps
deps:
	@scripts/install-deps

.PHONY: clean
clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz

# ---- install -------------------------------------------------------------------------------
# `make install` into the server of PG_CONFIG; `make temp-install` into a copy of the server tree below
# $(BUILD), which is what every test, demo and benchmark uses.
MODULES = $(addprefix $(BUILD)/modules/,pgquorum pgquorum_worker pgquorum_replication)
EXTENSION = pgquorum
EXTENSION_DIR = $(BUILD)/generated
INSTALL_PROGRAM_ = install -m 755
INSTALL_DATA_ = install -m 644

bindir = $(shell $(PG_CONFIG) --bindir)
pkglibdir = $(shell $(PG_CONFIG) --pkglibdir)
sharedir = $(shell $(PG_CONFIG) --sharedir)

.PHONY: install install-files
install: product install-files

install-files:
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(pkglibdir) $(DESTDIR)$(sharedir)/extension
	$(INSTALL_PROGRAM_) $(addsuffix .so,$(MODULES)) $(DESTDIR)$(pkglibdir)
	$(INSTALL_DATA_) extension/pgquorum.control $(EXTENSION_DIR)/pgquorum--*.sql $(DESTDIR)$(sharedir)/extension
	$(INSTALL_PROGRAM_) $(BUILD)/bin/pgquorum $(DESTDIR)$(bindir)

.PHONY: uninstall
uninstall:
	rm -f $(addprefix $(DESTDIR)$(pkglibdir)/,$(notdir $(addsuffix .so,$(MODULES))))
	rm -f $(DESTDIR)$(sharedir)/extension/pgquorum.control $(DESTDIR)$(sharedir)/extension/pgquorum--*.sql
	rm -f $(DESTDIR)$(bindir)/pgquorum

.PHONY: temp-install
temp-install: product
	@scripts/temp-install "$(PG_CONFIG)" "$(BUILD)"

# ---- checks ---------------------------------------------------------------------------------------
.PHONY: check check-unit check-regress check-tap check-asan lint format docs
check: export RESULTS = $(abspath $(BUILD))/results
check:
	@rm -rf $(BUILD)/results
	@mkdir -p $(BUILD)
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory temp-install
# Tests with servers wait more than they work: what is built and run without servers takes what they leave.
	@$(MAKE) --no-print-directory check-servers INSTALLED=yes >$(BUILD)/servers.log 2>&1 & servers=$$!; \
	nice -n 15 $(MAKE) --no-print-directory --keep-going check-unit check-asan check-tsan; others=$$?; \
	wait $$servers; servers=$$?; cat $(BUILD)/servers.log; exit $$((others + servers))
	@scripts/check-summary $(BUILD)/results

.PHONY: check-servers
check-servers:
	@$(MAKE) --no-print-directory check-regress
	@$(MAKE) --no-print-directory check-tap

check-unit: all
	@scripts/run-ctest $(BUILD) unit

check-asan: deps
	cmake -S . -B $(BUILD)-asan $(CMAKE_FLAGS) -DPGQUORUM_PURE_ONLY=ON -DPGQUORUM_SANITIZE=address,undefined >/dev/null
	cmake --build $(BUILD)-asan --parallel $(JOBS)
	@scripts/run-ctest $(BUILD)-asan asan

# INSTALLED: the temporary installation is there already (two builds in one folder at a time would disturb each other).
TEMP_INSTALL = $(if $(INSTALLED),,temp-install)

# TEST="a b" picks files of regress/sql.
check-regress: $(TEMP_INSTALL)
	@scripts/run-regress $(BUILD) $(TEST)

# TEST="area/001_name" picks files of tap/t.
check-tap: $(TEMP_INSTALL)
	@scripts/run-tap $(BUILD) $(TEST)

lint: deps
	@scripts/lint

format:
	@scripts/format

# Reference pages and the conformance table, from the registries.
docs:
	@scripts/generate docs docs

# ---- demo -----------------------------------------------------------------------------------------
.PHONY: demo demo-down
demo: temp-install
	@scripts/demo $(BUILD)

demo-down:
	@scripts/demo $(BUILD) --down

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile; \
	grep -hE '^(check|check-[a-z]+|lint|format|docs|demo|demo-[a-z]+|install|temp-install|deps|sim|bench-[a-z]+):' Makefile $(wildcard make/*.mk) | cut -d: -f1 | sort -u | sed 's/^/  make /'
