.DEFAULT_GOAL := help
.PHONY: help setup setup-browser demo dev format lint test check

tsx := node --import tsx
redis := $(if $(REDIS_URL),--redis-url '$(REDIS_URL)')

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s%s\n", $$1, $$2 }'

setup: ## Install what is missing: npm packages and redis-server
	@scripts/setup.sh

setup-browser:
	@scripts/setup.sh --browser

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

check: setup-browser ## Lint, build and test: what must pass before a change is merged
	@npm run --silent check
