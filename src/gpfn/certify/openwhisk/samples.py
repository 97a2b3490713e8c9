"""The code that is sent to the server under test: Python, as OpenWhisk's own suites send it."""

import base64
import io
import tarfile
import zipfile
from collections.abc import Mapping

__all__ = ["CONTEXT", "ECHO", "NAMED", "TALKING", "UNICODE", "VIRTUALENV", "tarred", "zipped"]

ECHO = "def main(args):\n    return args\n"
NAMED = "def niam(args):\n    return args\n"
TALKING = """
from __future__ import print_function
import sys
def main(args):
    print('hello stdout')
    print('hello stderr', file=sys.stderr)
    return args
"""
UNICODE = """# encoding: utf-8
def main(args):
    sep = args['delimiter']
    text = sep + " ☃ " + sep
    print(text)
    return {"winter": text}
"""
CONTEXT = """
import os
def main(args):
    names = ("api_host", "api_key", "namespace", "action_name", "action_version",
             "activation_id", "deadline")
    return {name: os.environ["__OW_" + name.upper()] for name in names}
"""
_ACTIVATE = """
import os, site, sys
base = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
site.addsitedir(os.path.join(base, "site-packages"))
"""
VIRTUALENV = {
    "__main__.py": "import packed\ndef main(a):\n    return {'agent': packed.name}\nnaim = main\n",
    "virtualenv/bin/activate_this.py": _ACTIVATE,
    "virtualenv/site-packages/packed.py": "name = 'packed'\n",
}
"""A zip with a virtual environment, in short: what counts is its activate_this.py."""


def zipped(files: Mapping[str, str], modes: Mapping[str, int] | None = None) -> str:
    """Return a zip of files in base64."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100000 | (modes or {}).get(name, 0o644)) << 16
            archive.writestr(info, content)
    return base64.b64encode(buffer.getvalue()).decode()


def tarred(files: Mapping[str, str]) -> str:
    """Return a tar.gz of files in base64."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return base64.b64encode(buffer.getvalue()).decode()
