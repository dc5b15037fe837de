# Everything a person or CI runs. Needs Python 3.11 or later, pip and make; the rest is installed
# into .venv, pinned with hashes. Variables given on the command line (PORT=8090, ONCE=1, DEAL=new,
# SANDBOX_PORT=9201, the first of three, THROUGHLINE_HOME=/somewhere) reach the programs through the environment.

PYTHON ?= $(shell sh .ci/python)
UV := .venv/uv/bin/uv
SPY := .venv/py-spy/bin/py-spy
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help run test check fidelity crash bench lock sbom clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

run: .venv/.ready ## the demo: sandboxes, Throughline, one won deal and its journey (ONCE=1 ends it)
	@.venv/bin/throughline demo

test: check ## all checks, the suite in both forms, and clients not written here
	@.venv/bin/python -m tests.run

check: .venv/.ready ## ruff, mypy, import rules, architecture tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python -m pytest tests/architecture

fidelity: .venv/.ready .fidelity/.ready ## only: clients not written here, against the sandboxes
	.fidelity/bin/python -m pytest -c tests/fidelity/pytest.ini tests/fidelity $(ARGS)

crash: .venv/.ready ## kill -9 at every boundary of the flow, on both stores
	@.venv/bin/python -m tests.crash $(ARGS)

bench: .venv/.ready ## benchmarks beside a bare version of the same work
	@test -x $(SPY) || .venv/bin/python -m pip install --quiet --target .venv/py-spy py-spy==0.4.3
	@.venv/bin/python -m tests.benchmarks $(ARGS)

lock: .venv/.ready ## resolve the dependencies again (UPGRADE=1 takes newer versions)
	@test -x $(UV) || .venv/bin/python -m pip install --quiet --target .venv/uv uv==0.13.8
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --group dev --constraint requirements.lock -o requirements-dev.lock
	$(COMPILE) deploy/build.in --constraint requirements-dev.lock -o deploy/build.lock
	$(COMPILE) tests/fidelity/requirements.in -o tests/fidelity/requirements.lock
	$(COMPILE) tests/benchmarks/peer/requirements.in -o tests/benchmarks/peer/requirements.lock

sbom: .venv/.ready ## what a release is made of, as CycloneDX: dist/throughline.cdx.json
	@mkdir -p dist
	@.venv/bin/python -m apis.console.bill > dist/throughline.cdx.json

clean: ## remove what was installed and cached; $THROUGHLINE_HOME (./var) stays
	rm -rf .venv .fidelity .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: requirements-dev.lock pyproject.toml .ci/venv .ci/python
	@PYTHON='$(PYTHON)' .ci/venv .venv requirements-dev.lock --editable
	@touch $@

.fidelity/.ready: tests/fidelity/requirements.lock .ci/venv
	@PYTHON='$(PYTHON)' .ci/venv .fidelity tests/fidelity/requirements.lock
	@touch $@
