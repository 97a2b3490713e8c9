"""Code that /init brings: source, zips, tars, virtual environments; and code baked in."""

import base64
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from tests.platforms.openwhisk.served import served, zipped
from tests.platforms.openwhisk.test_archive import ten_gigabytes_of_zeros

NO_BINARY = "The action failed to generate or locate a binary. See logs for details."
FROM_ECHO = {
    "__main__.py": "from echo import echo\ndef niam(args):\n    return echo(args)\n",
    "echo.py": "def echo(args):\n    return {'echo': args}\n",
}


def tarred(files: dict[str, str], mode: str = "w:gz") -> bytes:
    """Return a tar of files, with a folder's entry first as ``tar c .`` writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("./")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "archive",
    [zipped(FROM_ECHO), tarred(FROM_ECHO), tarred(FROM_ECHO, "w")],
    ids=["zip", "tgz", "tar"],
)
def test_an_archive_with_another_entry_point(tmp_path: Path, archive: bytes) -> None:
    with served(tmp_path) as action:
        assert action.init(archive, main="niam").status == 200
        assert action.run({"msg": "it works"}).json() == {"echo": {"msg": "it works"}}
        assert action.text(sentinels=1) == ("", "")


def test_files_of_an_archive_are_in_the_working_directory(tmp_path: Path) -> None:
    code = """
import os
def main(args):
    with open("part/workfile") as file:
        return {"file": file.read(), "mode": os.access("tool", os.X_OK)}
"""
    with served(tmp_path) as action:
        files = {
            "__main__.py": code,
            "part\\workfile": "this is a test string",
            "tool": "#!/bin/sh",
        }
        assert action.init(zipped(files)).status == 200
        assert action.run().json() == {"file": "this is a test string", "mode": False}


@pytest.mark.parametrize("name", ["__main__.py", "main__.py"])
def test_both_names_of_the_entry(tmp_path: Path, name: str) -> None:
    with served(tmp_path) as action:
        code = "def main(args):\n    return {'name': __name__, 'file': __file__[-9:]}"
        assert action.init(zipped({name: code})).status == 200
        assert action.run().json() == {"name": "main__", "file": name[-9:]}


def test_source_in_base64(tmp_path: Path) -> None:
    """The controller takes any code for binary that happens to be base64."""
    with served(tmp_path) as action:
        assert action.init(b"#!/usr/bin/python\ndef main(args):\n    return args").status == 200
        assert action.run({"a": 1}).json() == {"a": 1}


def test_base64_with_line_breaks(tmp_path: Path) -> None:
    code = base64.encodebytes(zipped(FROM_ECHO)).decode()
    with served(tmp_path) as action:
        assert "\n" in code.strip()
        assert action.init(code, binary=True, main="niam").status == 200


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (zipped({"echo.py": ""}), "Zip file does not include __main__.py"),
        (zipped({"sub/__main__.py": ""}), "Zip file does not include __main__.py"),
        (zipped({}), "Zip file does not include __main__.py"),
        (zipped(FROM_ECHO)[:-30], "broken archive"),
        (b"PK\x03\x04 and no more", "broken archive"),
        (b"\x1f\x8b and no more", "broken archive"),
        (tarred(FROM_ECHO)[:-20], "broken archive"),
        (b"\x7fELF\x02\x01", "The code is an executable for Linux; this runtime takes Python."),
        (b"\x00\x01\x02", "The code is no zip and no tar archive; this runtime takes Python."),
        (zipped({"exec": "#!/bin/sh\necho\n"}), "The code is a program called exec;"),
        (zipped({"exec": b"\x7fELF\x02"}), "The code is a program called exec;"),
        (zipped({"__main__.py": "", "virtualenv/invalid.md": ""}),
         "Invalid virtualenv. Zip file does not include /virtualenv/bin/activate_this.py."),
    ],
)  # fmt: skip
def test_code_without_a_binary(tmp_path: Path, code: bytes, says: str) -> None:
    with served(tmp_path) as action:
        reply = action.init(code)
        assert (reply.status, reply.error) == (502, NO_BINARY)
        out, err = action.text(sentinels=1)
        assert out == ""
        assert says in err


SAYING = "def main(args):\n    return {'from': %r}\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"exec": SAYING % "exec"}, "exec"),
        ({"exec": "#!/usr/bin/env python3\n" + SAYING % "exec"}, "exec"),
        ({"exec": SAYING % "exec", "__main__.py": SAYING % "main"}, "exec"),
        ({"exec": "from other import main\n", "other.py": SAYING % "other"}, "other"),
        ({"exec": "#!/bin/bash\n", "exec__.py": "", "main__.py": SAYING % "main"}, "main"),
    ],
    ids=["alone", "shebang", "before main", "with another", "as -compile makes it"],
)
def test_code_that_is_called_exec(tmp_path: Path, files: dict[str, str], found: str) -> None:
    with served(tmp_path) as action:
        assert action.init(zipped(files)).status == 200
        assert action.run().json() == {"from": found}


def test_ten_gigabytes_of_zeros(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        for claimed in (0xF0000000, 100):
            reply = action.init(ten_gigabytes_of_zeros(claimed))
            assert (reply.status, reply.error) == (502, NO_BINARY)
        _, err = action.text(sentinels=2)
        assert "the archive unpacks to over 536870912 bytes (GPFN_MAX_CODE_BYTES)" in err
        assert action.init("def main(args):\n    return args").status == 200
        assert action.run({"a": 1}).json() == {"a": 1}


def test_what_is_no_base64(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        reply = action.init("not base64!", binary=True)
        assert reply.status == 400
        assert str(reply.error).startswith("cannot decode the request: ")


ACTIVATE = """
import os, site, sys
base = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
site.addsitedir(os.path.join(base, "lib", version, "site-packages"))
os.environ["VIRTUAL_ENV"] = base
"""


@pytest.mark.parametrize("main", ["main", "naim"])
@pytest.mark.parametrize("folder", ["bin", "Scripts"])
def test_a_virtual_environment_in_the_zip(tmp_path: Path, main: str, folder: str) -> None:
    """The layout that virtualenv makes; its activate_this.py is what it puts there, in short."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    code = (
        f"import os, packed\ndef {main}(args):\n"
        "    return {'packed': packed.name, 'env': os.path.basename(os.environ['VIRTUAL_ENV'])}"
    )
    files = {
        "__main__.py": code,
        f"virtualenv/{folder}/activate_this.py": ACTIVATE,
        f"virtualenv/lib/{version}/site-packages/packed.py": "name = 'packed'",
    }
    with served(tmp_path) as action:
        assert action.init(zipped(files), main=main).status == 200
        assert action.run().json() == {"packed": "packed", "env": "virtualenv"}


