"""What is removed from packages, and what is not."""

from pathlib import Path

from gpfn.build.stage.installed import forget_installation, strip


def test_what_goes_and_what_stays(tmp_path: Path) -> None:
    stays = [
        "numpy/__init__.py",
        "numpy/testing/__init__.py",
        "ai_edge_litert/libpywrap_litert_common.so",
        "tensorflow/libtensorflow_cc.so.2",
        "numpy-2.0.dist-info/METADATA",
        "numpy-2.0.dist-info/licenses/LICENSE.txt",
    ]
    goes = [
        "numpy/tests/test_x.py",
        "numpy/_core/include/numpy/arrayobject.h",
        "numpy/__init__.pyi",
        "numpy/random/lib/libnpyrandom.a",
        "numpy/f2py/__init__.py",
        "numpy/__pycache__/__init__.cpython-311.pyc",
        "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
        "ai_edge_litert/aot/deep/inside.py",
        "tensorflow/__init__.py",
        "tensorflow/include/x.h",
        "tensorflow/python/_pywrap.so",
    ]
    for name in (*stays, *goes):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    strip(tmp_path)
    assert [name for name in stays if not (tmp_path / name).is_file()] == []
    assert [name for name in goes if (tmp_path / name).exists()] == []


def test_what_pip_knows_of_a_package_stays_until_the_end(tmp_path: Path) -> None:
    """Without RECORD pip refuses to put another version in its place."""
    folder = tmp_path / "numpy-2.0.dist-info"
    folder.mkdir()
    for name in ("RECORD", "INSTALLER", "METADATA"):
        (folder / name).write_text("x")
    strip(tmp_path)
    assert (folder / "RECORD").is_file()
    forget_installation(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["METADATA"]
