#!/bin/bash
# The figures of docs/benchmarks.md: the main job, timed whole. Needs hyperfine and GNU time, the network, and root or an
# ordinary user with subordinate ids.
#
#   benches/main-job.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-target/release/overcoat}")
work=$(mktemp -d)
trap 'rm -rf "$work" 2>/dev/null || true' EXIT
export OVERCOAT_STORE=$work/store
cp -r testdata/apps/flask-hello "$work/app"

peak() {
    /usr/bin/time --format '%M' --output "$work/peak" "$@" >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }
    awk '{ printf "%.0f MB", $1 / 1024 }' "$work/peak"
}

timed() {
    local name=$1 runs=$2 prepare=$3
    shift 3
    hyperfine --shell=none --runs "$runs" --prepare "$prepare" --export-json "$work/json" "$*" >/dev/null 2>"$work/err" || {
        cat "$work/err" >&2
        exit 1
    }
    local seconds
    seconds=$(python3 -c 'import json, sys; r = json.load(open(sys.argv[1]))["results"][0]; print("%.2f s (%.2f to %.2f)" % (r["median"], r["min"], r["max"]))' "$work/json")
    bash -c "$prepare"
    printf '| %s | %s | %s |\n' "$name" "$seconds" "$(peak "$@")"
}

echo "| work | median (min to max) | peak memory |"
echo "|---|---|---|"
timed "recipe python-3.11, nothing cached" 3 "rm -rf $work/store" "$program" builder build python-3.11
timed "first build of flask-hello, nothing cached" 3 "rm -rf $work/store" "$program" build "$work/app" -t app
timed "second build, nothing changed" 5 "true" "$program" build "$work/app" -t app
timed "second build, app.py changed" 5 "touch $work/app/x\$RANDOM" "$program" build "$work/app" -t app
timed "build without packages, nothing changed" 10 "true" "$program" build testdata/apps/no-requirements -t plain
timed "flask-hello by assemble, nothing kept" 3 "true" "$program" build "$work/app" -t app --strategy assemble --no-cache
timed "start (overcoat --version)" 50 "true" "$program" --version
