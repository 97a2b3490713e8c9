"""By whom a port is taken."""

import os
import socket

import pytest

from gpfn.errors import SetupError
from gpfn.local.ports import find_holder, listen_on


def test_a_port_in_use_says_by_whom_and_which_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=r"is in use by '.*python") as told:
            listen_on("127.0.0.1", port, "--fn-port")
    assert f"(process {os.getpid()})" in str(told.value)
    assert "--fn-port N" in str(told.value)
    assert find_holder(port) is None


def test_who_has_a_port_is_named_without_its_folders() -> None:
    with listen_on("127.0.0.1", 0, "--fn-port") as taken:
        holder = find_holder(taken.getsockname()[1])
    assert holder is not None
    assert "/" not in holder.command.split()[0]
    assert holder.command == holder.command.strip()


def test_a_port_is_taken_as_soon_as_it_is_ours() -> None:
    """Two sockets may have one address until one of them listens."""
    with listen_on("127.0.0.1", 0, "--fn-port") as first:
        port = first.getsockname()[1]
        with pytest.raises(SetupError, match=f"port {port} is in use by"):
            listen_on("127.0.0.1", port, "--openwhisk-port")


def test_a_free_port_and_an_address_of_another_machine() -> None:
    with listen_on("127.0.0.1", 0, "--fn-port") as sock:
        assert sock.getsockname()[1] > 0
    with pytest.raises(SetupError, match=r"--listen: cannot listen on 192\.0\.2\.1:0"):
        listen_on("192.0.2.1", 0, "--fn-port")


def test_ipv6_is_found_as_well() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        holder = find_holder(taken.getsockname()[1])
    assert holder is not None
    assert holder.pid == os.getpid()
