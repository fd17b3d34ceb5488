#!/bin/bash
# The marks of DESIGN §9: overcoat and buildah side by side, in one go, on the same inputs.
#
#   benches/compare.sh [PROGRAM]        as root; needs hyperfine, buildah, docker-registry, GNU time and the network
#
# Both take the same builder image, which is in a docker-registry on loopback, and push to that registry. buildah caches
# its layers and keeps pip's cache in a mount. Prints the tables of docs/benchmarks.md.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-target/release/overcoat}")
runs=${RUNS:-5}
work=$(mktemp -d)
registry=
finish() {
    [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
    buildah_ umount --all >/dev/null 2>&1 || true
    rm -rf "$work" 2>/dev/null || true
}
trap finish EXIT
export OVERCOAT_STORE=$work/store
port=$((20000 + RANDOM % 20000))
host=127.0.0.1:$port

buildah_() {
    buildah --root "$work/buildah/root" --runroot "$work/buildah/run" --storage-driver overlay "$@"
}

cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}, delete: {enabled: true}}
http: {addr: $host}
YAML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!

# application NAME REQUIREMENT...
application() {
    local directory=$work/$1
    mkdir -p "$directory"
    shift
    printf '%s\n' "$@" >"$directory/requirements.txt"
    echo 'print("hello")' >"$directory/app.py"
    # The same work for buildah, cached as well as it can: requirements first, pip's cache in a volume.
    cat >"$directory/../$(basename "$directory").Dockerfile" <<DOCKERFILE
FROM $host/builder
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY . ./
CMD ["/usr/libexec/s2i/run"]
DOCKERFILE
}
application light flask requests==2.32.3 gunicorn
application heavy numpy pandas scipy scikit-learn fastapi==0.115.0 uvicorn

"$program" builder build python-3.11 >/dev/null 2>&1
"$program" push builder/python-3.11 "$host/builder" >/dev/null 2>&1
export OURS="$program build --quiet --build-image $host/builder"
mkdir -p "$work/pip"

cat >"$work/ours" <<SCRIPT
#!/bin/sh
exec $program build --quiet --build-image $host/builder "$work/\$1" -t $host/ours-\$1 \$2
SCRIPT
cat >"$work/theirs" <<SCRIPT
#!/bin/sh
set -e
b() { buildah --root $work/buildah/root --runroot $work/buildah/run --storage-driver overlay "\$@"; }
b bud --quiet --layers --isolation chroot --network host --tls-verify=false -v $work/pip:/opt/app-root/src/.cache/pip -v /etc/ssl/certs:/etc/ssl/certs:ro \\
    --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt --env PIP_DISABLE_PIP_VERSION_CHECK=1 \\
    -t $host/theirs-\$1 -f $work/\$1.Dockerfile $work/\$1 >/dev/null
if [ "\$2" = --push ]; then b push --quiet --tls-verify=false $host/theirs-\$1; fi
SCRIPT
chmod +x "$work/ours" "$work/theirs"
chmod -R a+rwX "$work/pip"

# median COMMAND PREPARE: seconds, or `failed`.
median() {
    if hyperfine --shell=none --runs "$runs" --prepare "$2" --export-json "$work/json" "$1" >/dev/null 2>"$work/err"; then
        python3 -c 'import json, sys; r = json.load(open(sys.argv[1]))["results"][0]; print("%.3f" % r["median"])' "$work/json"
    else
        tail -n 5 "$work/err" >&2
        echo failed
    fi
}

row() {
    local name=$1 ours=$2 theirs=$3 mark=$4
    python3 - "$name" "$ours" "$theirs" "$mark" <<'PYTHON'
import sys
name, ours, theirs, mark = sys.argv[1:]
ratio = "%.1f×" % (float(theirs) / float(ours)) if "failed" not in (ours, theirs) else "–"
print(f"| {name} | {ours} s | {theirs} s | {ratio} | {mark} |", flush=True)
PYTHON
}

peak() {
    /usr/bin/time --format '%M' --output "$work/peak" "$@" >/dev/null
    tail -n 1 "$work/peak" | awk '{ printf "%.0f MB", $1 / 1024 }'
}

# shellcheck disable=SC2016 # expanded by the shell that runs it
edit='bash -c "echo \"print($RANDOM$RANDOM)\" >DIR/app.py"'
# A version that was never asked for before, each time: nobody has its answer.
cat >"$work/change" <<'SCRIPT'
#!/bin/bash
set -e
count=$(($(cat "$1/../count-$2" 2>/dev/null || echo 0) + 1))
echo $count >"$1/../count-$2"
requests=(2.32.4 2.32.2 2.31.0 2.30.0 2.29.0 2.28.2 2.28.1 2.28.0 2.27.1 2.27.0 2.26.0)
fastapi=(0.115.1 0.114.2 0.114.1 0.114.0 0.113.0 0.112.4 0.112.3 0.112.2 0.112.1 0.112.0 0.111.1)
sed -i -e "s/^requests==.*/requests==${requests[$count]}/" -e "s/^fastapi==.*/fastapi==${fastapi[$count]}/" "$1/requirements.txt"
SCRIPT
chmod +x "$work/change"

echo "| work | overcoat | buildah | ratio | mark |"
echo "|---|---|---|---|---|"
for app in light heavy; do
    cold_mark=$([ $app = light ] && echo 1.5 || echo 4)
    ours=$(median "$work/ours $app --push" "rm -rf $work/store $work/registry/docker/registry/v2/repositories/ours-$app")
    theirs=$(median "$work/theirs $app --push" "bash -c 'buildah --root $work/buildah/root --runroot $work/buildah/run rmi --all --force >/dev/null 2>&1; rm -rf $work/pip/* $work/registry/docker/registry/v2/repositories/theirs-$app; true'")
    row "cold, $app, build and push" "$ours" "$theirs" "$cold_mark s"
    row "nothing changed, $app, build" "$(median "$work/ours $app" true)" "$(median "$work/theirs $app" true)" "0.02 s"
    prepare=${edit//DIR/$work/$app}
    row "app.py changed, $app, build and push" "$(median "$work/ours $app --push" "$prepare")" "$(median "$work/theirs $app --push" "$prepare")" "0.05 s"
    ours=$(median "$work/ours $app --push" "$work/change $work/$app ours-$app")
    theirs=$(median "$work/theirs $app --push" "$work/change $work/$app theirs-$app")
    row "one requirement changed, $app, build and push" "$ours" "$theirs" "$([ $app = heavy ] && echo 0.6 s || echo –)"
done

echo
echo "| peak memory | overcoat |"
echo "|---|---|"
echo "| an empty disk, and the image is there | $(rm -rf "$work/store"; peak "$work/ours" heavy --push) |"
rm -rf "$work/store" "$work/registry/docker/registry/v2/repositories/ours-heavy"
echo "| cold, heavy, build and push | $(peak "$work/ours" heavy --push) |"
echo 'print("again")' >"$work/heavy/app.py"
echo "| app.py changed, heavy, build and push | $(peak "$work/ours" heavy --push) |"
