#!/bin/bash
# What `s2i build SOURCE BUILDER TAG` takes, beside buildah on the Dockerfile that `--as-dockerfile` writes: the same scripts, the same
# source, the same builder image.
#
#   benches/s2i.sh LAYOUT:NAME SOURCE [PROGRAM]        as root; needs buildah, and whatever the scripts need
#
# LAYOUT:NAME is the builder image in an OCI layout, such as the one that the tests leave in target/tmp/s2i-builders. SOURCE is copied;
# the edit is a line more in each of its Python files at the top. buildah keeps its layers and its base image between runs.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: $0 LAYOUT:NAME SOURCE [PROGRAM]" >&2; exit 2; }
builder=oci:$(realpath "${1%:*}"):${1##*:}
source=$(realpath "$2")
program=$(realpath "${3:-target/release/overcoat}")
runs=${RUNS:-3}
work=$(mktemp -d -p "${WORK:-/tmp}")
buildah_() {
	buildah --root "$work/root" --runroot "$work/run" --storage-driver overlay "$@"
}
# shellcheck disable=SC2329 # the trap calls it
finish() {
	buildah_ rm --all >/dev/null 2>&1 || true
	umount "$work/root/overlay" 2>/dev/null || true
	rm -rf "$work" 2>/dev/null || true
}
trap finish EXIT
ln -s "$program" "$work/s2i"
export OVERCOAT_STORE=$work/store OVERCOAT_S2I_LOAD=none
cp -a "$source" "$work/source"

ours() { "$work/s2i" build --copy "$work/source" "$builder" app:1 >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }
theirs() {
	rm -rf "$work/context"
	"$work/s2i" build --copy "$work/source" "$builder" app:1 --as-dockerfile "$work/context/" >"$work/log" 2>&1
	buildah_ bud --quiet --layers --isolation chroot --tag app "$work/context" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}
edit() {
	local file
	for file in "$work"/source/*.py; do echo "# $RANDOM$RANDOM" >>"$file"; done
}
# seconds WHAT [BEFORE]: the median.
seconds() {
	local i start
	for ((i = 0; i < runs; i++)); do
		${2:-:}
		start=$(date +%s%N)
		"$1"
		echo $((($(date +%s%N) - start) / 1000000))
	done | sort -n | sed -n "$(((runs + 1) / 2))p" | awk '{ printf "%.3f", $1 / 1000 }'
}
cold() { rm -rf "$OVERCOAT_STORE"; }

echo "| work | s2i (overcoat) | buildah |"
echo "|---|---|---|"
echo "| first build on this machine | $(seconds ours cold) | $(runs=1 seconds theirs) |"
theirs
echo "| nothing changed | $(seconds ours) | $(seconds theirs) |"
echo "| an edit | $(seconds ours edit) | $(seconds theirs edit) |"
