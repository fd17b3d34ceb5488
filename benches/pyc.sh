#!/bin/bash
# What clamped times cost when bytecode is not looked after: how long importing takes with valid bytecode, with bytecode
# that was rewritten to the clamped times, and with bytecode that does not match. Needs python3 with venv, hyperfine and the
# network.
#
#   benches/pyc.sh [PYTHON] [PACKAGES...]
set -euo pipefail

python=${1:-python3}
shift || true
packages=("$@")
[ ${#packages[@]} -gt 0 ] || packages=(flask pandas sqlalchemy)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --target "$work/unclamped" "${packages[@]}"
env -u SOURCE_DATE_EPOCH "$python" -m compileall -q "$work/unclamped" >/dev/null || true
cp -a "$work/unclamped" "$work/stale"
cp -a "$work/unclamped" "$work/clamped"
find "$work/stale" "$work/clamped" -exec touch -h -d @315532800 {} +
# As `layer::pyc` does it: the header gets the time that the layer shows.
"$python" - "$work/unclamped" "$work/clamped" <<'PYTHON'
import os, struct, sys
before, after = sys.argv[1:]
for parent, _, files in os.walk(after):
    for name in files:
        if not name.endswith(".pyc"):
            continue
        path = os.path.join(parent, name)
        source = os.path.join(os.path.dirname(parent), name.split(".")[0] + ".py")
        real = os.stat(os.path.join(before, os.path.relpath(source, after)))
        with open(path, "r+b") as file:
            header = file.read(16)
            if header[4:] == struct.pack("<LLL", 0, int(real.st_mtime), real.st_size):
                file.seek(8)
                file.write(struct.pack("<L", 315532800))
PYTHON

modules=$(IFS=,; echo "${packages[*]}")
printf '| bytecode | median (min to max) |\n|---|---|\n'
for tree in unclamped clamped stale; do
    hyperfine --shell=none --warmup 1 --runs "${RUNS:-7}" --export-json "$work/json" \
        "env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$work/$tree $python -c 'import $modules'" >/dev/null
    "$python" -c 'import json, sys; r = json.load(open(sys.argv[1]))["results"][0]; print("| %s | %.2f s (%.2f to %.2f) |" % (sys.argv[2], r["median"], r["min"], r["max"]))' "$work/json" "$tree"
done
