"""Headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
SECONDS = 60


class Tab:
    """One page of the browser; ``events`` are those that came since it was last opened."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Any:
        """Have the browser do something, and return what it answers."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters, "sessionId": self._session}
        self._socket.send(json.dumps(message))
        while True:
            got = json.loads(self._socket.recv(timeout=SECONDS))
            if got.get("id") == number and got.get("sessionId") == self._session:
                assert "error" not in got, (method, got["error"])
                return got["result"]
            self._note(got)

    def _note(self, got: dict[str, Any]) -> None:
        if "method" in got and got.get("sessionId") == self._session:
            self.events.append(got)

    def wait_event(self, method: str) -> dict[str, Any]:
        """Return the next event of a kind."""
        while True:
            got = json.loads(self._socket.recv(timeout=SECONDS))
            self._note(got)
            if got.get("method") == method and got.get("sessionId") == self._session:
                return got

    def open(self, url: str) -> None:
        """Go to a page, and wait until it has loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        if not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.wait_event("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript is, awaited."""
        got = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def until(self, script: str, seconds: float = SECONDS) -> Any:
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(
                f"(() => {{ const found = {script}; return found instanceof Node || found; }})()"
            )
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    def text(self) -> str:
        """Return the words of the page, whether scripts may run or not."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        body = self.call("DOM.querySelector", nodeId=root, selector="body")["nodeId"]
        html = self.call("DOM.getOuterHTML", nodeId=body)["outerHTML"]
        return " ".join(re.sub(r"<[^>]*>", " ", html).split())

    # what a person does

    def look(self, width: int, scheme: str, **features: str) -> None:
        """Have a window of a width, and wishes of the reader's."""
        wishes = {"prefers-color-scheme": scheme, **features}
        told = [{"name": name, "value": value} for name, value in wishes.items()]
        self.call("Emulation.setEmulatedMedia", features=told)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )

    def scripts(self, *, on: bool) -> None:
        """Let pages run scripts, or not."""
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file."""
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=self._find(selector))

    def click(self, selector: str, *, leaves: bool = False) -> None:
        """Click on the middle of an element; with ``leaves``, wait for the page that comes."""
        node = self._find(selector)
        self.call("DOM.scrollIntoViewIfNeeded", nodeId=node)
        corners = self.call("DOM.getBoxModel", nodeId=node)["model"]["content"]
        x, y = (corners[0] + corners[4]) / 2, (corners[1] + corners[5]) / 2
        self.events.clear()
        for kind in ("mousePressed", "mouseReleased"):
            told = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", **told)
        if leaves and not any(one["method"] == "Page.loadEventFired" for one in self.events):
            self.wait_event("Page.loadEventFired")

    def _find(self, selector: str) -> int:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node: int = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, f"there is no {selector}"
        return node

    def key(self, key: str, *, control: bool = False) -> None:
        """Press a key."""
        code = {"Tab": 9, "Enter": 13}[key]
        told = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 2 * control}
        down = {"type": "rawKeyDown" if control else "keyDown", **told}
        self.call("Input.dispatchKeyEvent", **down, **({"text": "\r"} if key == "Enter" else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def type(self, text: str) -> None:
        """Type in place of what stands where the focus is."""
        self.run("document.activeElement.select()")
        self.call("Input.insertText", text=text)

    def walk(self, most: int = 300) -> list[dict[str, Any]]:
        """Go through all controls by Tab, and tell of each its name and whether it is seen."""
        self.run("{ document.activeElement.blur(); scrollTo(0, 0); window.visited = new Set(); }")
        found = []
        for _ in range(most):
            self.key("Tab")
            stop = self.run(f"({_STOP})()")
            if stop is None:
                return found
            found.append(stop)
        raise AssertionError("it never ends")

    def press_until(self, name: str) -> None:
        """Go by Tab to the control of a name."""
        for _ in range(300):
            self.key("Tab")
            if self.run(f"({_NAME})(document.activeElement)").startswith(name):
                return
        raise AssertionError(f"the keys do not lead to {name}")

    def shot(self, path: Path) -> None:
        """Save the whole page as a picture."""
        got = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(got["data"]))


_NAME = "(el) => (el.getAttribute('aria-label') || el.textContent || '').trim()"
_STOP = f"""() => {{
  const el = document.activeElement;
  if (!el || el === document.body || window.visited.has(el)) return null;
  window.visited.add(el);
  const top = document.querySelector(".top");
  const r = el.getBoundingClientRect(), bar = top.getBoundingClientRect();
  const ring = [el, el.closest(".pick")].filter(Boolean).some((one) => {{
    const s = getComputedStyle(one);
    return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2;
  }});
  const sticks = getComputedStyle(top).position === "sticky";
  const under = sticks && !el.closest(".top,.skip") && r.height > 0 && r.bottom <= bar.bottom;
  return {{ name: ({_NAME})(el), ring, under }};
}}"""


@contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """A browser with one page, ended with all its processes."""
    program = shutil.which("chromium")
    assert program, "the browser's tests need Debian's package chromium"
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr
        address = next(line.split()[-1] for line in process.stderr if "ws://" in line)
        with connect(address, max_size=1 << 28, open_timeout=SECONDS) as socket:
            yield Tab(socket, _attached(socket))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _attached(socket: ClientConnection) -> str:
    def ask(method: str, **parameters: object) -> Any:
        socket.send(json.dumps({"id": 1, "method": method, "params": parameters}))
        while True:
            got = json.loads(socket.recv(timeout=SECONDS))
            if got.get("id") == 1:
                return got["result"]

    target = ask("Target.createTarget", url="about:blank")["targetId"]
    return ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
