# Run by the image's own interpreter (3.7 or later) with: WORKERS DIRECTORY...
# Compiles what has no valid bytecode below the directories and where packages are installed. Status 3: not every file
# could be compiled, which is common: packages carry templates and tests for other versions of Python.
import sys

# The working directory is no place to import from.
sys.path[:] = [path for path in sys.path if path]

import compileall
import functools
import importlib.util
import os
import py_compile
import struct
import sysconfig


def is_valid(source):
    try:
        with open(importlib.util.cache_from_source(source), "rb") as bytecode:
            header = bytecode.read(16)
        if header[:4] != importlib.util.MAGIC_NUMBER or len(header) != 16:
            return False
        flags = struct.unpack("<L", header[4:8])[0]
        if flags == 0:
            status = os.stat(source)
            numbers = int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF
            return header[8:] == struct.pack("<LL", *numbers)
        if flags == 1:
            return True
        with open(source, "rb") as file:
            return header[8:] == importlib.util.source_hash(file.read())
    except OSError:
        return False


def sources(directory):
    for parent, directories, files in os.walk(directory):
        directories[:] = sorted(set(directories) - {"__pycache__", "node_modules", ".git"})
        for name in sorted(files):
            path = os.path.join(parent, name)
            if name.endswith(".py") and not os.path.islink(path):
                yield path


def main():
    workers = int(sys.argv[1])
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    found = {path for directory in sys.argv[2:] + installed for path in sources(directory)}
    missing = [path for path in sorted(found) if not is_valid(path)]
    compile_one = functools.partial(
        compileall.compile_file,
        force=True,
        quiet=1,
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )
    pool = None
    if workers > 1 and len(missing) > 64:
        try:
            from concurrent.futures import ProcessPoolExecutor

            pool = ProcessPoolExecutor(workers)
        except (ImportError, NotImplementedError, OSError):
            pass  # No semaphores here: one process does it, too.
    if pool:
        with pool:
            done = list(pool.map(compile_one, missing, chunksize=16))
    else:
        done = list(map(compile_one, missing))
    return 0 if all(done) else 3


if __name__ == "__main__":
    sys.exit(main())
