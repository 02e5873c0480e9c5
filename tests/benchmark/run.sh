#!/usr/bin/env bash
# Measures Cairn against raw streams, plain copies and its peers, in interleaved rounds, and prints one table. README.md
# beside this file says how to read it.
#
#   tests/benchmark/run.sh                          everything: hours, 4 GiB at a time
#   tests/benchmark/run.sh --quick --cases put,get  a first look: minutes
#   tests/benchmark/run.sh --help                   all options
#
# Builds the release preset without tests into build/benchmark, and installs the peers' packages into a virtual
# environment there; cairnd and its client a second time without checks. With --bin DIR and --python PROGRAM nothing is
# built or installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
work=$repository/build/benchmark

arguments=("$@")
bin=
python=
help=
while [ $# -gt 0 ]; do
  case $1 in
    --bin) bin=${2:?--bin needs a folder}; shift ;;
    --bin=*) bin=${1#*=} ;;
    --python) python=${2:?--python needs a program}; shift ;;
    --python=*) python=${1#*=} ;;
    -h | --help) help=1 ;;
  esac
  shift
done

export PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
if [ -n "$help" ]; then exec python3 -m harness --bin - --help; fi

if [ -z "$python" ]; then
  if [ ! -x "$work/venv/bin/python" ]; then python3 -m venv "$work/venv"; fi
  # litgpt and colossalai, whose own requirements do not go with the others': as the tests have them.
  alone=$repository/tests/python/requirements_without_dependencies.txt
  if ! cat "$here/requirements.txt" "$alone" | cmp -s - "$work/venv/.installed"; then
    echo "installing the peers' packages into $work/venv (more than a gigabyte, once)" >&2
    "$work/venv/bin/pip" install -qq --disable-pip-version-check -r "$here/requirements.txt"
    "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-deps -r "$alone"
    cat "$here/requirements.txt" "$alone" >"$work/venv/.installed"
  fi
  python=$work/venv/bin/python
  arguments+=(--python "$python")
fi

if [ -z "$bin" ]; then
  "$repository/cmake/install_packages.sh" benchmark
  echo "building into $work" >&2
  cmake -S "$repository" --preset release -B "$work" -DCAIRN_BUILD_TESTS=OFF -DCAIRN_BUILD_BENCHMARKS=ON \
    -DCAIRN_BUILD_PYTHON=ON -DPython_EXECUTABLE="$python" >/dev/null
  cmake --build "$work" --target cairnd cairn cairn_python \
    client_benchmark wire_baseline grpc_baseline disk_baseline checksum_benchmark cast_benchmark
  arguments+=(--bin "$work/bin")
  bare=$work-without-checks
  cmake -S "$repository" --preset release -B "$bare" -DCAIRN_BUILD_TESTS=OFF -DCAIRN_BUILD_BENCHMARKS=ON \
    -DCAIRN_WITHOUT_CHECKS=ON >/dev/null
  cmake --build "$bare" --target cairnd client_benchmark
  arguments+=(--bin-without-checks "$bare/bin")
fi

exec "$python" -m harness ${arguments[@]+"${arguments[@]}"}
