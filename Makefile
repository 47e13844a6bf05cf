# Diagonal: every target sets up what it needs. RECIPE= picks a configuration, ARGS= adds flags.
PYTHON ?= python3
RECIPE ?= demo
ARGS ?=
BIN := .venv/bin
RUN := $(BIN)/python -m
TARGET ?= train
# Without ARGS `make train` goes on with what `make filters` left.
DEMO_FILTER = $(if $(filter demo,$(RECIPE)),--filter demo)
ON ?= local
PROCESSES ?=
WHAT ?= engines
# Threads that wait by spinning take the core from the decoding processes.
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.PHONY: help setup lock format check test test-all bench clean \
	candidates shards retry report scores dedup decontaminate filters reshard takedown train eval explore launch plan demo

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Every stage takes RECIPE=name (default demo) and ARGS='--flag value'; ARGS=--help explains."

demo: .venv/ready ## Real pictures on a local web server to a trained, evaluated CLIP and a report
	$(RUN) diagonal_eval.demo $(ARGS)

candidates: .venv/ready ## Web pages or URL lists -> candidates/*.parquet
	$(RUN) diagonal_data.candidates $(RECIPE) $(ARGS)

shards: .venv/ready ## Candidates -> dataset folder of tar shards (on Ray; ARGS=--local without)
	$(RUN) diagonal_data.shards $(RECIPE) $(ARGS)

retry: .venv/ready ## Fetch again, into new shards, what failed for a passing reason
	$(RUN) diagonal_data.shards $(RECIPE) --retry transient $(ARGS)

report: .venv/ready ## What became of a dataset's candidates, by reason and host (RECIPE=funnel)
	$(RUN) diagonal_data.report $(RECIPE) $(ARGS)

scores: .venv/ready ## Dataset -> score columns (RECIPE=clip, text, image, safety, ocr)
	$(RUN) diagonal_eval.scores $(RECIPE) $(ARGS)

dedup: .venv/ready ## Dataset -> columns of copies (RECIPE=exact, perceptual, semantic)
	$(RUN) diagonal_data.dedup $(RECIPE) $(ARGS)

decontaminate: .venv/ready ## Near-duplicates of evaluation sets (RECIPE=index, then RECIPE=mark)
	$(RUN) diagonal_data.decontaminate $(RECIPE) $(ARGS)

filters: .venv/ready ## Row tables + scores + recipe -> keep list, funnel, report
	$(RUN) diagonal_data.filters $(RECIPE) $(ARGS)

reshard: .venv/ready ## Dataset + keep list -> smaller dataset, byte copies
	$(RUN) diagonal_data.reshard $(RECIPE) $(ARGS)

takedown: .venv/ready ## ARGS='--dataset D --host H' takes samples down; RECIPE=compact, list or status
	$(RUN) diagonal_data.takedown $(if $(filter demo,$(RECIPE)),add,$(RECIPE)) $(ARGS)

train: .venv/ready ## Dataset -> run folder
	$(RUN) diagonal_train $(RECIPE) $(or $(ARGS),$(DEMO_FILTER))

eval: .venv/ready ## Checkpoint x tasks -> results, report (RECIPE=zeroshot, probe, fine-tune)
	$(RUN) diagonal_eval $(RECIPE) $(ARGS)

explore: .venv/ready ## Dataset and model -> pages in the browser (RECIPE=report: one file)
	$(RUN) diagonal_eval.explore $(RECIPE) $(ARGS)

launch: .venv/ready ## TARGET=train ON=local|torchrun|ray|slurm|kuberay|skypilot [PROCESSES=2] [ADDRESS=host:port] [NODES=2 PROFILE=cluster.toml] [DRY=1]
	$(RUN) diagonal_infra.launch $(TARGET) --on $(ON) --recipe $(RECIPE) \
		$(if $(PROCESSES),--processes $(PROCESSES)) $(if $(ADDRESS),--address $(ADDRESS)) \
		$(if $(NODES),--nodes $(NODES)) $(if $(PROFILE),--profile $(PROFILE)) \
		$(if $(DRY),--dry) --args $(ARGS)

plan: .venv/ready ## What a whole CLIP takes, before it is spent (RECIPE=clip-b32, clip-l14-336)
	$(RUN) diagonal_infra.plan $(RECIPE) $(ARGS)

setup: .venv/ready ## Make .venv with everything in requirements/all.txt

.venv/ready: requirements/all.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else \
	"error: Diagonal needs Python 3.11 or 3.12; name one with make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/all.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lock: .venv/ready ## Compile requirements/all.txt from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--output-file requirements/all.txt pyproject.toml

format: .venv/ready ## Format and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check: .venv/ready ## Format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright

# CLIP_benchmark's metrics, which ours are compared with, fail on numpy 2.4 and later.
.venv/peer: .venv/ready
	rm -rf $@ $@.partial
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --target $@.partial "numpy<2.4"
	mv $@.partial $@

test: .venv/ready .venv/peer ## The test suite, on two cores, in minutes
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m "not slow and not gpu" $(ARGS)

test-all: .venv/ready .venv/peer ## Also the demo's own test, which needs npm, and training on Slurm
	$(BIN)/pytest --numprocesses 2 --dist worksteal $(ARGS)

bench: .venv/ready ## WHAT=candidates, engines, fetch, stream, filters, explore, reshard, dedup, scores, eval, linear_probe, search, loss, train, launch, accuracy, plan or claims: measure into benchmarks/results
	$(BIN)/python benchmarks/$(WHAT).py $(ARGS)

clean: ## Remove out/ and caches (not .venv)
	rm -rf out .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
