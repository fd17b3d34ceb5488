"""Writes tags/*.txt: what `packaging.tags.sys_tags()` gives for interpreters that this machine need not have.

    pip install packaging==25.0; python3 generate_tags.py

Each file: the platforms in order on one line, then one line for each run of tags, `python abi *` standing for all platforms
and `python abi any` for itself.
"""

import itertools
import pathlib

from packaging import _manylinux, _musllinux, tags

CASES = [  # name, version, is free-threaded, libc, its version, architecture
    ("cp311-glibc2.36-x86_64", (3, 11), False, "glibc", (2, 36), "x86_64"),
    ("cp313-glibc2.41-aarch64", (3, 13), False, "glibc", (2, 41), "aarch64"),
    ("cp313t-glibc2.41-x86_64", (3, 13), True, "glibc", (2, 41), "x86_64"),
    ("cp312-musl1.2-x86_64", (3, 12), False, "musl", (1, 2), "x86_64"),
    ("cp39-glibc2.31-i686", (3, 9), False, "glibc", (2, 31), "i686"),
    ("cp310-glibc2.35-armv7l", (3, 10), False, "glibc", (2, 35), "armv7l"),
    ("cp311-glibc2.36-ppc64le", (3, 11), False, "glibc", (2, 36), "ppc64le"),
    ("cp314-glibc2.17-s390x", (3, 14), False, "glibc", (2, 17), "s390x"),
    ("cp311-musl1.2-armv6l", (3, 11), False, "musl", (1, 2), "armv6l"),
]


def platforms(libc, version, arch):
    _manylinux._get_glibc_version.cache_clear()
    _manylinux._glibc_version_string = lambda: "%d.%d" % version if libc == "glibc" else None
    _manylinux._have_compatible_abi = lambda executable, archs: archs[0] != "armv6l"
    musl = _musllinux._MuslVersion(*version) if libc == "musl" else None
    _musllinux._get_musl_version = lambda executable: musl
    tags.sysconfig.get_platform = lambda: "linux-" + arch
    return list(tags._linux_platforms(is_32bit=False))


def main():
    out = pathlib.Path(__file__).parent / "tags"
    for name, version, threaded, libc, libc_version, arch in CASES:
        every = platforms(libc, libc_version, arch)
        abi = "cp%d%d%s" % (*version, "t" if threaded else "")
        interpreter = "cp%d%d" % version
        found = [
            *tags.cpython_tags(version, [abi], every),
            *tags.compatible_tags(version, interpreter, every),
        ]
        lines = [" ".join(every)]
        for key, run in itertools.groupby(found, lambda tag: (tag.interpreter, tag.abi, tag.platform == "any")):
            run = [tag.platform for tag in run]
            assert run == (["any"] if key[2] else every)
            lines.append("%s %s %s" % (key[0], key[1], "any" if key[2] else "*"))
        (out / (name + ".txt")).write_text("\n".join(lines) + "\n")


main()
