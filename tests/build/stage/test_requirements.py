"""Requirements files: what pip reads in them is what we read, and nothing is changed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.build.stage.layout import Failed
from gpfn.build.stage.requirements import NAME, Requirements, read_requirements, split_lines

TEXT = """\
# -*- coding: utf-8 -*-
--index-url https://user@index.example/simple  # ours
-i https://other.example/#frag
idna==3.10 \\
    --hash=sha256:12f6 \\
    --hash=sha256:946d
    # via requests
mypkg @ https://example.com/mypkg-1.0-py3-none-any.whl#sha256=0123
sub @ git+https://example.com/repo.git@main#subdirectory=py
git+https://example.com/other.git#egg=Other_Name[one,two]
Django [argon2] >= 4 ; python_version >= "3.11"  # a comment
zope.interface(>=5)
numpy \\
  >= 1.26 \\
# a comment ends a continuation
scipy
ä==1 ; platform_system == "ü"
-e ./local[extra]
./wheels/thing-1.0-py3-none-any.whl --hash=sha256:aa
wheels/thing-1.0-py3-none-any.whl
thing-1.0.tar.gz
--find-links wheels
gpfn[images, http] >= 0.1 ; python_version > '3'
GPFN==0.1 --hash=sha256:00
dist/gpfn-0.1.0-py3-none-any.whl[onnx]
https://example.com/gpfn-0.1.0-py3-none-any.whl
gpfn-more
open==1 \\
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("local", "wheels"):
        (tmp_path / name).mkdir()
    for name in ("wheels/thing-1.0-py3-none-any.whl", "thing-1.0.tar.gz"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def read(folder: Path, content: str | bytes) -> Requirements:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / NAME).write_bytes(data)
    return read_requirements(folder)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_those_of_pip(folder: Path, end: str) -> None:
    """pip's own reader is the oracle."""
    from pip._internal.req.req_file import preprocess

    text = TEXT.replace("\n", end)
    found = read(folder, text)
    theirs = [(number, line.strip()) for number, line in preprocess(text)]
    assert [(line.number, line.text) for line in found.lines] == theirs
    assert found.without(()) == {NAME: text.encode()}, "byte for byte"


def test_what_lines_name(folder: Path) -> None:
    found = read(folder, TEXT)
    assert found.names == {
        "idna", "mypkg", "sub", "other-name", "django", "zope-interface", "numpy", "scipy",
        "thing", "gpfn", "gpfn-more", "open",
    }  # fmt: skip
    assert found.extras == {"images", "http", "onnx"}
    assert found.hashed
    assert found.pinned >= {"idna", "mypkg", "sub", "open"}
    assert not {"numpy", "scipy", "django"} & found.pinned
    wheel = "wheels/thing-1.0-py3-none-any.whl"
    assert found.local == ["./local", f"./{wheel}", wheel, "thing-1.0.tar.gz", "wheels"]


def test_left_out_are_whole_lines(folder: Path) -> None:
    found = read(folder, TEXT).without({"gpfn", "idna"})[NAME].decode()
    assert "gpfn" not in found.replace("gpfn-more", "")
    assert "hash=sha256:12f6" not in found
    kept = [line for line in TEXT.splitlines() if line in found.splitlines()]
    assert found.splitlines() == kept, "what stays is as it was, in its order"


def test_what_is_added_does_not_continue_a_line(folder: Path) -> None:
    from pip._internal.req.req_file import preprocess

    for text in ("scipy \\\n", "scipy \\", "scipy", "scipy\n"):
        added = read(folder, text).without((), "numpy\n")[NAME].decode()
        assert added.startswith(text)
        assert [line.strip() for _, line in preprocess(added)] == ["scipy", "numpy"]
    assert read(folder, "").without((), "numpy\n") == {NAME: b"numpy\n"}
    assert read(folder, "gpfn\n").without({"gpfn"}, "numpy\n") == {NAME: b"numpy\n"}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfgpfn\nscipy\n", b"\xef\xbb\xbfscipy\nx\n"),
        ("\ufeffgpfn\nscipy\n".encode("utf-16-le"), "\ufeffscipy\nx\n".encode("utf-16-le")),
        (b"# coding: latin-1\ngpfn\n# \xe4\n", b"# coding: latin-1\n# \xe4\nx\n"),
    ],
)
def test_the_encoding_stays(folder: Path, data: bytes, text: bytes) -> None:
    blank = read(folder, data).without({"gpfn"}, "x\n")[NAME]
    assert blank.replace(b"\n\nx", b"\nx").replace(b"\n\0\n\0x", b"\n\0x") == text


