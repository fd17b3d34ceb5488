#!/bin/bash
# Pull and unpack of a base of some 230 MB from a docker-registry on loopback, with an empty disk: overcoat and buildah.
#
#   benches/pull.sh [PROGRAM]        as root; needs hyperfine, buildah, skopeo, docker-registry and the network
#
# The base is the recipe with numpy on it. `overcoat pull` pulls, `overcoat run IMAGE -- true` unpacks and runs a process;
# `buildah from` pulls and unpacks. STORES names where the stores are, `ext4` and the like: a directory for each row.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-target/release/overcoat}")
runs=${RUNS:-5}
work=$(mktemp -d -p "${WORK:-/tmp}")
registry=
finish() {
    [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
    buildah --root "$work/root" --runroot "$work/run" --storage-driver overlay rm --all >/dev/null 2>&1 || true
    umount "$work/root/overlay" 2>/dev/null || true
    rm -rf "$work" 2>/dev/null || true
}
trap finish EXIT
host=127.0.0.1:$((20000 + RANDOM % 20000))
cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: $host}
YAML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!

mkdir "$work/app"
echo numpy==2.1.0 >"$work/app/requirements.txt"
echo 'print("hello")' >"$work/app/app.py"
OVERCOAT_STORE=$work/made "$program" build --quiet "$work/app" -t "$host/base" --push >/dev/null
OVERCOAT_STORE=$work/made "$program" run "$host/base" -- sh -c 'du -sxm / 2>/dev/null; true' | awk '{ print "The base has " $1 " MB unpacked." }'
rm -rf "$work/made"

export OVERCOAT_STORE=$work/store
buildah="buildah --root $work/root --runroot $work/run --storage-driver overlay"
measure() {
    hyperfine --shell=none --runs "$runs" --prepare "$2" --export-json "$work/json" "$1" >/dev/null
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1]))["results"][0]; print("%.2f" % r["median"])' "$work/json"
}
echo "| work | seconds |"
echo "|---|---|"
echo "| overcoat: pull, unpack, run \`true\` | $(measure "sh -c '$program pull $host/base && $program run $host/base -- true'" "rm -rf $work/store") |"
echo "| overcoat: pull | $(measure "$program pull $host/base" "rm -rf $work/store") |"
echo "| skopeo: copy to a layout (no unpacking) | $(measure "skopeo copy --quiet --src-tls-verify=false docker://$host/base oci:$work/layout" "rm -rf $work/layout") |"
echo "| buildah: pull and unpack | $(measure "$buildah from --quiet --tls-verify=false $host/base" "bash -c '$buildah rm --all >/dev/null 2>&1; $buildah rmi --all --force >/dev/null 2>&1; true'") |"
