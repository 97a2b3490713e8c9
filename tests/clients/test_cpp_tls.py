"""Certificates of both sides, as grid sites have them."""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.clients.building import Built, run
from tests.clients.capture import Reply, capturing

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates(NamedTuple):
    """A folder with an authority, a server and a user, and what of it a program gets."""

    folder: Path

    @property
    def authorities(self) -> Path:
        """The folder for $X509_CERT_DIR."""
        return self.folder / "authorities"

    @property
    def user(self) -> Path:
        """Certificate and key in one file, as voms-proxy-init writes them."""
        return self.folder / "user.pem"

    def server(self) -> ssl.SSLContext:
        """Return what a server has that insists on a user's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem")
        context.load_verify_locations(self.folder / "authority.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def issue(folder: Path, name: str, *more: str) -> None:
    """Write NAME.pem with a certificate that the authority has signed, and its key."""
    openssl(
        folder, "req", "-x509", *NEW_KEY, "-days", "2", "-subj", f"/CN={name}",
        "-CA", "authority.pem", "-CAkey", "authority.key",
        "-keyout", f"{name}.key", "-out", f"{name}.crt", *more,
    )  # fmt: skip
    parts = [(folder / f"{name}.{part}").read_text() for part in ("crt", "key")]
    (folder / f"{name}.pem").write_text("".join(parts))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    openssl(
        folder, "req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=authority",
        "-keyout", "authority.key", "-out", "authority.pem",
    )  # fmt: skip
    issue(folder, "server", "-addext", "subjectAltName=DNS:localhost")
    issue(folder, "user")
    (folder / "authorities").mkdir()
    (folder / "authorities" / "one.pem").write_text((folder / "authority.pem").read_text())
    openssl(folder, "rehash", "authorities")
    return Certificates(folder)


def test_the_proxy_certificate_is_shown(built: Built, certificates: Certificates) -> None:
    with capturing(tls=certificates.server()) as server:
        done = run(
            [built.ask, server.url(), 10],
            X509_USER_PROXY=str(certificates.user),
            X509_CERT_DIR=str(certificates.authorities),
        )
    assert done.returncode == 0, done.stderr
    assert {request.subject for request in server.seen} == {"commonName=user"}
    assert server.connections == 1


def test_without_one_the_server_refuses_and_that_is_told(
    built: Built, certificates: Certificates
) -> None:
    with capturing(tls=certificates.server()) as server:
        done = run([built.ask, server.url(), 1], X509_CERT_DIR=str(certificates.authorities))
    assert done.returncode == 1
    assert done.stdout.startswith("0|")
    assert server.seen == []


def test_a_server_of_no_known_authority_gets_nothing(
    built: Built, certificates: Certificates
) -> None:
    with capturing(tls=certificates.server()) as server:
        done = run([built.old_program, server.url(), "x"], X509_USER_PROXY=str(certificates.user))
    assert (done.returncode, done.stdout) == (0, "0 of an empty row\n")
    assert "certificate" in done.stderr
    assert server.seen == []


def test_a_server_of_another_name_gets_nothing(built: Built, certificates: Certificates) -> None:
    with capturing(tls=certificates.server()) as server:
        done = run(
            [built.ask, server.url(host="127.0.0.1"), 1],
            X509_USER_PROXY=str(certificates.user),
            X509_CERT_DIR=str(certificates.authorities),
        )
    assert done.returncode == 1
    assert server.seen == []


def test_a_certificate_that_is_not_there_is_told(built: Built, certificates: Certificates) -> None:
    with capturing(tls=certificates.server()) as server:
        done = run([built.ask, server.url(), 1], X509_USER_PROXY="/nowhere/proxy")
    assert done.returncode == 1
    assert "/nowhere/proxy" in done.stdout


def test_a_redirection_never_leaves_tls(built: Built, certificates: Certificates) -> None:
    with capturing() as plain, capturing(tls=certificates.server()) as server:
        server.replies["/proto"] = Reply(307, b"", {"Location": plain.url()})
        done = run(
            [built.ask, server.url(), 1],
            X509_USER_PROXY=str(certificates.user),
            X509_CERT_DIR=str(certificates.authorities),
        )
    assert done.returncode == 1
    assert len(server.seen) == 1
    assert plain.seen == []
