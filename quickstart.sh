#!/usr/bin/env bash
# The main job, end to end, on a machine that has never seen the project: installs what is missing, builds, starts
# cairnd, saves a real EasyLM checkpoint into it and gets it back as safetensors in another dtype, every value checked.
# May be run again and again. Leaves nothing running.
#
#   ./quickstart.sh            a LLaMA-shaped model of some hundred MB
#   CAIRN_QUICKSTART_ARGS="--hidden 512 --layers 4 --vocab 8000" ./quickstart.sh    a smaller one
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

say "installing what is missing"
cmake/install_packages.sh build

say "building (release preset)"
cmake --preset release -DCAIRN_BUILD_TESTS=OFF -B build/quickstart >/dev/null
cmake --build build/quickstart --target cairnd cairn
bin=$PWD/build/quickstart/bin
python=$PWD/.venv/bin/python

work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-quickstart-XXXXXX")
daemon=
cleanup() {
  if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
    kill -TERM "$daemon"
    wait "$daemon" || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

say "starting cairnd on its embedded default (a directory and SQLite)"
export CAIRN_SERVER=unix:$work/cairnd.sock
"$bin/cairnd" --data-dir "$work/data" --listen '' --unix-socket "$work/cairnd.sock" 2>"$work/cairnd.log" &
daemon=$!
for _ in $(seq 100); do
  [ -S "$work/cairnd.sock" ] && break
  if ! kill -0 "$daemon" 2>/dev/null; then
    echo "cairnd did not start:" >&2
    cat "$work/cairnd.log" >&2
    exit 1
  fi
  sleep 0.1
done
"$bin/cairn" doctor

say "writing an EasyLM streaming checkpoint with the real flax package"
# shellcheck disable=SC2086  # The arguments are words.
"$python" tests/golden/make_llama_checkpoint.py ${CAIRN_QUICKSTART_ARGS:-} --out "$work/llama.easylm"
ls -lh "$work/llama.easylm" | awk '{print $5, $9}'

say "pushing it"
"$bin/cairn" push "params::$work/llama.easylm" quickstart/llama@100 --metadata source=quickstart

say "listing"
"$bin/cairn" ls

say "one tensor"
"$bin/cairn" show quickstart/llama@100 '**/ln_f/kernel' --values

say "pulling it back as safetensors, cast to float16 on the way out"
"$bin/cairn" pull quickstart/llama@100 "$work/llama.safetensors" --dtype fp16

say "checking every value with the real safetensors package"
"$python" tests/golden/check_llama_checkpoint.py --easylm "$work/llama.easylm" --safetensors "$work/llama.safetensors" \
  --dtype float16

say "verifying what is stored"
"$bin/cairn" verify quickstart/llama@100

cat <<NEXT

All of it worked. What you would type next:

  build/quickstart/bin/cairnd --data-dir ~/cairn-data             start a daemon that stays (localhost:7710)
  build/quickstart/bin/cairn push params::FILE team/run@1000      save a checkpoint (or a .safetensors file or folder)
  build/quickstart/bin/cairn ls team/                             see what is there
  build/quickstart/bin/cairn pull team/run@latest model.safetensors --dtype bf16
  build/quickstart/bin/cairn convert params::FILE out.safetensors convert files without any daemon
NEXT
