"""Writes pip.json: what pip's own reader makes of requirements files. Run with a Python 3.11 that has pip 23.2:

    python3.11 generate.py
"""

import json
import os
import pathlib
import tempfile

from pip import __version__
from pip._internal.exceptions import PipError
from pip._internal.index.collector import LinkCollector
from pip._internal.index.package_finder import PackageFinder
from pip._internal.cli import cmdoptions
from pip._internal.models.search_scope import SearchScope
from pip._internal.models.selection_prefs import SelectionPreferences
from pip._internal.models.wheel import Wheel
from pip._internal.network.session import PipSession
from pip._internal.req.constructors import install_req_from_parsed_requirement
from pip._internal.req.req_file import parse_requirements
from pip._vendor.packaging.utils import canonicalize_name

HASH = "sha256:" + "0123456789abcdef" * 4
HASH2 = "sha512:" + "0123456789abcdef" * 8
VARIABLES = {"TOKEN": "s3cret", "HOST": "index.example", "EMPTY": "", "lower": "no", "VERSION_1": "1.5"}
ENVIRONMENTS = [
    {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix"},
    {"python_version": "3.8", "python_full_version": "3.8.18", "sys_platform": "linux", "platform_machine": "aarch64", "os_name": "posix"},
    {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux", "platform_machine": "armv7l", "os_name": "posix"},
]
COMMON = {
    "implementation_name": "cpython", "platform_python_implementation": "CPython", "platform_release": "",
    "platform_system": "Linux", "platform_version": "",
}

# Each: the requirements file, or all files of a tree. A name ending with `/` is a directory.
CASES = [
    "flask", "Flask.SQLAlchemy_X==3.0", "flask==3.0.3", "flask == 3.0.3", "flask>=2,<4,!=3.0.1", "flask~=3.0",
    "flask (>=2)", "flask===3.0.3", "flask==3.*", "flask[async,dotenv]>=2", "flask[ async , Dot_Env ]>=2", "flask [async]",
    "flask>2.0.0a1", "flask==1!2.0", "torch==2.1.0+cpu", "flask=3", "flask==", "flask 3", "-flask", "flask>=2;", "==1.0", "flask,click",
    "flask; python_version >= '3.9'", "flask;python_version<'3.9' and platform_machine=='aarch64'", "flask ; sys_platform == \"win32\" or os_name == 'posix'",
    "flask ; python_version in '3.8, 3.9'", "flask ; python_full_version >= '3.11.2'", "flask; extra == 'x'", "flask; nonsense == 'x'", "flask; python_version",
    "flask # comment", "flask#egg", "flask\t# tab", "  flask  ", "# only\n\n \n", "flask \\\n  >=2 \\\n  ,<4\nclick", "flask \\\n# comment\nclick", "flask>=2 \\", "a\\\\\nb",
    "flask\r\nclick\r", "\ufeffflask", "caf\u00e9", "flask ; python_version > '3' # caf\u00e9", "flask\x0cclick\u2028jinja2",
    "flask==3.0.3 --hash=" + HASH, "flask==3.0.3 \\\n    --hash=" + HASH + " \\\n    --hash " + HASH2 + "\nclick", "flask --hash=" + HASH + " ; python_version > '3'",
    "flask --hash=md5:d41d8cd98f00b204e9800998ecf8427e", "flask --hash=abc", "--hash=" + HASH, "flask --hash", "flask --ha=" + HASH, "--hash=x",
    "flask==${VERSION_1}", "flask==${MISSING}", "flask==${lower}", "flask${EMPTY}", "--index-url https://${TOKEN}@${HOST}/simple",
    "-i https://a.example/simple", "-ihttps://a.example/simple", "--index-url=https://a.example/simple\nflask", "--pypi-url https://a.example/simple",
    "--extra-index-url https://b.example/simple\n-i https://a.example/simple\n--extra-index-url https://c.example/simple",
    "-i https://a.example/simple --extra-index-url https://b.example/simple --pre", "-i 'https://a.example/simple' # quoted",
    "-i https://a.example/simple\n--no-index\n--extra-index-url https://b.example/simple", "--no-index\n-i https://a.example/simple", "--no-index=1", "--index-url",
    "--pre\nflask", "--prefer-binary", "--require-hashes", "--trusted-host a.example --trusted-host=b.example:80", "--use-feature=fast-deps", "--extra https://x.example/s", "--no-", "--nonsense", "-x",
    "--no-binary :all:", "--no-binary=a,B_c --only-binary a", "--only-binary :all:", "--no-binary :all:\n--no-binary :none:", "--no-binary a\n--only-binary :all:\nflask", "--no-binary -x", "flask --no-binary flask",
    "flask --global-option=x", "flask --config-settings a=b", "flask -C a=b", "flask --config-settings a", "flask --install-option=x", "flask --pre",
    "-e .", "-e git+https://git.example/x.git#egg=x", "--editable ./x", "git+https://git.example/x.git@main#egg=x", "x @ git+https://git.example/x.git", "hg+http://hg.example/x#egg=x",
    "https://files.example/x-1.0.tar.gz", "https://files.example/Zork_X-1.0-py3-none-any.whl", "https://files.example/zork-1.0%2Bcpu-py3-none-any.whl#" + HASH.replace(":", "="),
    "https://files.example/zork-1.0-py3-none-any.whl ; python_version < '3.9'", "https://files.example/bad.whl", "zork @ https://files.example/zork-1.0-py3-none-any.whl", "zork[x]@https://files.example/zork-1.0-py3-none-any.whl ; python_version >= '3.9'", "zork @ https://files.example/zork-1.0.zip",
    {"requirements.txt": "./wheels/zork-1.0-py3-none-any.whl\nwheels/zork-1.0-py3-none-any.whl[x]", "wheels/zork-1.0-py3-none-any.whl": ""},
    {"requirements.txt": "zork-1.0-py3-none-any.whl", "zork-1.0-py3-none-any.whl": ""}, {"requirements.txt": "./zork", "zork/setup.py": ""}, {"requirements.txt": "zork-1.tar.gz", "zork-1.tar.gz": ""}, "./none",
    {"requirements.txt": "-r sub/a.txt\nflask", "sub/a.txt": "-r b.txt\nclick", "sub/b.txt": "jinja2"}, {"requirements.txt": "-rsub/a.txt --pre", "sub/a.txt": "-c../c.txt\nclick", "c.txt": "flask<3\nclick==8.1.7"},
    {"requirements.txt": "--constraint=c.txt\nflask", "c.txt": "flask<3\n-r r.txt", "r.txt": "click"}, {"requirements.txt": "-r a.txt -r b.txt", "a.txt": "flask", "b.txt": "click"}, {"requirements.txt": "-r a.txt\n-r a.txt", "a.txt": "flask"},
    "-r none.txt", {"requirements.txt": "-r a.txt -- x", "a.txt": "flask"}, {"requirements.txt": "-f wheels\n--find-links https://links.example/page -f ignored", "wheels/x": ""}, {"requirements.txt": "-r sub/a.txt", "sub/a.txt": "-f links", "sub/links/x": ""}, {"requirements.txt": "-r sub/a.txt", "sub/a.txt": "-f links", "links/x": ""},
    "flask -r x.txt", "flask 'x", "flask --hash='" + HASH + "'", "-i \"https://a.example/simple", "flask>=1.0,", "flask>=1.0[async]", "foo/bar", "a" * 300, "_x", "x_", "x-", "0", "flask@", "flask @ ", "flask>=v1.0", "flask!=1.0.*", "flask<=1.*", "flask>=1.0.post1.dev2",
]


def relative(text, tree):
    return os.path.relpath(text, tree) if text.startswith(str(tree)) else text


def run(case):
    with tempfile.TemporaryDirectory() as directory:
        tree = pathlib.Path(directory).resolve()
        for name, text in case.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        os.chdir(tree)
        # pip keeps what it has seen in a default value.
        cmdoptions.use_new_feature.keywords["default"].clear()
        session = PipSession()
        scope = SearchScope(find_links=[], index_urls=["DEFAULT", "EXTRA"], no_index=False)
        finder = PackageFinder.create(LinkCollector(session, scope), SelectionPreferences(allow_yanked=False))
        result = {"requirements": [], "constraints": [], "inexpressible": 0}
        options = type("Options", (), {"require_hashes": False, "features_enabled": []})()
        try:
            for parsed in parse_requirements("requirements.txt", session, finder=finder, options=options):
                found = install_req_from_parsed_requirement(parsed, user_supplied=True)
                link = found.link
                if found.editable or (link and not link.is_wheel) or (parsed.options or {}).keys() & {"global_options", "config_settings"}:
                    result["inexpressible"] += 1
                    if found.editable or (link and not link.is_wheel):
                        continue
                hashes = [f"{kind}:{value}" for kind, values in found.hash_options.items() for value in values]
                if link and link.hash:
                    hashes.append(f"{link.hash_name}:{link.hash}")
                marker = found.markers or found.req.marker
                specifier = sorted(str(one) for one in found.req.specifier)
                if link:
                    specifier = ["==" + Wheel(link.filename).version]
                where = None
                if link:
                    where = link.url_without_fragment
                    where = relative(where[len("file://"):], tree) if where.startswith("file://") else where
                result["constraints" if found.constraint else "requirements"].append({
                    "name": canonicalize_name(found.req.name),
                    "extras": sorted({canonicalize_name(extra) for extra in found.extras | found.req.extras}),
                    "specifier": specifier,
                    "holds": [marker is None or marker.evaluate({**COMMON, **env, "implementation_version": env["python_full_version"], "extra": ""}) for env in ENVIRONMENTS],
                    "hashes": sorted(hashes),
                    "wheel": where,
                })
        except PipError as error:
            return {"error": str(error).replace(str(tree), "")[:200]}
        except Exception as error:
            return {"error": type(error).__name__ + ": " + str(error).replace(str(tree), "")[:200]}
        control = finder.format_control
        result["options"] = {
            "indexes": finder.search_scope.index_urls,
            "find_links": [relative(link, tree) for link in finder.search_scope.find_links],
            "no_index": finder.search_scope.no_index,
            "pre": finder.allow_all_prereleases,
            "prefer_binary": finder.prefer_binary,
            "require_hashes": options.require_hashes,
            "features": options.features_enabled,
            "trusted_hosts": [host for host, port in session.pip_trusted_origins],
            "no_binary": sorted(control.no_binary),
            "only_binary": sorted(control.only_binary),
        }
        return result


def main():
    os.environ.update(VARIABLES)
    os.environ.pop("MISSING", None)
    here = pathlib.Path(__file__).resolve().parent
    home = os.getcwd()
    cases = []
    for case in CASES:
        case = {"requirements.txt": case} if isinstance(case, str) else case
        cases.append({"files": case, "result": run(case)})
        os.chdir(home)
    text = json.dumps({"pip": __version__, "cases": cases}, indent=0, ensure_ascii=True, sort_keys=True)
    (here / "pip.json").write_text(text + "\n")
    print(len(cases), sum("error" in case["result"] for case in cases))


main()
