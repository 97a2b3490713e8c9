"""A function under OpenWhisk's contract: its own process, /init once and then /run."""

import http.client
import re
import time

from gpfn.errors import BackendTimeout, BrokenReply, SetupError
from gpfn.invoke.child import Child, Running
from gpfn.invoke.fn import script
from gpfn.invoke.owwire import SENTINEL, activation_id, from_action, init_body, run_body
from gpfn.invoke.platform import Answer, Request
from gpfn.invoke.target import Target

__all__ = ["OpenWhisk"]

_START_SECONDS = 60.0  # an action's default timeout, which bounds /init
_LISTENING = re.compile(r"^gpfn: listening on http://[^\s:]+:(\d+)\n", re.MULTILINE)
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class OpenWhisk:
    """The function as ``gpfn run openwhisk`` serves it, called as the platform's invoker calls."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._child: Running | None = None
        self._port = 0

    def start(self) -> float:
        """Start the process and initialise it; returns the seconds until it can be called."""
        self._child = self._launch()
        self._child.wait_until(self._listens, _START_SECONDS)
        status, body = self._post("/init", init_body(self._name(), _START_SECONDS), _START_SECONDS)
        if status != 200:
            raise SetupError(f"the action was not initialised: {body.decode(errors='replace')}")
        return time.perf_counter() - self._child.started

    def _launch(self) -> Running:
        command = [*script("gpfn"), "run", "openwhisk", str(self.target.file)]
        command += ["--host", "127.0.0.1", "--port", "0"]
        return Child(command, self.target.folder, self.target.environ())

    def _listens(self) -> bool:
        place = _LISTENING.search(self._output())
        if place is not None and not self._port:
            self._port = int(place[1])
        return place is not None

    def call(self, request: Request) -> Answer:
        """Run one activation. Raises BackendError when no reply comes that OpenWhisk takes."""
        identifier = activation_id()
        body, web = run_body(request, self._name(), identifier)
        # the function may say itself that it is late
        status, reply = self._post("/run", body, request.timeout + 1.0)
        return from_action(status, reply, identifier, web=web)

    def _name(self) -> str:
        return self.target.folder.name

    def _post(self, path: str, body: bytes, timeout: float) -> tuple[int, bytes]:
        """Send one request on a connection of its own, as the invoker does."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            connection.request("POST", path, body, _HEADERS)
            response = connection.getresponse()
            reply = response.read()
        except TimeoutError as error:
            raise BackendTimeout(f"no answer to {path} within {timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise BrokenReply(f"the action broke off: {error!r}") from error
        finally:
            connection.close()
        if response.getheader("Content-Length") is None:
            raise BrokenReply("the reply has no Content-Length, which OpenWhisk does not take")
        return response.status, reply

    def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()

    def log(self) -> str:
        """Return the activations' log: both streams as they came, without the sentinels."""
        lines = _LISTENING.sub("", self._output()).splitlines(keepends=True)
        return "".join(line for line in lines if line.rstrip("\n") != SENTINEL)

    def _output(self) -> str:
        return "" if self._child is None else self._child.log()

    def memory(self) -> int:
        """Return the process's resident bytes."""
        return 0 if self._child is None else self._child.memory()
