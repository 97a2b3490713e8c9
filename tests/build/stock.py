"""A zip as OpenWhisk's own Python runtime treats it: unpacked, renamed, imported, called."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

__all__ = ["Stock", "clean_python"]

_LAUNCHER = """
import json, sys
from main__ import {main} as main
import gpfn
print(gpfn.__file__, file=sys.stderr)
for line in sys.stdin:
    print("result " + json.dumps(main(json.loads(line))))
"""


class Stock:
    """The folder of an unpacked zip, and the interpreter that serves it."""

    def __init__(self, archive: Path, folder: Path, python: str, main: str = "main") -> None:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        (folder / "__main__.py").rename(folder / "main__.py")
        (folder / "exec__.py").write_text(_LAUNCHER.format(main=main))
        self.folder = folder
        self.python = python
        self.log = ""

    def call(self, *parameters: object, path: str = "") -> list[object]:
        """Start the process, as at a cold start, and call it for each of the parameters.

        The environment is empty but for what ``path`` adds to the modules', as the
        runtime's is.
        """
        run = subprocess.run(
            [self.python, "exec__.py"],
            cwd=self.folder,
            input="".join(json.dumps(value) + "\n" for value in parameters),
            env={"PATH": "/usr/bin:/bin", **({"PYTHONPATH": path} if path else {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.log = run.stdout + run.stderr
        assert run.returncode == 0, self.log
        assert str(self.folder / "gpfn") in run.stderr, "gpfn came from elsewhere"
        lines = [line for line in run.stdout.splitlines() if line.startswith("result ")]
        return [json.loads(line.removeprefix("result ")) for line in lines]


def clean_python(folder: Path) -> str:
    """Return an interpreter without any package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return str(folder / "bin" / "python")
