"""Three ways to carry an action: baked in, sent to our image, packed for the stock runtime.

The third is called as the stock runtime calls it in tests/build; here all of them run
under our own runtime, with the same function, and have to say the same.
"""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpfn.build.package import pack
from tests.platforms.openwhisk.served import Action, served


@contextmanager
def baked(root: Path, folder: Path) -> Iterator[Action]:
    """(a) the image brings the function; ``--docker`` without code."""
    with served(folder, str(root / "functions" / "digits")) as action:
        assert action.init().status == 200
        yield action


@contextmanager
def sent(root: Path, folder: Path) -> Iterator[Action]:
    """(b) the image brings gpfn, ``wsk`` the function's file."""
    with served(folder) as action:
        source = (root / "functions" / "digits" / "func.py").read_text()
        assert action.init(source).status == 200
        yield action


@contextmanager
def packed(root: Path, folder: Path) -> Iterator[Action]:
    """(c) the zip brings all of it."""
    target = folder / "digits.zip"
    pack(root / "functions" / "digits" / "func.py", target)
    with served(folder) as action:
        assert action.init(target.read_bytes()).status == 200
        yield action


WAYS = {"baked": baked, "sent": sent, "packed": packed}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_says_the_same(root: Path, tmp_path: Path, way: str) -> None:
    image = (root / "ce_samples" / "digit-7.png").read_bytes()
    parameters = {"image": base64.b64encode(image).decode()}
    with WAYS[way](root, tmp_path) as action:
        log, _ = action.text(sentinels=0)
        start = r" digits ready: import \d\.\d+ s, load \d\.\d+ s, warm-up \d\.\d+ s, rss "
        assert re.search(start, log), "loaded before /init was answered"
        reply = action.run(parameters)
        assert reply.status == 200
        results = json.loads(reply.body)["results"]
        assert results[0]["className"] == "7"
        assert results[0]["probability"] == pytest.approx(0.993362, abs=0.001)
        assert len(results) == 3
        bad = action.run({"image": "nonsense"})
        assert bad.status == 200, "the caller's fault costs no container"
        assert json.loads(bad.body)["error"]["field"] == "image"
        again = action.run(parameters)
        assert json.loads(again.body)["results"] == results
        assert action.text(sentinels=3)[0].count("import ") == 1, "loaded once"
