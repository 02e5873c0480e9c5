#!/usr/bin/env bash
# Installs what building, testing and the quickstart need: Debian packages (as root, or through sudo) and Python
# packages in a virtual environment of the project's own. Does nothing where everything is there already.
#
#   cmake/install_packages.sh build     what compiles and runs the programs
#   cmake/install_packages.sh test      the same, and what the tests need
#   cmake/install_packages.sh benchmark what tests/benchmark/run.sh builds with, and no Python packages: it has its own
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-build}

build_packages=(
  cmake ninja-build g++ ccache mold pkg-config
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libspdlog-dev libhwy-dev libsqlite3-dev libssl-dev libisal-dev libxxhash-dev zlib1g-dev libdeflate-dev libzstd-dev
  libcurl4-openssl-dev libpugixml-dev libgoogle-perftools-dev
  nlohmann-json3-dev libyaml-cpp-dev libcli11-dev
  python3 python3-venv ca-certificates
)
test_packages=(
  libgtest-dev libgmock-dev clang-14 libclang-rt-14-dev yamllint nodejs
  python3-dev  # the extension of the Python package
)
# CI images often bring a node of their own, which Debian's npm package does not go with.
if [ "$what" = test ] && ! command -v npm >/dev/null 2>&1; then test_packages+=(npm); fi

packages=("${build_packages[@]}")
if [ "$what" = test ]; then packages+=("${test_packages[@]}"); fi
if [ "$what" = benchmark ]; then packages+=(libbenchmark-dev python3-dev); fi

missing=()
for package in "${packages[@]}"; do
  if [ "$package" = nodejs ] && command -v node >/dev/null 2>&1; then continue; fi
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  echo "installing Debian packages: ${missing[*]}"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "these Debian packages are missing and only root can install them: ${missing[*]}" >&2
      echo "ask an administrator for: apt-get install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ "$what" = benchmark ]; then exit 0; fi

# Python packages: real flax, safetensors, ... as judges of what we read and write.
venv=.venv
requirements=tests/python/requirements.txt
without_dependencies=tests/python/requirements_without_dependencies.txt
stamp=$venv/.installed
if ! cat "$requirements" "$without_dependencies" | cmp -s - "$stamp"; then
  echo "installing Python packages into $venv (a few hundred MB, once)"
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install -qq --disable-pip-version-check -r "$requirements"
  "$venv/bin/pip" install -qq --disable-pip-version-check --no-deps -r "$without_dependencies"
  cat "$requirements" "$without_dependencies" >"$stamp"
fi

# What building and installing the Python package takes from PyPI, so that its test works offline.
wheels=$venv/wheels
requirements=tests/packaging/wheel_requirements.txt
if [ "$what" = test ] && ! cmp -s "$requirements" "$wheels/.downloaded"; then
  "$venv/bin/pip" download -qq --disable-pip-version-check -d "$wheels" -r "$requirements"
  cp "$requirements" "$wheels/.downloaded"
fi
