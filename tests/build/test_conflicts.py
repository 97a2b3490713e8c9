"""Requirements that cannot be met together are told before anything is downloaded."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from gpfn import __version__
from gpfn.build.conflicts import check_conflicts, held_by_images, judge, wanted_by_gpfn
from gpfn.build.dependencies import requirements_of
from gpfn.build.needs import needs_of
from gpfn.cli.main import main
from gpfn.errors import SetupError
from tests.build.test_needs import FUNCTION, function

NUMPY = metadata.version("numpy")


def conflicts(folder: Path, requirements: str, *ours: tuple[str, str]) -> list[str]:
    """Return the certain conflicts of a requirements.txt."""
    (folder / "requirements.txt").write_text(requirements)
    return list(judge(requirements_of(folder), ours).conflicts)


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        (">=1.26", "<2", True),
        (">=2", "<2", False),
        (">=2", "<=2", True),
        (">2", "<2.0.1", True),
        ("==1.2.*", ">=1.3", False),
        ("==1.2.*", ">1.2.9", True),
        ("~=1.4.2", ">=1.5", False),
        ("~=1.4", ">=1.5", True),
        ("==1.2", "!=1.2", False),
        ("==1.2", "!=1.2.*", False),
        ("==1.2", "~=1.2.0", True),
        ("!=1.2", "", True),
        ("<1", ">0", True),
        (">=1!2.0", "<3", False),
        (">=2.0rc1", "<2.0", False),
        ("===odd", ">=9", True),  # compared as text: nobody knows
    ],
)
def test_pairs_of_specifiers(tmp_path: Path, one: str, other: str, agree: bool) -> None:
    found = conflicts(tmp_path, f"thing{one}\nthing{other}\n")
    assert (found == []) is agree, found
    if not agree:
        assert found[0].startswith("thing")
        assert "requirements.txt:1" in found[0]
        assert "requirements.txt:2" in found[0]


def test_the_judge_agrees_with_packaging() -> None:
    """It has the question itself since version 26; other versions have not."""
    from gpfn.build.conflicts import _beside

    texts = [">=1.26,<2", ">2,<2.0.1", "~=1.4.2,>=1.5", "==1.*,!=1.2.*", "<1,>=1", ">=3,==3.*"]
    for text in texts:
        specs = SpecifierSet(text)
        points = {point for spec in specs for point in _beside(spec.version)}
        met = any(specs.contains(point, prereleases=True) for point in points)
        assert met is not specs.is_unsatisfiable(), text


def test_three_that_agree_in_pairs_alone(tmp_path: Path) -> None:
    (found,) = conflicts(tmp_path, "thing>=1,<=2\nthing!=1\nthing<=1\n")
    assert found.count("conflicts with") == 2
    (found,) = conflicts(tmp_path, "thing>=1\nthing\nthing<1\n")
    assert found.count("conflicts with") == 1
    (found,) = conflicts(tmp_path, "thing==1.*\nthing!=1.0.*\nthing<1.1\n")
    assert found.count("conflicts with") == 2


@pytest.mark.parametrize(
    "requirements",
    [
        "numpy<2 ; python_version < '3'\nnumpy>=2\n",
        "thing @ https://x.example/t.whl\nthing>=2\n",
        "git+https://x.example/thing.git\n-e .\n--index-url https://x.example\n",
        "thing==1 --hash=sha256:00\nthing>=1\n",
        "${THING}\n",
        "# nothing\n",
    ],
)
def test_what_agrees_or_is_left_to_pip(tmp_path: Path, requirements: str) -> None:
    assert conflicts(tmp_path, requirements) == []


@pytest.mark.parametrize(
    "line", ["<!DOCTYPE html>", "numpy>>1", "two words", "a,b", "numpy==", "%PDF-1.4"]
)
def test_a_file_that_is_none(tmp_path: Path, line: str) -> None:
    with pytest.raises(SetupError, match=r"is no requirement: ") as caught:
        conflicts(tmp_path, f"numpy\n{line}\n")
    assert caught.value.field == "requirements.txt:2"
    assert "\n" not in str(caught.value)


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").mkdir()
    with pytest.raises(SetupError, match=r"requirements\.txt cannot be read: no such file"):
        requirements_of(tmp_path)


def test_what_gpfn_and_its_images_need(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    text = "onnxruntime==1.2\nnumpy<2\n"
    file = function(tmp_path, FUNCTION.format(model="m.onnx"), {"requirements.txt": text})
    read, needs = requirements_of(tmp_path), needs_of(file)
    ours = wanted_by_gpfn(read, needs)
    with pytest.raises(SetupError) as caught:
        check_conflicts(read, ours)
    told = "onnxruntime==1.2 (requirements.txt:1) conflicts with onnxruntime>=1.20 (gpfn)"
    assert str(caught.value) == f"requirements.txt: {told}"
    judged = judge(read, ours, held_by_images(read))
    assert judged.conflicts == (told,)
    assert any(one.startswith("numpy<2 (requirements.txt:2)") for one in judged.doubts)
    assert "gpfn's images; a line with ==" in "".join(judged.doubts)


def test_what_a_package_needs_is_certain_when_its_version_is(tmp_path: Path) -> None:
    version = metadata.version("scikit-learn")
    (found,) = conflicts(tmp_path, f"scikit-learn=={version}\nnumpy<1.10\n")
    assert found.startswith("numpy<1.10 (requirements.txt:2) conflicts with numpy>=")
    assert f"(scikit-learn {version})" in found
    (tmp_path / "requirements.txt").write_text("scikit-learn\nnumpy<1.10\n")
    judged = judge(requirements_of(tmp_path), ())
    assert judged.conflicts == (), "an older one may be content"
    assert f"(scikit-learn {version})" in judged.doubts[0]


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("thing\nnumpy\nother>=2\n")
    judged = judge(requirements_of(tmp_path), ())
    assert judged.unchecked == ("what other, thing needs: not installed here",)


def test_without_packaging_and_pip_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("thing<1\nthing>1\n")
    code = """
