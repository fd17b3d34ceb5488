#!/bin/bash
# Transfers: overcoat and skopeo side by side on one docker-registry on loopback, and overcoat's memory for a large layer.
#
#   benches/registry.sh [PROGRAM]       needs docker-registry, skopeo, hyperfine, python3 and GNU time; 12 GB of disk
#
# Prints the tables of docs/benchmarks.md. RUNS says how often each is measured, BIG how many MB the large layer has.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-target/release/overcoat}")
runs=${RUNS:-5}
big=${BIG:-2048}
work=$(mktemp -d)
registry=
finish() {
    [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
port=$((20000 + RANDOM % 20000))
host=127.0.0.1:$port
export OVERCOAT_STORE=$work/store

cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}, delete: {enabled: true}}
http: {addr: $host}
YAML
docker-registry serve "$work/registry.yml" >"$work/requests" 2>"$work/registry.log" &
registry=$!

# layout DIRECTORY MEGABYTES...: an OCI layout with layers of that many megabytes that do not compress
layout() {
    python3 - "$@" <<'PYTHON'
import gzip, hashlib, io, json, os, random, sys, tarfile

directory, sizes = sys.argv[1], [int(size) for size in sys.argv[2:]]
blobs = os.path.join(directory, "blobs", "sha256")
os.makedirs(blobs)

def put(data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(blobs, digest), "wb") as file:
        file.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}

def layer(number, megabytes):
    """A tar of one file, in a gzip file that is written piece by piece: it may be larger than memory."""
    class Hashing:
        def __init__(self, inner): self.inner, self.sum, self.size = inner, hashlib.sha256(), 0
        def write(self, data): self.sum.update(data); self.size += len(data); return self.inner.write(data)
        def flush(self): self.inner.flush()
    class Noise(io.RawIOBase):
        def __init__(self): self.random = random.Random(number)
        def read(self, count=-1): return self.random.randbytes(count)
    path = os.path.join(blobs, f"new-{number}")
    with open(path, "wb") as file:
        packed = Hashing(file)
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as compressor:
            tar = Hashing(compressor)
            with tarfile.open(fileobj=tar, mode="w|") as archive:
                entry = tarfile.TarInfo(f"file-{number}")
                entry.size = megabytes << 20
                archive.addfile(entry, Noise())
    os.rename(path, os.path.join(blobs, packed.sum.hexdigest()))
    descriptor = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                  "digest": "sha256:" + packed.sum.hexdigest(), "size": packed.size}
    return descriptor, "sha256:" + tar.sum.hexdigest()

layers = [layer(number, size) for number, size in enumerate(sizes)]
config = {"architecture": "amd64", "os": "linux",
          "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]}}
config = {"mediaType": "application/vnd.oci.image.config.v1+json", **put(json.dumps(config).encode())}
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": [descriptor for descriptor, _ in layers]}
manifest = {"mediaType": manifest["mediaType"], **put(json.dumps(manifest).encode())}
manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
with open(os.path.join(directory, "index.json"), "w") as file:
    json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
with open(os.path.join(directory, "oci-layout"), "w") as file:
    json.dump({"imageLayoutVersion": "1.0.0"}, file)
PYTHON
}

skopeo_() { skopeo copy --quiet --insecure-policy --src-tls-verify=false --dest-tls-verify=false "$@"; }

# median COMMAND PREPARE: the median of several runs in seconds, the fastest and the slowest
median() {
    hyperfine --shell=none --runs "$runs" --warmup 1 --prepare "$2" --export-json "$work/json" "$1" >/dev/null 2>"$work/err" || {
        cat "$work/err" >&2
        exit 1
    }
    python3 -c 'import json, sys
result = json.load(open(sys.argv[1]))["results"][0]
print("%.3f s (%.3f to %.3f)" % (result["median"], result["min"], result["max"]))' "$work/json"
}

# peak COMMAND...: megabytes
peak() {
    /usr/bin/time --format '%M' --output "$work/peak" "$@" >/dev/null 2>"$work/err" || {
        cat "$work/err" >&2
        exit 1
    }
    echo "$(($(cat "$work/peak") / 1024)) MB"
}

# requests COMMAND...: how many the registry answers
requests() {
    local before
    before=$(wc -l <"$work/requests")
    "$@" >/dev/null 2>&1
    echo $(($(wc -l <"$work/requests") - before))
}

layout "$work/base" 120 60 30 15 5
skopeo_ "oci:$work/base:latest" "docker://$host/base:1"
"$program" pull "$host/base:1" >/dev/null 2>&1
push=("$program" push "$host/base:1")
push_skopeo=(skopeo copy --quiet --insecure-policy --dest-tls-verify=false "oci:$work/base:latest" "docker://$host/base:1")
options="--quiet --insecure-policy --src-tls-verify=false"

echo "| work | overcoat | skopeo |"
echo "|---|---|---|"
echo "| pull of a base of 230 MB, five layers | $(median "$program pull $host/base:1 --store $work/pulled" "rm -rf $work/pulled") | $(median "skopeo copy $options docker://$host/base:1 oci:$work/copied" "rm -rf $work/copied") |"
echo "| push of an unchanged image | $(median "${push[*]}" true) | $(median "${push_skopeo[*]}" true) |"
echo "| its requests | $(requests "${push[@]}") | $(requests "${push_skopeo[@]}") |"
rm -rf "$work/pulled" "$work/copied"

layout "$work/big" "$big"
skopeo_ "oci:$work/big:latest" "docker://$host/big:1"
rm -rf "$work/big"
echo
echo "| peak memory, a layer of $big MB | overcoat |"
echo "|---|---|"
echo "| pull | $(peak "$program" pull "$host/big:1") |"
echo "| push to another repository | $(peak "$program" push "$host/big:1" "$host/other:1") |"