def test_the_activation_of_a_virtual_environment_fails(tmp_path: Path) -> None:
    files = {"__main__.py": "", "virtualenv/bin/activate_this.py": "raise OSError('moved')"}
    with served(tmp_path) as action:
        assert action.init(zipped(files)).status == 502
        assert "OSError: moved" in action.text(sentinels=1)[1]


def test_a_missing_package_is_told_how_to_be_had(tmp_path: Path) -> None:
    files = {"__main__.py": "import absent_package", "requirements.txt": "absent-package"}
    with served(tmp_path) as action:
        assert action.init(zipped(files)).status == 502
        _, err = action.text(sentinels=1)
        assert "absent_package is not in this image" in err
        assert "A requirements.txt is not installed here." in err


def test_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with served(tmp_path, environ={"TMPDIR": str(temporary)}) as action:
        assert action.init(zipped({"echo.py": ""})).status == 502
        assert list(temporary.iterdir()) == []
        assert action.init(zipped(FROM_ECHO), main="niam").status == 200
        assert len(list(temporary.iterdir())) == 1
        assert action.stop() == 0
        assert list(temporary.iterdir()) == []


BAKED = """
import os
import part
print("importing")
setting = os.environ.get("SETTING", "none")
def main(args):
    return {"setting": setting, "part": part.name, "cwd": os.getcwd()}
def other(args):
    return {"other": True}
"""


@pytest.fixture
def baked(tmp_path: Path) -> Path:
    folder = tmp_path / "baked"
    folder.mkdir()
    (folder / "func.py").write_text(BAKED)
    (folder / "part.py").write_text("import os\nname = os.environ.get('PART', 'baked')\n")
    return folder


