#!/bin/bash
# What the ownership ledger costs: a hook that is root changes owners, with the ledger (`single-id`) and with ids that the
# kernel maps (`userns`). For an ordinary user with subordinate ids (root has no need of a ledger); needs the network.
#
#   benches/ledger.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-target/release/overcoat}")
work=$(mktemp -d)
# What was unpacked belongs to ids that only overcoat can act for.
clean() {
    "$program" rm app
    "$program" rm builder/python-3.11
    "$program" gc --all
    rm -rf "$work"
}
trap 'clean >/dev/null 2>&1 || true' EXIT
export OVERCOAT_STORE=$work/store
mkdir -p "$work/app/.s2i/bin"
cat >"$work/app/.s2i/bin/assemble" <<'HOOK'
#!/bin/bash
set -eu
cd "$(mktemp -d)"
mkdir d
(cd d; seq -w 3000 | xargs touch)
python3 - <<'PYTHON'
import os, subprocess, time

def timed(what, count, work):
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(f"measured {what}: {seconds:.3f} s, {count / seconds:.0f} a second", flush=True)

timed("chown -R, one process", 3001, lambda: subprocess.run(["chown", "-R", "3:4", "d"], check=True))
timed("chown, one path", 20000, lambda: [os.chown("d", 1, 1) for _ in range(20000)])
timed("getuid", 20000, lambda: [os.getuid() for _ in range(20000)])
PYTHON
HOOK
chmod +x "$work/app/.s2i/bin/assemble"
echo 'print("app")' >"$work/app/app.py"

for isolation in userns single-id; do
    "$program" build "$work/app" -t app --assemble-user root --isolation "$isolation" --no-cache --progress plain \
        >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }
    grep -o 'measured .*' "$work/err" "$OVERCOAT_STORE"/logs/* -h | sort -u | sed "s/^measured /$isolation, /"
done
