#!/bin/sh
# What stands around a build costs, and what comes after it: a project's build beside a plain one, records, manifests of
# 5 MB. Prints a table for docs/benchmarks.md. The network is not used.
#
#   cargo build --release && benches/path.sh [BUILDER]
#
# BUILDER is any builder image that is at hand (default: the one that overcoat makes). RUNS (default 5) says how often.
set -eu
cd "$(dirname "$0")/.."
program=$PWD/target/release/overcoat
builder=${1:-builder:python-3.11}
runs=${RUNS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OVERCOAT_STORE="${OVERCOAT_STORE:-$work/store}"

# The median of some runs of a command, in milliseconds.
median() {
    for _ in $(seq "$runs"); do
        before=$(date +%s%N)
        "$@" >/dev/null 2>&1 || { echo "path.sh: failed: $*" >&2; exit 1; }
        echo $((($(date +%s%N) - before) / 10000))
    done | sort -n | sed -n "$(((runs + 1) / 2))p" | sed 's/..$/.&/'
}

for name in web api; do
    mkdir -p "$work/plain/$name"
    echo "print('$name')" >"$work/plain/$name/app.py"
done
cp -r "$work/plain" "$work/project"
{
    for name in web api; do printf '[applications.%s]\npath = "%s"\nbuilder = "%s"\n' "$name" "$name" "$builder"; done
} >"$work/project/overcoat.toml"

cd "$work/plain"
"$program" build web -t web --build-image "$builder" >/dev/null 2>&1
plain=$(median "$program" build web -t web --build-image "$builder")
start=$(median "$program" --version)
cd "$work/project"
"$program" build --all >/dev/null 2>&1
one=$(median "$program" build --application web)
both=$(median "$program" build --all)
explain=$(median "$program" config explain)

# A deployment among very many others.
image=example.com/app@sha256:$(printf x | sha256sum | cut -d' ' -f1)
for number in $(seq 20000); do
    printf -- '---\n# nr %s\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w%s}\nspec:\n  template:\n    spec:\n      containers:\n      - name: c%s\n        image: "example.com/other:%s" # stays\n' \
        "$number" "$number" "$number" "$number"
done >many.yaml
size=$(wc -c <many.yaml)
edit=$(median "$program" deploy --manifest many.yaml --container c19999 --image "$image" --dry-run)
peak=$(python3 - "$program" "$image" <<'P'
import resource, subprocess, sys
program, image = sys.argv[1:]
subprocess.run([program, "deploy", "--manifest", "many.yaml", "--container", "c19999", "--image", image, "--dry-run"],
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
P
)
for _ in $(seq 200); do "$program" build --application web >/dev/null 2>&1; done
list=$(median "$program" history --json)

cat <<T
| work | median, ms |
|---|---|
| the program starts (\`--version\`) | $start |
| nothing changed, \`build\` without a project | $plain |
| nothing changed, \`build\` of a project's application, with its record | $one |
| nothing changed, \`build --all\` of two | $both |
| \`config explain\` | $explain |
| \`deploy --manifest\`, one image among 20,000 workloads ($size bytes; peak $peak MB) | $edit |
| \`history --json\` of some 200 builds | $list |
T