@pytest.mark.parametrize(
    "body", [{}, None, {"value": {}}, {"value": {"code": None, "main": "main"}}]
)
def test_baked_code_needs_none(tmp_path: Path, baked: Path, body: object) -> None:
    with served(tmp_path, str(baked), cwd=tmp_path) as action:
        assert action.text(sentinels=0) == ("importing\n", "")
        assert action.run().status == 200, "even without /init"
        assert action.post("/init", body).status == 200
        found = action.run().json()
        assert found == {"setting": "none", "part": "baked", "cwd": str(tmp_path)}
        assert action.text(sentinels=2) == ("importing\n", "")


def test_baked_code_sees_what_init_sets(tmp_path: Path, baked: Path) -> None:
    """Parameters marked for /init come as environment variables, which it reads at import."""
    with served(tmp_path, str(baked / "func.py")) as action:
        env = {"SETTING": "new", "PART": "newer", "__OW_ACTION_NAME": "/guest/f"}
        assert action.init(env=env).status == 200
        found = action.run().json()
        assert isinstance(found, dict)
        assert (found["setting"], found["part"]) == ("new", "newer")
        assert action.text(sentinels=1) == ("importing\nimporting\n", "")


def test_baked_code_is_not_imported_again_without_need(tmp_path: Path, baked: Path) -> None:
    with served(tmp_path, str(baked)) as action:
        assert action.init(env={"__OW_NAMESPACE": "guest", "__OW_API_KEY": "k"}).status == 200
        assert action.text(sentinels=0) == ("importing\n", "")


def test_another_function_of_baked_code(tmp_path: Path, baked: Path) -> None:
    with served(tmp_path, str(baked), "other") as action:
        assert action.init().status == 200
        assert action.run().json() == {"other": True}
    with served(tmp_path / "2", str(baked)) as action:
        assert action.init(main="other").status == 200
        assert action.run().json() == {"other": True}


def test_sent_code_takes_the_place_of_baked_code(tmp_path: Path, baked: Path) -> None:
    files = {"__main__.py": "import part\ndef main(args):\n    return {'part': part.name}",
             "part.py": "name = 'sent'"}  # fmt: skip
    with served(tmp_path, str(baked)) as action:
        assert action.init(zipped(files)).status == 200
        assert action.run().json() == {"part": "sent"}


def test_baked_code_that_cannot_be_loaded(tmp_path: Path, baked: Path) -> None:
    (baked / "part.py").write_text("raise ValueError('not today')")
    with served(tmp_path, str(baked)) as action:
        assert "ValueError: not today" in action.err.read_text(), "before anybody asks"
        assert action.run().status == 500
        assert action.init().status == 502
        (baked / "part.py").write_text("name = 'mended'")
        assert action.init().status == 200
        assert b"mended" in action.run().body


def test_baked_code_that_is_not_there(tmp_path: Path) -> None:
    with served(tmp_path, str(tmp_path / "absent.py")) as action:
        assert action.init().status == 502
        assert "no such file" in action.text(sentinels=1)[1]
        assert action.init("def main(args):\n    return args").status == 200


def test_packages_beside_the_entry(tmp_path: Path) -> None:
    """As ``pip install --target`` puts them there."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        source.mkdir()
        (source / "packed_thing.py").write_text("name = 'by pip'")
        (source / "pyproject.toml").write_text(
            "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n"
            "[project]\nname = 'packed-thing'\nversion = '1'\n"
            "[tool.hatch.build.targets.wheel]\ninclude = ['packed_thing.py']\n"
        )
        target = Path(folder) / "out"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps",
             "--disable-pip-version-check", "--target", target, source],
            check=True,
        )  # fmt: skip
        files: dict[str, str | bytes] = {
            str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*.py")
        }
    files["__main__.py"] = (
        "import packed_thing\ndef main(args):\n    return {'n': packed_thing.name}"
    )
    with served(tmp_path) as action:
        assert action.init(zipped(files)).status == 200
        assert action.run().json() == {"n": "by pip"}
