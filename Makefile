# Needs Python 3.11 or later and make, nothing else.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$python" && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# One more than there are cores: tests wait a good deal, for servers that start and for time that must pass.
PROGRAMS ?= 3
# Whatever else brings a plugin is imported by every test process otherwise, which takes seconds of each.
PLUGINS := -p pytest_asyncio.plugin -p pytest_timeout -p xdist.plugin

FUZZ_SECONDS ?= 600
REFUND_TICKETS ?= 2000
SECONDS ?= 60
SHAPE ?= opening_night
FAULTS_RUNS ?= 1
FAULTS_LOG ?= .pytest_cache/faults.jsonl

.PHONY: run test load fuzz bench bench-cancel cluster refunds faults model simulate mutants lint rows lock clean

run: .venv/installed-run ## Start everything on this machine; Ctrl-C ends it, the data stays in .seatlock/
	@$(BIN)/seatlock dev --with-parent

test: .venv/installed-dev ## Run every test against servers of its own
	@PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(BIN)/pytest $(PLUGINS) -n $(PROGRAMS) --dist worksteal

load: .venv/installed-dev ## Send a crowd to a service of its own and judge: SHAPE=smoke, steady_day, opening_night, national_on_sale
	@$(BIN)/python -m loadtests.run $(SHAPE)

fuzz: .venv/installed-dev ## Make up requests of the API's document for FUZZ_SECONDS, and hold every answer against it
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/pytest tests/flow/test_fuzz_http.py -s

refunds: .venv/installed-dev ## Sell and give back REFUND_TICKETS tickets while the gateway fails and dies and the worker is killed
	@REFUND_TICKETS=$(REFUND_TICKETS) $(BIN)/pytest tests/faults/test_money_back.py -s

faults: .venv/installed-dev ## Play every fault of tests/faults/catalogue/ FAULTS_RUNS times, or FAULT=name from SEED=n on; ends with the table
	@rm -f .pytest_cache/faults.jsonl
	@export FAULTS_RUNS=$(FAULTS_RUNS) FAULTS_LOG=$(FAULTS_LOG) FAULT=$(FAULT) SEED=$(SEED); \
		$(BIN)/pytest tests/faults/test_faults.py --long; \
		status=$$?; $(BIN)/python -m tests.faults.harness.table | tee .pytest_cache/faults.md; exit $$status

cluster: .venv/installed-dev ## Break a Redis Cluster and a Sentinel set under load, move slots, and hold every run against the invariants
	@$(BIN)/pytest tests/cluster --long -s
	@$(BIN)/pytest tests/flow/test_purchase_http.py tests/flow/test_replays_http.py tests/flow/test_refunds_http.py \
		tests/flow/test_cancellation_http.py tests/flow/test_late_payments_http.py --redis cluster --redis sentinel

bench: .venv/installed-dev ## Measure against other designs and against the limit, or ONLY=B1,B7 of it
	@$(BIN)/seatlock bench $(if $(ONLY),--only $(ONLY))

bench-cancel: .venv/installed-dev ## Cancel 20,000 tickets and measure what claims beside it feel
	@$(BIN)/python -m tests.bench.cancel

.PHONY: bench-audit
bench-audit: .venv/installed-dev ## Audit BENCH_TICKETS tickets (a million), and once more with one seat freed behind everybody's back
	@$(BIN)/python -m tests.bench.audit

.PHONY: soak
soak: .venv/installed-dev ## Keep load and faults going for MINUTES, bound memory, descriptors and queues; ends with audit and a verdict
	@MINUTES="$(MINUTES)" SEED="$(SEED)" FAULT="$(FAULT)" $(BIN)/python -m tests.soak.soak

.PHONY: history
history: .venv/installed-dev ## Make CLAIMS claims on a real Redis, and look for the order that explains every answer (SEED=n)
	@CLAIMS="$(or $(CLAIMS),100000)" $(if $(SEED),SEED=$(SEED)) $(BIN)/python -m tests.simulation.many_claims

.PHONY: storm
storm: .venv/installed-dev ## Make CLAIMS claims for few seats on a real Redis, each answer held against who has what (SEED=n)
	@CLAIMS="$(or $(CLAIMS),1000000)" $(if $(SEED),SEED=$(SEED)) $(BIN)/python -m tests.simulation.storm

model: .venv/installed-dev ## Play random games on Redis and on a plain model for SECONDS on each kind of server (SEED=n repeats one)
	@SECONDS=$(SECONDS) $(BIN)/pytest tests/simulation/test_model.py --long -s

simulate: .venv/installed-dev ## Play seeded stories of api and worker in virtual time for SECONDS (or SEEDS=n); SEED=n tells one of them
	@SEED="$(SEED)" SECONDS="$(SECONDS)" SEEDS="$(SEEDS)" PROGRAMS=$(PROGRAMS) $(BIN)/python -m tests.simulation.world

mutants: .venv/installed-dev ## Break one guard at a time, and fail if no test notices: all of them, or MUTANT=name
	@MUTANT="$(MUTANT)" PROGRAMS=$(PROGRAMS) $(BIN)/python -m tests.mutants.run

lint: .venv/installed-dev ## Check style, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

rows: .venv/installed-dev ## List the rows of the source documents with the tests that prove them
	@$(BIN)/python -m tests.rows

lock: ## Choose versions anew (needs uv)
	uv pip compile pyproject.toml --group build --universal --generate-hashes --no-header --quiet -o requirements.txt
	uv pip compile pyproject.toml --group build --extra dev --constraint requirements.txt --universal \
		--generate-hashes --no-header --quiet -o requirements-dev.txt

clean: ## Remove what was installed and made here, but not the data in .seatlock/
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "seatlock needs Python 3.11 or later; set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "seatlock needs Python's venv module (Debian: apt install python3-venv)" >&2; exit 1; }

.venv/installed-run: requirements.txt pyproject.toml | .venv/bin/python
	@echo "installing seatlock into .venv"
	@$(INSTALL) --require-hashes -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: requirements-dev.txt pyproject.toml | .venv/bin/python
	@echo "installing seatlock and its tests' tools into .venv"
	@$(INSTALL) --require-hashes -r requirements-dev.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