import sys
from pathlib import Path
sys.modules["packaging.requirements"] = sys.modules["pip._vendor.packaging.requirements"] = None
from gpfn.build.conflicts import judge
from gpfn.build.dependencies import requirements_of
print(judge(requirements_of(Path(sys.argv[1])), ()))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "conflicts=()" in said
    assert "neither packaging nor pip is installed here" in said
    own = code.replace('["packaging.requirements"] = sys.modules', "")
    command[2] = own.replace('"pip._vendor.packaging.requirements"', '"packaging.requirements"')
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "thing<1" in said, "pip's own copy does as well"


def test_package_build_and_doctor_say_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    text = "from gpfn import Function\nf = Function(lambda m: m, takes='message', name='f')\n"
    function(folder, f"{text}handler, main = f.fn, f.openwhisk\n")
    (folder / "requirements.txt").write_text("numpy<1.20\n")
    told = "numpy<1.20 (requirements.txt:1) conflicts with numpy>="
    zipped = tmp_path / "f.zip"
    for command in (["package", "openwhisk", str(folder), "-o", str(zipped)],
                    ["build", str(folder), "--print"]):  # fmt: skip
        assert main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"gpfn: requirements.txt: {told}")
    assert not zipped.exists()
    assert main(["doctor", str(folder), "--no-start", "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert [one["rule"] for one in shown["findings"]] == ["conflicts"]
    assert told in shown["findings"][0]["text"]
    (folder / "requirements.txt").write_text("gpfn[onnx]>=9\n")
    told = f"gpfn>=9 (requirements.txt:1) conflicts with gpfn=={__version__} (the one that is here)"
    assert main(["package", "openwhisk", str(folder), "-o", str(zipped)]) == 1
    assert main(["build", str(folder), "--print"]) == 1
    assert capsys.readouterr().err == f"gpfn: requirements.txt: {told}\n" * 2
    assert main(["doctor", str(folder), "--no-start"]) == 0, "a stock image may get another"
    assert f"warns  all  conflicts  requirements.txt: {told}" in capsys.readouterr().out
    (folder / "requirements.txt").write_text("numpy<2\n")
    assert main(["build", str(folder), "--print"]) == 1
    assert "gpfn's images; a line with == has its way" in capsys.readouterr().err
    (folder / "requirements.txt").write_text(f"numpy=={NUMPY}\nthing\n")
    assert main(["build", str(folder), "--print"]) == 0
    capsys.readouterr()
    assert main(["doctor", str(folder), "--no-start"]) == 0
    assert "not checked: what thing needs: not installed here\n" in capsys.readouterr().err
