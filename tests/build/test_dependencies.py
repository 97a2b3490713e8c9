"""Which packages a function needs."""

from pathlib import Path

import pytest

from gpfn.build.dependencies import install, requirements
from gpfn.errors import DownloadFailed


def names(lines: list[str]) -> set[str]:
    return {line.partition(">")[0] for line in lines}


def test_gpfns_own_without_what_no_action_calls() -> None:
    assert names(requirements(None, litert=True)) == {
        "ai-edge-litert",
        "httptools",
        "numpy",
        "orjson",
    }
    assert "ai-edge-litert" not in names(requirements(None, litert=False))


def test_a_requirements_file_and_the_extras_it_asks_for(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# for Fn\nfdk>=0.1.110\ngpfn[images, onnx]>=0.1  # ours\n\nscipy==1.14\nGPFN\n"
    )
    found = requirements(file, litert=False)
    assert {"pillow", "onnxruntime", "scipy==1.14", "numpy"} <= names(found)
    assert not {"fdk", "gpfn", "GPFN", "pytest", "tensorflow-cpu"} & names(found)
    assert found == sorted(found)


def test_what_pip_cannot_find_is_told(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"numpy==0\.0\.0\.1"):
        install(["numpy==0.0.0.1"], tmp_path, "3.11")
