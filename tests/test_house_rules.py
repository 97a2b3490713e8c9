"""The house rules that a machine can check, over every file that git knows."""

import re
import subprocess
from pathlib import Path

from tests.conftest import ROOT, SLOW
from tests.sources import files

ELSEWHERE = re.compile(
    r"https?://(?:files|registry|proxy|repo\d?|static|deb|index|pypi)\."
    r"|\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|debian\.org|crates\.io|golang\.org"
    r"|maven\.org)\b|\bdocker\.io/"
    r"|/work/|/tmp/plan|/home/\w+/|/Users/\w+/"
    r"|" + re.escape(str(ROOT))
)
"""Hosts of package registries, and paths that only exist on somebody's machine."""

FORBIDDEN = re.compile(
    r"\b(?:TO"
    r"DO|FIX"
    r"ME|X"
    r"XX|HA"
    r"CK)\b|pytest\.(?:sk"
    r"ip|mark\.sk"
    r"ip|mark\.xf"
    r"ail"
    r"|import"
    r"orskip)|raise NotImpl"
    r"ementedError"
)
"""Work put off; written in pieces, so that this file does not find itself."""


def text_of(path: Path) -> str:
    """Return a file's text, and nothing for one that is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def python_files() -> list[Path]:
    """Return every Python file that git knows."""
    return [path for path in files() if path.suffix == ".py"]


def test_no_file_names_a_registry_or_a_machine() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files()
        if path != Path(__file__)
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if ELSEWHERE.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_git_has_no_link_that_leads_out_of_the_repository() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--stage", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    links = [ROOT / line.split("\t", 1)[1] for line in tracked if line.startswith("120000 ")]
    assert [link for link in links if not link.resolve().is_relative_to(ROOT)] == []


def test_nothing_is_put_off() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in python_files()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_test_folder_is_a_package() -> None:
    tests = (path for path in python_files() if path.name.startswith("test_"))
    folders = {path.parent for path in tests if path.is_relative_to(ROOT / "tests")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_slow_modules_are_there() -> None:
    assert [name for name in SLOW if not (ROOT / name).is_file()] == []


def test_every_make_target_has_its_line_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE), target


def test_the_patterns_find_what_they_must() -> None:
    for line in ("see https://" + "pypi.org/x", "cd /work" + "/main", "https://" + "files.x.y/z"):
        assert ELSEWHERE.search(line), line
    for line in ("# TO" + "DO later", "@pytest.mark.xf" + "ail", "pytest.sk" + "ip('x')"):
        assert FORBIDDEN.search(line), line
    assert not ELSEWHERE.search("https://raw.githubusercontent.com/google-coral/test_data")
