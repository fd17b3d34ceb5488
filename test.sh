#!/bin/sh
# Installs what the tests need from Debian, makes the ordinary user that some of them act as, and runs them all.
# Arguments go to the test runner: ./test.sh tiny
set -eu
cd "$(dirname "$0")"

packages="buildah busybox-static containerd curl docker-registry docker.io dpkg-dev gcc git libc6-dev openssl podman procps python3 python3-pip python3-venv python3-yaml runc shellcheck skopeo uidmap umoci xz-utils zstd"

if [ "$(id -u)" -ne 0 ]; then
    echo "test.sh: the tests need root, for they mount file systems and act as other users: sudo ./test.sh" >&2
    exit 1
fi

missing=
for package in $packages; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "test.sh: installing$missing" >&2
    apt-get update --quiet --quiet >&2
    # shellcheck disable=SC2086 # the list is meant to be split
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $missing >&2
fi

# The ordinary user of the tests; useradd gives it ranges in /etc/subuid and /etc/subgid.
getent passwd overcoat-test >/dev/null || useradd --create-home overcoat-test
grep -q '^overcoat-test:' /etc/subuid || usermod --add-subuids 4200000-4265535 --add-subgids 4200000-4265535 overcoat-test

# It must reach the program under test, which may be below a closed home directory.
target=${CARGO_TARGET_DIR:-target}
if ! setpriv --reuid=overcoat-test --regid=overcoat-test --clear-groups test -x "$PWD"; then
    CARGO_TARGET_DIR=${TMPDIR:-/tmp}/overcoat-target
    export CARGO_TARGET_DIR
    echo "test.sh: \`$PWD\` is closed to ordinary users; building in $CARGO_TARGET_DIR" >&2
    target=$CARGO_TARGET_DIR
fi

shellcheck s2i-scripts/python/* src/scaffold/builder/bin/* src/scaffold/builder/test-run src/scaffold/application/assemble src/scaffold/application/run test.sh .ci/run tests/compare-skips tests/cluster/build tests/cluster/keep testdata/runners/probe testdata/builders/*/*

# The builder images of a run are made in that run, and so is the list of tests that could not be run.
rm -rf "$target/tmp/seed-store" "$target/tmp/seed-unpacked" "$target/tmp/s2i-builders" "$target/tmp/skipped"

# The Kubernetes API of the cluster tests is built once for a machine, while they are compiled. Where it cannot be, they say
# that they were skipped.
tests/cluster/build &
cluster=$!
cargo test --no-run
wait "$cluster" || echo "test.sh: there is no Kubernetes API to test with (tests/cluster/build: $?)" >&2

status=0
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --no-fail-fast "$@" || status=$?
else
    cargo test --no-fail-fast "$@" || status=$?
fi

# Arguments may leave tests out; those need not have been skipped.
some=
[ $# -eq 0 ] || some=--some
tests/compare-skips $some tests/skips.txt "$target/tmp/skipped" || status=1
exit "$status"
