# Run by the image's own interpreter with: FILE, for the report. Only the standard library is used, of any Python 3.
import json
import os
import platform
import subprocess
import sys
import sysconfig

# The working directory is no place to import from.
sys.path[:] = [path for path in sys.path if path]


def libc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        pass
    # musl's dynamic linker says its version when it is started by itself.
    with open("/proc/self/maps") as maps:
        linkers = {line.split()[-1] for line in maps if "/ld-musl-" in line}
    for linker in linkers:
        said = subprocess.run([linker], stderr=subprocess.PIPE, universal_newlines=True).stderr
        for line in said.splitlines():
            if line.startswith("Version "):
                return "musl " + line.split()[1]
    return None


def installed():
    try:
        from importlib.metadata import distributions
    except ImportError:
        return None
    return sorted({(found.metadata["Name"], found.version) for found in distributions()})


purelib = sysconfig.get_path("purelib")
scripts = sysconfig.get_path("scripts")
standard = sysconfig.get_path("stdlib")
nearest = purelib
while not os.path.exists(nearest):
    nearest = os.path.dirname(nearest)
status = os.stat(nearest)
report = {
    "implementation": sys.implementation.name,
    "version": platform.python_version(),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "machine": platform.machine(),
    "libc": libc(),
    "executable": sys.executable,
    "purelib": purelib,
    "platlib": sysconfig.get_path("platlib"),
    "scripts": scripts,
    "data": sysconfig.get_path("data"),
    "headers": sysconfig.get_path("include"),
    "is_venv": sys.prefix != sys.base_prefix,
    "is_managed": sys.prefix == sys.base_prefix
    and os.path.exists(os.path.join(standard, "EXTERNALLY-MANAGED")),
    "is_plain": all(os.path.realpath(path) == path for path in (purelib, scripts)),
    "uid": os.getuid(),
    "gid": os.getgid(),
    "owner": [status.st_uid, status.st_gid, status.st_mode & 0o7777],
    "installed": installed(),
}
with open(sys.argv[1], "w") as file:
    json.dump(report, file)
