# Every verb is a line in local/ or a tool's own command line; CI calls the same ones.
STACK ?= dev
CONTEXT ?=
TO ?=
REPORTS ?=
export POLICY_REPORTS ?= $(REPORTS)
LOCAL := python3 -m local
TARGET := --stack '$(STACK)' --context '$(CONTEXT)'
PYTHON := $(LOCAL) run
SOURCES := __main__.py components policies local workload images tests bench

.DEFAULT_GOAL := help
.PHONY: help up down preview render policy restore status url logs packages check types unit format test servers cluster docs bench soak lock

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## bring the platform up: make up [STACK=dev] [CONTEXT=kind-dev]
	@$(LOCAL) up $(TARGET)

down: ## remove the stack, and the node on this machine
	@$(LOCAL) down $(TARGET)

preview: ## show what up would change
	@$(LOCAL) preview $(TARGET)

render: ## write the stack's Kubernetes objects to build/STACK
	@$(LOCAL) render $(TARGET)

policy: ## judge the stack's Kubernetes objects by the policy pack, without a cluster: make policy [REPORTS=DIR]
	@$(LOCAL) policy $(TARGET)

restore: ## bring the database back to a moment: make restore TO='2026-11-26T01:00:00+00:00', or TO=newest
	@$(LOCAL) restore $(TARGET) --to '$(TO)'

status: ## show how the node and the pods are
	@$(LOCAL) status $(TARGET)

url: ## print the frontend's base URL
	@$(LOCAL) url $(TARGET)

logs: ## print a node process's log: make logs OF=kubelet
	@$(LOCAL) logs '$(OF)'

packages: ## install the Debian packages of the node, the images and the tests
	@$(LOCAL) packages

format: ## format the code
	@$(PYTHON) ruff format $(SOURCES)
	@$(PYTHON) ruff check --fix $(SOURCES)

check: packages ## format, lint, types, unit tests
	@$(PYTHON) ruff format --check $(SOURCES)
	@$(PYTHON) ruff check $(SOURCES)
	@$(MAKE) --no-print-directory --jobs=2 types unit

types:
	@$(PYTHON) basedpyright

unit: # two at a time for each core: some wait for the processes that they start
	@$(PYTHON) pytest --numprocesses=$$((2 * $$(nproc))) tests/unit

test: check ## everything: check, real servers, the real engine, the real node
	@$(MAKE) --no-print-directory --jobs=2 servers cluster

servers: # beside the node, whose tests mostly wait, and measure how long: these give way, those that wait for nothing first
	@$(PYTHON) python -m tests.aside pytest tests/policies tests/judges tests/servers tests/engine

cluster: # and before, what measures how long a request takes
	@$(PYTHON) pytest tests/latency tests/cluster

docs: ## write the generated parts of README.md and docs/
	@$(PYTHON) python -m tests.docs

bench: ## measure how long things take: make bench [OF="preview growth"]
	@$(PYTHON) python -m bench $(OF)

soak: ## repetitions: make up killed at one moment after another
	@$(PYTHON) pytest tests/soak

lock: ## resolve the Python requirements anew
	@$(PYTHON) sh -c 'for d in workload images/postgres images/buckets tests/judges/checkov .; do pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-annotate --no-header --no-emit-options --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file $$d/requirements.lock $$d/requirements.in; done'
