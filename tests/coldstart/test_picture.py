"""The picture of a call."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gpfn.coldstart.summary import draw
from gpfn.errors import SetupError
from tests.coldstart.test_summary import SUMMARY


def test_it_is_drawn_as_png_and_svg(tmp_path: Path) -> None:
    draw(SUMMARY, "digits", tmp_path / "call.png")
    with Image.open(tmp_path / "call.png") as picture:
        assert picture.size == (1200, 504)
        colours = picture.convert("RGB").getcolors(1 << 20)
        assert colours is not None
        assert len([count for count, _ in colours if count > 5000]) >= 3, "bars in colours"
    draw(SUMMARY, "digits", tmp_path / "call.svg")
    assert "predict" in (tmp_path / "call.svg").read_text()


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot be drawn.*xyz"):
        draw(SUMMARY, "digits", tmp_path / "call.xyz")
    with pytest.raises(SetupError, match="cannot be drawn"):
        draw(SUMMARY, "digits", tmp_path / "absent" / "call.png")


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib.figure'] = None\n"
        "from pathlib import Path\n"
        "from gpfn.coldstart.summary import draw\n"
        "from tests.coldstart.test_summary import SUMMARY\n"
        "draw(SUMMARY, 'x', Path(sys.argv[1]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.png")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert "gpfn[plots]" in run.stderr
