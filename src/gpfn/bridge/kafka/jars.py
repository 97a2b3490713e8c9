"""Kafka's own programs on this machine: fetched once, checked each time, found by every project.

``jars.sha256`` lists every file that belongs to a broker, in the form of sha256sum.
Maven fetches them from wherever it is set up to fetch from; nothing is run whose hash is not
in the list.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from gpfn.errors import DownloadFailed, SetupError
from gpfn.models.files import CACHE_VARIABLE, cache_folder, check_file, lock_folder

__all__ = ["KAFKA_VERSION", "find_java", "kafka_jars"]

KAFKA_VERSION = "4.4.0"

_LIST = Path(__file__).with_name("jars.sha256")
_OLDEST_JAVA = 17
_FETCH_SECONDS = 900.0
_SHOWN = 300
_POM = """\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>gpfn</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{version}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def kafka_jars(tell: Callable[[str], object]) -> list[Path]:
    """Return the files of a broker's class path, fetched when they are not on this machine.

    ``tell`` gets a line before that. Raises DownloadFailed, SetupError: no Maven, no network,
    a hash that is not the one in the list.
    """
    hashes = _hashes()
    folder = cache_folder() / "kafka" / KAFKA_VERSION
    try:
        with lock_folder(folder.parent, _FETCH_SECONDS):
            if not folder.is_dir():
                tell(f"fetching Apache Kafka {KAFKA_VERSION}, once: {len(hashes)} files, 43 MB")
                _fetch(folder, hashes)
        wrong = _wrong(folder, hashes)
    except OSError as error:
        told = f"cannot use the cache folder {cache_folder()}: {error.strerror}"
        raise SetupError(f"{told}; {CACHE_VARIABLE} names another one") from error
    if wrong:
        raise DownloadFailed(f"{wrong}; remove {folder} and try again")
    return [folder / name for name in hashes]


def find_java() -> str:
    """Return the program java, of ``JAVA_HOME`` or the path. Raises SetupError."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(str(Path(home) / "bin" / "java")) if home else None
    java = java or shutil.which("java")
    advice = f"Kafka needs Java {_OLDEST_JAVA} or newer; on Debian: default-jre-headless"
    if java is None:
        raise SetupError(f"there is no java; {advice}", field="java")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', said.stderr + said.stdout)
    if said.returncode or found is None:
        raise SetupError(f"{java} does not run; {advice}", field="java")
    if int(found[1]) < _OLDEST_JAVA:
        raise SetupError(f"{java} is version {found[1]}; {advice}", field="java")
    return java


def _hashes() -> dict[str, str]:
    lines = (line.split() for line in _LIST.read_text(encoding="ascii").splitlines())
    return {name: digest for digest, name in lines}


def _wrong(folder: Path, hashes: dict[str, str]) -> str:
    """Return what is wrong with the files, nothing when each is there with its hash."""
    for name, digest in hashes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is absent"
        wrong = check_file(path, sha256=digest)
        if wrong:
            return f"{name} {wrong}"
    return ""


def _fetch(folder: Path, hashes: dict[str, str]) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise SetupError("there is no mvn to fetch Kafka with; on Debian: maven", field="mvn")
    with TemporaryDirectory(dir=folder.parent) as work:
        jars = Path(work) / "jars"
        pom = Path(work) / "pom.xml"
        pom.write_text(_POM.format(version=KAFKA_VERSION), encoding="utf-8")
        _run_maven(maven, pom, jars)
        wrong = _wrong(jars, hashes)
        if wrong:
            raise DownloadFailed(f"what Maven fetched is not what belongs here: {wrong}")
        for path in jars.iterdir():  # a file that is not in the list would not be run either
            if path.name not in hashes:
                path.unlink()
        jars.rename(folder)


def _run_maven(maven: str, pom: Path, jars: Path) -> None:
    goal = "dependency:copy-dependencies"
    command = [maven, "-B", "-q", "-f", str(pom), goal, f"-DoutputDirectory={jars}"]
    try:
        done = subprocess.run(
            command,
            cwd=pom.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DownloadFailed(f"mvn has not fetched Kafka in {_FETCH_SECONDS:g} s") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        told = next((line for line in lines if "ERROR" in line), "it ended without a word")
        raise DownloadFailed(f"mvn cannot fetch Kafka: {told[:_SHOWN]}")
