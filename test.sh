#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: unit, contract, integration, crash, Python (real packages as
# judges) and packaging; then unit and contract suites under AddressSanitizer + UndefinedBehaviorSanitizer, what is
# concurrent under ThreadSanitizer, and the fuzzers over their seeds for a moment each.
#
#   ./test.sh              everything
#   ./test.sh quick        the dev preset alone, without sanitizers and fuzzers
#
# Afterwards `cmake --preset dev -D CAIRN_BUILD_UNIT_TESTS=ON` has the unit tests in the dev build again.
set -euo pipefail
cd "$(dirname "$0")"
what=${1:-all}
started=$(date +%s)

say() { printf '\n== %s (%d s)\n' "$*" "$(($(date +%s) - started))"; }

say "installing what is missing"
cmake/install_packages.sh test
tests/packaging/install.sh build/dev/packaging

# Each test runs once: unit and contract suites under the sanitizers, if these run.
unit_tests=$([ "$what" = quick ] && echo ON || echo OFF)
say "dev preset: build"
cmake --preset dev -D CAIRN_BUILD_UNIT_TESTS="$unit_tests" >/dev/null
cmake --build --preset dev
say "dev preset: tests"
ctest --preset dev -j2

if [ "$what" = quick ]; then exit 0; fi

say "asan-ubsan preset: unit and contract suites"
cmake --preset asan-ubsan >/dev/null
cmake --build --preset asan-ubsan --target unit_and_contract_tests
ctest --preset asan-ubsan -j2

say "tsan preset: what is concurrent"
cmake --preset tsan >/dev/null
cmake --build --preset tsan --target concurrent_tests
ctest --preset tsan -j2

say "fuzz preset: lock analysis by clang, and each fuzzer over its seeds"
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target fuzz_and_lock_analysis
ctest --preset fuzz -j2

say "all tests have passed"
