.DEFAULT_GOAL := help
.PHONY: help setup setup-browser setup-bench demo dev format lint test chaos check bench bench-quick bench-full

tsx := node --import tsx
redis := $(if $(REDIS_URL),--redis-url '$(REDIS_URL)')

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

setup: ## Install what is missing: npm packages and redis-server
	@scripts/setup.sh

setup-browser:
	@scripts/setup.sh --browser

setup-bench: setup-browser
	@bench/setup.sh

demo: setup ## Run everything with a simulated market (REDIS_URL=redis://… to use a Redis of yours)
	@exec $(tsx) src/cli/main.ts demo $(redis)

dev: setup ## The same, started again whenever a source file changes
	@exec node_modules/.bin/tsx watch --clear-screen=false src/cli/main.ts demo $(redis)

format: setup ## Format all files and apply safe fixes
	@npm run --silent format

lint: setup ## Check format, style, types and unused code
	@npm run --silent lint

test: setup-browser ## Run all tests, with coverage
	@npm test --silent

chaos: setup ## Break everything that can break, in under five minutes; see docs/reliability.md
	@$(tsx) scripts/chaos.ts

check: setup-browser ## Lint, build and test: what must pass before a change is merged
	@EVERY_NODE=1 npm run --silent check

bench: setup-bench ## Measure speed beside other servers, in under ten minutes; see bench/README.md
	@$(tsx) bench/run.ts

bench-quick: setup-bench ## A short form of it, in under two minutes
	@$(tsx) bench/run.ts --quick

bench-full: setup-bench ## Everything with everybody, in about an hour
	@$(tsx) bench/run.ts --full
