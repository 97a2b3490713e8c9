"""Which packages a zip asks for: the function's own lines as they stand, then gpfn's needs."""

from pathlib import Path

import pytest

from gpfn.build.dependencies import gpfn_needs, install, requirement_files, requirements_of
from gpfn.build.stage.requirements import NAME
from gpfn.errors import DownloadFailed, SetupError


def written(folder: Path, text: str = "", **more: object) -> str:
    """Return the requirements.txt of a zip, for a function that has ``text`` in it."""
    (folder / NAME).write_text(text)
    return requirement_files(requirements_of(folder), **more)[NAME].decode()  # type: ignore[arg-type]


def test_gpfns_own_without_what_no_action_calls(tmp_path: Path) -> None:
    read = requirements_of(tmp_path)
    assert list(gpfn_needs(read)) == ["ai-edge-litert", "httptools", "numpy", "orjson"]
    assert list(gpfn_needs(read, litert=False)) == ["httptools", "numpy", "orjson"]
    assert "pyyaml" in gpfn_needs(read, imports={"pyyaml"}), "the function imports it itself"


def test_lines_are_unchanged_and_gpfns_needs_come_behind_them(tmp_path: Path) -> None:
    own = "# mine\nscipy==1.14 ; python_version > '3.10'  # why\n--index-url https://i.example/x\n"
    text = f"fdk>=0.1.110\n{own}gpfn[images, onnx]>=0.1  # ours\nrequests\nGPFN\n"
    assert written(tmp_path, text, litert=False) == (
        f"{own}requests\n\n"
        "httptools>=0.6.4\nmultipart>=2.0\nnumpy>=1.26\nonnxruntime>=1.20\norjson>=3.10\n"
        "pillow>=10.4\n"
    )
    assert written(tmp_path, "fdk\n", imports={"fdk"}).startswith("fdk\n")


def test_an_extra_may_be_made_of_others(tmp_path: Path) -> None:
    found = written(tmp_path, "gpfn[all]\n")
    assert {"pillow>=10.4", "tensorflow-cpu>=2.18", "matplotlib>=3.9"} <= set(found.splitlines())
    assert "gpfn" not in found
    with pytest.raises(SetupError, match=r"gpfn has no extra imges; it has .*images"):
        written(tmp_path, "gpfn[imges]\n")


HASHED = "idna==3.10 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via requests\n"


def test_with_hashes_gpfns_needs_have_them_too(tmp_path: Path) -> None:
    found = written(tmp_path, HASHED)
    assert found.startswith(HASHED)
    ours = found.removeprefix(HASHED).split()
    assert {word.partition("==")[0] for word in ours if "==" in word} >= {"numpy", "orjson"}
    assert sum(word.startswith("--hash=sha256:") for word in ours) > 10
    assert not [word for word in ours if ">=" in word and word.startswith(("numpy", "orjson"))]
    pinned = "numpy==1.26.4 --hash=sha256:cc\n"
    assert written(tmp_path, pinned).count("numpy==") == 1, "pip refuses two versions"


def test_nested_files_lose_gpfn_too(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("gpfn[images]\nscipy\n-c pins.txt\n")
    (tmp_path / "more" / "pins.txt").write_text("scipy==1.14\n")
    (tmp_path / NAME).write_text("-r more/base.txt\n")
    found = requirement_files(requirements_of(tmp_path))
    assert found["more/base.txt"] == b"scipy\n-c pins.txt\n"
    assert found["more/pins.txt"] == b"scipy==1.14\n"
    assert found[NAME].startswith(b"-r more/base.txt\n\n")
    assert b"pillow>=10.4" in found[NAME]


def test_what_pip_cannot_find_is_told(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"numpy==0\.0\.0\.1"):
        install({NAME: b"numpy==0.0.0.1\n"}, tmp_path, tmp_path / "target", "3.11")
