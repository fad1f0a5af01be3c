# make demo | test | test-live | bench | chaos | soak | mutants | fuzz | check | clean
# Another Python: make test PYTHON=python3.9. All goes into .work, one virtual environment per version of Python.

PYTHON ?= python3
WORK := $(or $(RASA_TILEDESK_WORK),.work)
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV := $(WORK)/py$(VERSION)
RUN := $(VENV)/bin/python

# So many tests at once; a faster round leaves some out: make test WITHOUT=--ignore=tests/unit/test_killed.py
WORKERS ?= 2
WITHOUT ?=

.PHONY: help demo test test-live install install-live bench chaos soak mutants fuzz check clean

help:
	@sed -n '1,2s/^# //p' Makefile

# The real Rasa with FakeTiledesk; with the real Tiledesk: make demo DESK=real
demo: $(VENV)/ready
	@$(RUN) -m stack.demo

test: $(VENV)/ready
	@$(RUN) -m pytest tests/unit tests/contract -m "not live" -q -n $(WORKERS) --dist worksteal $(WITHOUT)

# Those without a running bot, those with chat21 and those with a bot at once, each with its own Tiledesk: much of their
# time is waiting
WITHOUT_BOT := $(addprefix tests/live/test_,generated_messages.py install.py staged.py)
WITH_CHAT21 := $(wildcard tests/live/test_chat21*.py) tests/contract/test_chat21.py
LIVE := $(RUN) -m pytest -m live -q --durations=12
test-live: install-live
	@$(LIVE) tests/contract --ignore=tests/contract/test_chat21.py $(WITHOUT_BOT) >$(WORK)/logs/without-bot.log 2>&1 & others=$$!; \
	  $(LIVE) $(WITH_CHAT21) >$(WORK)/logs/with-chat21.log 2>&1 & chat21=$$!; \
	  $(LIVE) tests/live $(addprefix --ignore=,$(WITHOUT_BOT) $(WITH_CHAT21)); failed=$$?; \
	  wait $$others || failed=1; wait $$chat21 || failed=1; \
	  cat $(WORK)/logs/without-bot.log $(WORK)/logs/with-chat21.log; exit $$failed

install: $(VENV)/ready

# What test-live needs: the real Rasa with the example bot, the real Tiledesk with chat21
install-live: $(VENV)/ready
	@$(RUN) -m stack.install

# The figures of README.md, one benchmark after another
bench: $(VENV)/ready
	@$(RUN) -m benchmarks.handoff
	@$(RUN) -m benchmarks.relay
	@$(RUN) -m benchmarks.webhooks
	@$(RUN) -m benchmarks.listen
	@$(RUN) -m benchmarks.aged
	@$(RUN) -m benchmarks.read
	@$(RUN) -m benchmarks.ordinary_turn

# 1,000 handoffs while Tiledesk fails in every way we know; then users, agents, faults, kills and clocks in any order
chaos: $(VENV)/ready
	@$(RUN) -m benchmarks.chaos
	@$(RUN) -m tests.model.walk

# 200 conversations for ten minutes, two action servers on one PostgreSQL ledger; needs Linux and a PostgreSQL
soak: $(VENV)/ready
	@$(RUN) -m benchmarks.soak

# How many small changes to the code the tests notice, of 60 drawn by a seed
mutants: $(VENV)/ready
	@$(RUN) -m benchmarks.mutants

# Whatever may come from outside, for ten minutes: no error but ours, and no secret in any
fuzz: $(VENV)/ready
	@$(RUN) -m tests.fuzz

check: $(VENV)/ready
	@$(RUN) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'The tools of make check need Python 3.10 or newer: make check PYTHON=...' >&2; exit 1; }
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

clean:
	rm -rf $(WORK) dist build .mypy_cache .pytest_cache .ruff_cache

$(VENV)/ready: pyproject.toml
	@test -n "$(VERSION)" || { echo '$(PYTHON) does not run here.' \
	  'Name a Python of 3.9 to 3.13, such as PYTHON="$$(python3 -m stack.pythons 3.11)"' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' || \
	  { echo '$(PYTHON) is Python $(VERSION); 3.9 or newer is needed.' >&2; exit 1; }
	@mkdir -p $(WORK)/logs
	@# Compiled when it is imported: most of it never is.
	@echo "  Python $(VERSION): installing rasa_tiledesk and its tools into $(VENV)"
	@{ rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) && $(RUN) -m pip install --no-compile -e '.[dev]'; } \
	  >$(WORK)/logs/py$(VERSION).log 2>&1 || { tail -25 $(WORK)/logs/py$(VERSION).log >&2; exit 1; }
	@touch $@
