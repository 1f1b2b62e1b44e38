# A thin front for CMake and CTest: see docs/development.md. The product is built in build/release.
.DEFAULT_GOAL := build
.PHONY: build north-star-demo north-star-real playbooks test asan tsan bench lint format install coverage clean-room clean help

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
export JOBS
# Labels of the tests that read strangers' bytes (apr_hostile_tests of tests/CMakeLists.txt).
HOSTILE := ^(base|formats|package|platform|speech|template|tensor|text|fuzz)$$
# Labels of the tests with threads or processes (apr_threaded_tests).
THREADED := ^(backends|cpu|pipeline|platform|plugin|reference|runtime|team|threads)$$

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

build: ## the programs, the library and the plugins
	@scripts/install-packages build
	@scripts/build release apr_product

north-star-demo: build ## import, check, shrink, gate, export and chat with the bundled model
	@build/release/bin/apr-pipeline run pipelines/north-star.yaml

north-star-real: build ## the same with the real Qwen2-0.5B: SOURCE=folder (or HF_ENDPOINT), TEXT=wiki.test.raw
	@scripts/north-star-real $(if $(SOURCE),--source $(SOURCE)) $(if $(TEXT),--text $(TEXT))

test: ## everything that must hold on every change
	@scripts/install-packages build test
	@scripts/build release all
	@ctest --test-dir build/release --no-tests=error --output-on-failure -j $(JOBS)
	@scripts/build asan apr_hostile_tests
	@ctest --test-dir build/asan --no-tests=error --output-on-failure -j $(JOBS) -L "$(HOSTILE)"

asan: ## all tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/install-packages build test
	@scripts/build asan all
	@ctest --test-dir build/asan --no-tests=error --output-on-failure -j $(JOBS)

tsan: ## the tests with threads under ThreadSanitizer
	@scripts/install-packages build test
	@scripts/build tsan apr_threaded_tests
	@ctest --test-dir build/tsan --no-tests=error --output-on-failure -j $(JOBS) -L "$(THREADED)"

coverage: ## line coverage of the tests, as text and HTML in build/coverage/report
	@scripts/install-packages build test coverage
	@scripts/build coverage all
	@scripts/coverage

playbooks: build ## scripted sessions with the bundled model: CATEGORY=error-handling for some of them
	@build/release/bin/apr import golden/apr-tiny-chat -o build/playbooks-model.apr --force --quiet >/dev/null
	@build/release/bin/apr probador playbook run tests/playbooks --model build/playbooks-model.apr \
	  --junit build/playbooks.xml --force $(if $(CATEGORY),--category $(CATEGORY))

bench: ## the benchmarks
	@scripts/install-packages build bench
	@scripts/build release all -DAPR_BUILD_BENCH=ON
	@scripts/bench

lint: ## formatting and static checks
	@scripts/install-packages build test lint
	@scripts/lint

format: ## lay out the sources as .clang-format says
	@scripts/install-packages lint
	@git ls-files -z '*.cpp' '*.cc' '*.h' | xargs -0 clang-format-19 -i

install: build ## into PREFIX (default /usr/local), below DESTDIR if that is set
	@DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

clean-room: ## both README commands in a bare Debian 12 made for the purpose (needs root and a Debian mirror)
	@scripts/clean-room

clean: ## removes everything that was built
	@rm -rf build
