"""Pictures for the site, made from the running product: pages in Chromium, commands in a terminal.

    python website/shots.py FOLDER

Each is made twice, for readers who have it light and for those who have it dark. A command runs in
a real terminal of its own; what it writes is drawn as SVG, which asks for no font.
"""

import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text
from tests.serving.pages.chromium import Tab, chromium

from gpfn.serving import Server, ServerSettings
from gpfn.serving.repository.settings import RepositorySettings

__all__ = ["drawn", "shoot", "typed"]

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 110
WIDTH = 1100
LIGHT = TerminalTheme(
    (250, 250, 250),
    (40, 44, 52),
    [
        *((0, 0, 0), (180, 30, 30), (30, 120, 50), (140, 100, 0)),
        *((30, 80, 170), (130, 40, 130), (0, 120, 130), (90, 90, 90)),
    ],
)
THEMES = {"light": LIGHT, "dark": SVG_EXPORT_THEME}
COMMANDS = {
    "models": "gpfn models list",
    "show": "gpfn models show models/digits.tflite",
    "doctor": "gpfn doctor functions/forecast",
    "invoke": "gpfn invoke functions/digits --image ce_samples/digit-7.png --platform openwhisk",
    "pipeline": "gpfn pipeline show pipelines/classy-v1.pipeline.toml",
}
# rich's own frame without the web font that it names, and with a picture's scalable size
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px;
  line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def typed(command: str) -> str:
    """Return what a command writes to a terminal, its colours too.

    Raises subprocess.CalledProcessError when it fails.
    """
    master, terminal = pty.openpty()
    environ = {
        **os.environ,
        "COLUMNS": str(COLUMNS),
        "LINES": "40",
        "TERM": "xterm-256color",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    # by the module, so that it is this checkout that speaks, installed or not
    words = command.replace("gpfn ", f"{sys.executable} -m gpfn ", 1)
    with subprocess.Popen(
        ["bash", "-c", words],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=environ,
    ) as process:
        os.close(terminal)
        told = b"".join(_pieces(master))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, told)
    return told.decode().replace("\r\n", "\n")


def _pieces(master: int) -> Iterator[bytes]:
    try:
        while piece := os.read(master, 65536):
            yield piece
    except OSError:  # how Linux says that the terminal's other end is closed
        pass
    finally:
        os.close(master)


def drawn(command: str, told: str, theme: TerminalTheme) -> str:
    """Return a terminal with a command and what it told, as SVG."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text.from_ansi(told.rstrip()), soft_wrap=False)
        return console.export_svg(title="", theme=theme, code_format=FRAME, unique_id="t")


@contextmanager
def repository(folder: Path) -> Iterator[str]:
    """A model server with an empty repository; its address."""
    place = RepositorySettings(str(folder / "models.d"))
    with Server({}, ServerSettings(port=0, repository=place)) as server:
        yield f"http://127.0.0.1:{server.address[1]}"


def pages(tab: Tab, url: str, folder: Path) -> None:
    """Upload two models as a person does, ask each, and take pictures of the pages."""
    tab.look(WIDTH, "light")
    tab.open(f"{url}/")
    for name in ("forecast", "digits"):
        tab.choose("form.drop input", ROOT / "models" / f"{name}.tflite")
        tab.until(
            f"[...document.querySelectorAll('#jobs a')].some(a => a.pathname.endsWith('{name}'))"
        )
    tab.open(f"{url}/")
    both(tab, folder, "page-models")
    tab.open(f"{url}/models/forecast")
    tab.run(
        "document.querySelectorAll('.num-in').forEach("
        "(cell, n) => { cell.value = (30 + 6 * Math.sin(n / 2)).toFixed(2); })"
    )
    tab.click(".btn.main")
    tab.until("document.querySelector('#answer figure, #answer table')")
    both(tab, folder, "page-forecast")


@contextmanager
def platforms(folder: Path) -> Iterator[str]:
    """A ``gpfn dev`` with the functions of this checkout; the address of its console."""
    log = folder / "dev.log"
    options = ["--app", "models", "--fn-port", "0", "--openwhisk-port", "0", "--memory"]
    command = [sys.executable, "-m", "gpfn", "dev", str(ROOT), *options]
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, stdout=file, stderr=file) as process,
    ):
        try:
            yield _console_of(log)
        finally:
            process.terminate()


def _console_of(log: Path) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = re.search(r"http://\S+/ui\b", log.read_text(encoding="utf-8"))
        if found:
            return found[0]
        time.sleep(0.1)
    raise TimeoutError(log.read_text(encoding="utf-8"))


def console(tab: Tab, url: str, folder: Path) -> None:
    """Send samples as a person does, and take pictures of the console."""
    tab.look(WIDTH, "light")
    for name, times in (("digits", 1), ("forecast", 4)):
        tab.open(url)
        tab.press_until(name)
        tab.key("Enter")
        tab.until(f"document.querySelector('#send')?.textContent === 'Send to {name}'")
        for _ in range(times):
            tab.run("{ window.was = document.querySelector('#call').dataset.call; }")
            tab.run("document.querySelector('.btn.main').click()")
            tab.until(
                "(document.querySelector('#call')?.dataset.call || window.was) !== window.was"
            )
        if name == "digits":
            both(tab, folder, "console-digits")
    both(tab, folder, "console-forecast")
    tab.open(f"{url}/?only=cold&function={_key(tab)}")
    tab.run("document.querySelector('.goto').click()")
    tab.until("document.querySelector('#call')?.textContent.includes('cold')")
    both(tab, folder, "console-cold")


def _key(tab: Tab) -> str:
    key: str = tab.run("document.querySelector('#sending input[name=function]').value")
    return key


def both(tab: Tab, folder: Path, name: str) -> None:
    """Save the page as both kinds of readers see it, from its top."""
    tab.run("scrollTo({ top: 0, behavior: 'instant' })")
    for scheme in THEMES:
        tab.look(WIDTH, scheme)
        tab.shot(folder / f"{name}-{scheme}.png")


def shoot(folder: Path) -> None:
    """Make all pictures in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in COMMANDS.items():
        told = typed(command)
        for scheme, theme in THEMES.items():
            picture = drawn(command, told, theme)
            (folder / f"terminal-{name}-{scheme}.svg").write_text(picture, encoding="utf-8")
    with (
        tempfile.TemporaryDirectory() as work,
        repository(Path(work)) as url,
        chromium(Path(work) / "profile") as tab,
    ):
        pages(tab, url, folder)
        with platforms(Path(work)) as address:
            console(tab, address, folder)


if __name__ == "__main__":
    shoot(Path(sys.argv[1]))
