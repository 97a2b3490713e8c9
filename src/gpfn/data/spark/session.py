"""A session of Spark that is begun and ended here, with its words in a file and not in between.

What can be wrong is asked before: Java, the packages, and whether anything listens at the master's
address. What Java writes goes to a file, which is kept where something went wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from gpfn.data.spark.failure import spark_error
from gpfn.errors import CannotConnect, GpfnError, MissingExtra, SetupError

__all__ = ["RunningSpark", "SparkMaster", "spark_session"]

_FIELD = "--spark"
_LOCAL = re.compile(r"local(\[(\*|[1-9]\d{0,3})\])?")
_ADDRESSES = re.compile(r"(?:spark|k8s)://(?:https?://)?(\S+)")
_CONNECT_SECONDS = 5.0
_END_SECONDS = 10.0
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_PYTHON = "PYSPARK_PYTHON"
_NONE: Mapping[str, str] = MappingProxyType({})


class SparkMaster(NamedTuple):
    """Which Spark: the URL of its master, and settings as ``spark-defaults.conf`` has them."""

    url: str
    settings: Mapping[str, str] = _NONE

    @property
    def here(self) -> bool:
        """Whether its tasks are processes of this machine, with this Python and its files."""
        return _LOCAL.fullmatch(self.url) is not None


class RunningSpark(NamedTuple):
    """A running session: PySpark's object, its master, and the file that has Java's words."""

    spark: Any
    master: SparkMaster
    log: Path


@contextmanager
def spark_session(master: SparkMaster) -> Iterator[RunningSpark]:
    """Begin a session, and end it whatever happens; what Spark raises is told on one line.

    Raises MissingExtra without PySpark, SetupError without Java or for an unknown master,
    CannotConnect where nothing listens, and what `spark_error` makes of Spark's own errors.
    """
    _check_packages()
    _check_java()
    _check_master(master.url)
    number, name = tempfile.mkstemp(prefix="gpfn-spark-", suffix=".log")
    log = Path(name)
    with ExitStack() as stack:
        out = stack.enter_context(os.fdopen(number, "wb"))
        stack.enter_context(_python_of(master))
        stack.enter_context(_told(log))
        yield stack.enter_context(_running(master, log, out))
    log.unlink(missing_ok=True)


@contextmanager
def _running(master: SparkMaster, log: Path, out: Any) -> Iterator[RunningSpark]:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    conf = SparkConf()
    for name, value in _settings(master).items():
        conf.set(name, value)
    before = signal.getsignal(signal.SIGINT)  # PySpark takes it, and does not give it back
    launch: Any = launch_gateway  # it has no types
    gateway = launch(conf, {"stdout": out, "stderr": out, "start_new_session": True})
    try:
        with _told(log), _context(SparkContext(conf=conf, gateway=gateway)) as context:
            context.setLogLevel("WARN")
            yield RunningSpark(SparkSession(context), master, log)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
        _end(gateway)


@contextmanager
def _context(context: Any) -> Iterator[Any]:
    try:
        yield context
    finally:
        with suppress(Exception):  # it may have been the first to go
            context.stop()


@contextmanager
def _told(log: Path) -> Iterator[None]:
    """Make one line of what is raised, while Java is there to say what it was."""
    try:
        yield
    except GpfnError:
        raise
    except Exception as error:
        theirs = type(error).__module__.startswith(("pyspark", "py4j"))
        if theirs or isinstance(error, ConnectionError):  # Java is gone
            raise spark_error(error, log) from None
        raise


def _end(gateway: Any) -> None:
    """End Java, and have PySpark begin another one next time."""
    from pyspark import SparkContext

    with suppress(Exception):  # it may have gone before
        gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    process = gateway.proc
    with suppress(OSError):
        process.stdin.close()  # that is what it ends at
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _settings(master: SparkMaster) -> dict[str, str]:
    """Return what is set: what the user says wins."""
    found = {
        "spark.app.name": "gpfn score",
        "spark.ui.showConsoleProgress": "false",
    }
    if master.here:
        found |= {"spark.ui.enabled": "false", "spark.driver.memory": "1g"}
    if master.here or _is_loopback(master.url):
        found |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    # a file whose process ends is tried once more, as without Spark
    url = re.sub(r"^local\[([^,\]]+)\]$", r"local[\1,2]", master.url)
    return found | {**master.settings} | {"spark.master": url}


def _is_loopback(url: str) -> bool:
    return any(f"//{host}" in url for host in _HOSTS)


@contextmanager
def _python_of(master: SparkMaster) -> Iterator[None]:
    """Have tasks on this machine run by this Python, unless another one is said."""
    said = _PYTHON in os.environ or "spark.pyspark.python" in master.settings
    own = not said and (master.here or _is_loopback(master.url))
    if own:
        os.environ[_PYTHON] = sys.executable
    try:
        yield
    finally:
        if own:
            os.environ.pop(_PYTHON, None)


def _check_packages() -> None:
    for package in ("pyspark", "pyarrow"):
        if find_spec(package) is None:
            raise MissingExtra(f"{package}, which --spark needs,", "spark")


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME", "")
    if home:
        if not shutil.which(os.path.join(home, "bin", "java")):
            raise SetupError(f"no bin/java in {home}; correct it, or unset it", field="JAVA_HOME")
    elif not shutil.which("java"):
        told = (
            "Spark needs Java 17 or newer, and there is no java on the path; install it "
            "(Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME"
        )
        raise SetupError(told, field=_FIELD)


def _check_master(url: str) -> None:
    """Raise for an address that is none, and for one at which nothing listens."""
    if _LOCAL.fullmatch(url) or url == "yarn":
        return
    match = _ADDRESSES.fullmatch(url)
    if match is None:
        told = f"expected local[N], local[*], spark://HOST:PORT, k8s://… or yarn, got {url!r:.60}"
        raise SetupError(told, field=_FIELD)
    addresses = match[1].split("/")[0].split(",")  # a standalone cluster may have several masters
    told = ""
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise SetupError(f"expected HOST:PORT, got {address!r:.60}", field=_FIELD)
        told = _cannot_reach(host.strip("[]"), int(port))
        if not told:
            return
    raise CannotConnect(f"no master of Spark answers at {url}: {told}", field=_FIELD)


def _cannot_reach(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error) or "it takes too long"
    return ""
