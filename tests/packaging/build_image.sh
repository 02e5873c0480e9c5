#!/bin/bash
# Builds the image for real, runs it as it is meant to be run, and takes it down. As root, on Debian 12; needs buildah,
# podman, runc and debootstrap, and the mirror that apt uses (or CAIRN_DEBIAN_MIRROR). The base image is made with debootstrap, since nothing else
# on Debian has it.
#
#   tests/packaging/build_image.sh [WORK_FOLDER]     (kept if given, so that the next build starts from its layers)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
for tool in buildah podman runc debootstrap; do
  command -v "$tool" >/dev/null || { echo "build_image.sh: $tool is missing: apt-get install buildah podman runc debootstrap uidmap" >&2; exit 1; }
done
if [ $# -gt 0 ]; then
  work=$1
  mkdir -p "$work"
else
  work=$(mktemp -d)
fi

container=cairnd-image-test-$$
cleanup() {
  podman rm --force --ignore "$container" >/dev/null 2>&1 || true
  if [ $# -eq 0 ]; then
    podman rmi --all --force >/dev/null 2>&1 || true
    rm -rf "$work"
  fi
}

# Storage and settings of our own: those of the machine stay as they are.
mkdir -p "$work/graph" "$work/run" "$work/data"
cat > "$work/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$work/graph"
runroot = "$work/run"
END
cat > "$work/registries.conf" <<END
unqualified-search-registries = []
short-name-mode = "disabled"
END
cat > "$work/containers.conf" <<END
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
END
export CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_REGISTRIES_CONF=$work/registries.conf CONTAINERS_CONF=$work/containers.conf
trap 'cleanup "$@"' EXIT

base=docker.io/library/debian:bookworm-slim
if ! podman image exists "$base"; then
  mirror=${CAIRN_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -1)}
  debootstrap --variant=minbase bookworm "$work/rootfs" ${mirror:+"$mirror"} >"$work/debootstrap.log"
  tar -C "$work/rootfs" -c . | podman import --quiet - "$base" >/dev/null
  rm -rf "$work/rootfs"
fi
buildah bud --isolation chroot --pull-never --format docker --layers -t cairnd:test "$root"

expect() {  # expect WHAT EXPECTED FOUND
  if [ "$2" != "$3" ]; then
    echo "build_image.sh: $1: expected \"$2\", found \"$3\"" >&2
    podman logs "$container" >&2 || true
    exit 1
  fi
  echo "ok: $1"
}
inspect() { podman image inspect --format "$1" cairnd:test; }
expect "user" "10001:10001" "$(inspect '{{.Config.User}}')"
expect "entry point" "[cairnd]" "$(inspect '{{.Config.Entrypoint}}')"
expect "health check" "[CMD cairn doctor]" "$(inspect '{{.HealthCheck.Test}}')"

chown 10001:10001 "$work/data"
limits=(--ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --no-healthcheck --network none)
podman run --detach --name "$container" "${limits[@]}" --read-only --tmpfs /tmp --cap-drop ALL \
  --security-opt no-new-privileges --volume "$work/data:/var/lib/cairn" cairnd:test >/dev/null
for _ in $(seq 100); do
  if podman exec "$container" cairn doctor >/dev/null 2>&1; then break; fi
  sleep 0.2
done
expect "it answers" "0" "$(podman exec "$container" cairn doctor >/dev/null 2>&1; echo $?)"
expect "it runs as its user" "10001" "$(podman top "$container" huser | tail -1 | tr -d ' ')"
expect "its data is on the volume" "data" "$(ls "$work/data")"
podman stop --time 40 "$container" >/dev/null
expect "it stops by itself" "0" "$(podman inspect --format '{{.State.ExitCode}}' "$container")"