def test_files_that_lead_to_files(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a b.txt").write_text("scipy\n-r ../requirements.txt\n--constraint=c.txt\n")
    (folder / "sub" / "c.txt").write_text("numpy==1\n")
    text = '-r "sub/a b.txt"\n-rsub/c.txt\n-r https://example.com/r.txt\n-c ${WHERE}/c.txt\n'
    found = read(folder, text)
    assert list(found.files) == [NAME, "sub/a b.txt", "sub/c.txt"]
    assert found.names == {"scipy", "numpy"}
    only = read(folder, "-c sub/c.txt\n")
    assert (only.names, list(only.files)) == (frozenset(), [NAME, "sub/c.txt"])
    both = read(folder, "-c sub/c.txt\n-r sub/c.txt\n")
    assert both.names == {"numpy"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x\n-r gone.txt\n", r"requirements\.txt:2: gone\.txt cannot be read"),
        ("-r ../base.txt\n", r"requirements\.txt:1: \.\./base\.txt is outside of the function's"),
        ("-c /etc/passwd\n", "requirements.txt:1: /etc/passwd is outside"),
        ("-e ../..\n", "requirements.txt:1: .* is outside"),
        ("./" + "x" * 1500, "is not in the function's folder"),
        ("-r " + "x" * 1500, "cannot be read"),
        ("./a\0b", "a path cannot have a NUL"),
        ("./gone.whl\n", r"requirements\.txt:1: \./gone\.whl is not in the function's folder"),
        (b"\xff\xfe\x00", "requirements.txt: is no text"),
        (b"\xe4\n", "requirements.txt: is no text"),
        (b"# coding: klingon\n", "requirements.txt: is no text"),
        (b"x" * (5 << 20), "requirements.txt: has over"),
    ],
)
def test_what_cannot_be_had_is_refused(folder: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(Failed, match=says):
        read(folder, content)


def test_a_link_does_not_lead_outside(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "base.txt"
    elsewhere.write_text("scipy\n")
    (folder / "base.txt").symlink_to(elsewhere)
    with pytest.raises(Failed, match="outside"):
        read(folder, "-r base.txt\n")


def test_a_chain_of_files_ends(folder: Path) -> None:
    for number in range(60):
        (folder / f"{number}.txt").write_text(f"-r {number + 1}.txt\n")
    with pytest.raises(Failed, match="more than 50 files"):
        read(folder, "-r 0.txt\n")


def test_none_is_no_requirement(tmp_path: Path) -> None:
    found = read_requirements(tmp_path)
    assert (found.lines, found.without((), "")) == ([], {NAME: b""})


PIECES = [
    *("numpy", "-r x.txt", "--hash=sha256:0", " ", "  ", "#", " # why", "\\", "\\\n", "\n", "\r\n"),
    *("\f", "\x85", "\u2028", ";", "[a]", "==1", "gpfn", "@", "./x", "ü", "\t", "'", '"'),
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@settings(max_examples=400)
def test_any_text_has_the_lines_that_pip_sees(text: str) -> None:
    from pip._internal.req.req_file import preprocess

    found = list(split_lines(text))
    ours = [(line.number, line.text) for line in found if line.text]
    assert ours == [(number, line.strip()) for number, line in preprocess(text)]
    assert "".join(line.raw for line in found) == text


@pytest.mark.parametrize(
    "text",
    [" " * 900_000 + "x", "a-1" * 300_000, "a[" + " " * 900_000, "-r " + "x " * 400_000,
     "#" * 900_000, "\\\n" * 400_000, "./" + " ;" * 400_000, "x" * 900_000, "a.b-" * 200_000],
    ids=lambda text: text[:6].encode().hex(),
)  # fmt: skip
def test_long_lines_are_read_at_once(folder: Path, text: str) -> None:
    import contextlib
    import time

    began = time.monotonic()
    with contextlib.suppress(Failed):
        read(folder, text).without({"gpfn"}, "x\n")
    assert time.monotonic() - began < 10
