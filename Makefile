# One command each. `make` prints this list.
BIN := .venv/bin
T ?= tests
S ?= bad_release

# Each of the hundreds of processes that tests start would compile the house anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test lint fix lab bench gallery mutation lock

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## set up .venv from the lock file (all other commands do it by themselves)
	@tools/setup

run: setup ## start Oleada with a small operator and 12 boxes (FRESH=1 starts anew)
	@tools/debian run
	@exec $(BIN)/oleada-lab demo $(if $(FRESH),--fresh)

test: setup ## run every test (T=tests/server/rollouts for some)
	@tools/debian test
	@$(BIN)/oleada-lab firmware fetch
	@$(BIN)/python -m compileall -q -j 2 agent firmware_store lab server tests/support
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(T)

lint: setup ## check style, types, imports and house rules; changes nothing
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

fix: setup ## mend what can be mended by itself
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lab: setup ## play a story of the lab in virtual time (S=bad_release)
	@$(BIN)/oleada-lab play lab/scenarios/$(S).toml

bench: setup ## measure and store JSON under bench-results/
	@tools/debian test
	@$(BIN)/oleada-lab bench

gallery: setup ## look at every page in all looks, widths and languages (O=gallery)
	@tools/debian test
	@$(BIN)/python -m tests.web.gallery $(or $(O),gallery)

mutation: setup ## plant small faults in the decision cores; the tests must notice (A=--sample=400)
	@$(BIN)/oleada-lab mutation $(A)

lock: setup ## choose dependency versions anew, with hashes
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --upgrade --extra dev pyproject.toml -o requirements/dev.lock
