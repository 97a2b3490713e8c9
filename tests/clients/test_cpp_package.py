"""The C++ client as a CMSSW package: its files and that they compile as SCRAM compiles them.

SCRAM itself is in no registry: what it does is to compile every file of ``src`` with the release's
``src`` folder on the include path.
"""

import subprocess
from pathlib import Path
from xml.etree import ElementTree

from tests.clients.building import SOURCES, run
from tests.clients.capture import capturing

USER = """
#include "TFaaS/TFClient/interface/TFClient.h"
int main(int, char** words) {
  return predict(words[1], "luca", {"a"}, {1}).prediction_size() == 1 ? 0 : 1;
}
"""


def test_a_package_of_cms_compiles_and_runs(tmp_path: Path) -> None:
    package = tmp_path / "TFaaS" / "TFClient"
    laid = run([SOURCES / "cms-package", package])
    assert laid.returncode == 0, laid.stderr
    (tmp_path / "user.cc").write_text(USER)
    files = [*sorted((package / "src").glob("*.cc")), tmp_path / "user.cc"]
    command = ["g++", "-std=c++17", "-O0", f"-I{tmp_path}", *map(str, files), "-pthread"]
    subprocess.run([*command, "-lprotobuf", "-lcurl", "-o", tmp_path / "user"], check=True)
    with capturing() as server:
        assert run([tmp_path / "user", server.url()]).returncode == 0


def test_its_build_files_say_what_it_is_made_of(tmp_path: Path) -> None:
    package = tmp_path / "TFaaS" / "TFClient"
    run([SOURCES / "cms-package", package])
    run([SOURCES / "cms-package", package])  # a second time is no harm
    found = sorted(str(path.relative_to(package)) for path in package.rglob("*.*"))
    assert found == [
        "BuildFile.xml",
        "bin/BuildFile.xml",
        "bin/benchmark.cc",
        "interface/TFClient.h",
        "interface/tfaas.pb.h",
        "src/TFClient.cc",
        "src/ask.cc",
        "src/detail.cc",
        "src/detail.h",
        "src/handles.cc",
        "src/handles.h",
        "src/tfaas.pb.cc",
    ]
    for name in ("BuildFile.xml", "bin/BuildFile.xml"):
        text = (package / name).read_text()
        ElementTree.fromstring(f"<file>{text}</file>")
    assert '<use name="TFaaS/TFClient"/>' in text


def test_without_a_name_it_says_how_it_is_called() -> None:
    done = run([SOURCES / "cms-package"])
    assert done.returncode == 2
    assert done.stderr == "usage: cms-package SUBSYSTEM/PACKAGE\n"
