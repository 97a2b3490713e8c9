"""Who may do what: the file of tokens, the header, and what a wrong one is answered."""

import hashlib
import hmac
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import GpfnError, SetupError
from gpfn.serving import tokens
from gpfn.serving.tokens import (
    SCOPES,
    Forbidden,
    NotAuthorised,
    Scope,
    Tokens,
    parse_tokens,
    read_tokens,
)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


FILE = f"""\
# who          what
reader  predict  {digest("t-reader")}   # a comment

writer\twrite    {digest("t-writer")}\r
admin@example.org admin {digest("t-admin==")}
"""


@pytest.fixture
def kept() -> Tokens:
    return Tokens(parse_tokens(FILE.encode(), field="f"))


@pytest.mark.parametrize(
    ("token", "name", "most"),
    [("t-reader", "reader", 0), ("t-writer", "writer", 1), ("t-admin==", "admin@example.org", 2)],
)
def test_each_scope_includes_those_before_it(
    kept: Tokens, token: str, name: str, most: int
) -> None:
    for rank, scope in enumerate(SCOPES):
        if rank <= most:
            assert kept.allows(scope, f"Bearer {token}") == name
            assert kept.allows(scope, f"bearer  {token}") == name
            continue
        with pytest.raises(Forbidden) as caught:
            kept.allows(scope, f"Bearer {token}")
        assert caught.value.status == 403
        assert str(caught.value) == (
            f"authorization: the token of {name} is for {SCOPES[most]} only"
        )


@pytest.mark.parametrize(
    "header",
    [
        "Bearer t-reade",
        "Bearer t-readerr",
        "Bearer T-READER",
        "Bearer",
        "Bearer ",
        "t-reader",
        "Basic dC1yZWFkZXI=",
        "Bearer t-reader t-writer",
        "Bearer t-reader,",
        "Bearer\tt-reader",
        "Bearer t-reader\n",
        f"Bearer {digest('t-reader')}",
        "Bearer " + "a" * 100_000,
        "Bearer \u0442-reader",
        "",
    ],
)
def test_no_known_token(kept: Tokens, header: str) -> None:
    with pytest.raises(NotAuthorised) as caught:
        kept.allows("predict", header)
    assert caught.value.status == 401
    assert caught.value.challenge == 'Bearer error="invalid_token"'
    assert "reader" not in str(caught.value)


def test_none_at_all(kept: Tokens) -> None:
    with pytest.raises(NotAuthorised) as caught:
        kept.allows("predict", None)
    assert (caught.value.status, caught.value.challenge) == (401, "Bearer")


@pytest.mark.parametrize("anonymous", [None, *SCOPES])
def test_a_server_without_tokens(anonymous: Scope | None) -> None:
    """On loopback all may do everything, elsewhere they may predict."""
    open_to_all = Tokens(anonymous=anonymous)
    most = -1 if anonymous is None else SCOPES.index(anonymous)
    for rank, scope in enumerate(SCOPES):
        for header in (None, "Bearer left-over"):
            if rank <= most:
                assert open_to_all.allows(scope, header) == ""
            else:
                with pytest.raises(Forbidden, match="this server was given none"):
                    open_to_all.allows(scope, header)


def test_every_line_is_compared_with(kept: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is, in constant time."""
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(kept, "_equal", compare)
    for token in ("t-reader", "t-admin=="):
        compared.clear()
        kept.allows("predict", f"Bearer {token}")
        assert compared == [line.digest for line in kept._lines]
    compared.clear()
    with pytest.raises(NotAuthorised):
        kept.allows("predict", "Bearer x")
    assert len(compared) == 3


HASH = digest("x")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (f"a predict {HASH[:-1]}", "line 2: expected NAME SCOPE SHA256"),
        (f"a predict {HASH.upper()}", "line 2: expected NAME SCOPE SHA256"),
        (f"a read {HASH}", "line 2: expected NAME SCOPE SHA256"),
        (f"a {HASH}", "line 2: expected NAME SCOPE SHA256"),
        (f"a predict {HASH} more", "line 2: expected NAME SCOPE SHA256"),
        (f"-a predict {HASH}", "line 2: expected NAME SCOPE SHA256"),
        (f"{'a' * 65} predict {HASH}", "line 2: expected NAME SCOPE SHA256"),
        ("a predict gpfn_secret", "line 2: expected NAME SCOPE SHA256"),
        (f"first admin {HASH}", "line 2: a name or a hash for once more"),
        (f"a admin {digest('first')}", "line 2: a name or a hash for once more"),
        ("caf\xe9", "not UTF-8"),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(row: str, told: str) -> None:
    data = f"first predict {digest('first')}\n".encode() + row.encode("latin-1")
    with pytest.raises(SetupError) as caught:
        parse_tokens(data, field="file")
    assert str(caught.value) == f"file: {told}"
    assert "secret" not in str(caught.value)


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match="more than 1,048,576 bytes"):
        parse_tokens(b"#" * ((1 << 20) + 1), field="f")
    rows = [f"n{number} predict {digest(str(number))}" for number in range(1001)]
    assert len(parse_tokens("\n".join(rows[:-1]).encode(), field="f")) == 1000
    with pytest.raises(SetupError, match="more than 1,000 tokens"):
        parse_tokens("\n".join(rows).encode(), field="f")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text("ab#\n\r\t predictwm" + HASH).map(str.encode))
def test_any_bytes_are_lines_or_an_error_of_ours(data: bytes) -> None:
    try:
        lines = parse_tokens(data, field="f")
    except SetupError:
        return
    text = "".join(f"{line.name} {line.scope} {line.digest.hex()}\n" for line in lines)
    assert parse_tokens(text.encode(), field="f") == lines


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.sampled_from(SCOPES))
def test_any_header_has_an_answer(header: str, scope: Scope) -> None:
    with pytest.raises(GpfnError) as caught:
        Tokens(parse_tokens(FILE.encode(), field="f")).allows(scope, header)
    assert caught.value.status == 401


# the file


def written(folder: Path, mode: int) -> Path:
    path = folder / "tokens.txt"
    path.write_text(FILE)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_that_is_well_kept(tmp_path: Path, mode: int) -> None:
    found = read_tokens(written(tmp_path, mode))
    assert (len(found), found.warning) == (3, "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o444])
def test_a_file_that_others_may_read_is_warned_of(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, mode)
    assert read_tokens(path).warning == f"others may read {path}: chmod go-r"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, mode)
    with pytest.raises(SetupError) as caught:
        read_tokens(path)
    assert str(caught.value) == f"{path}: others may write it: chmod go-w"


def test_what_is_no_file_of_tokens(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        read_tokens(tmp_path / "absent")
    with pytest.raises(SetupError, match=r"cannot be read: Is a directory|not a regular file"):
        read_tokens(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SetupError, match="not a regular file"):
        read_tokens(tmp_path / "pipe")
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(SetupError, match="no token in it; make one with: gpfn tokens new NAME"):
        read_tokens(tmp_path / "empty")


def test_what_is_kept_is_no_token(tmp_path: Path) -> None:
    """Whoever reads this process's memory of tokens learns hashes."""
    found = read_tokens(written(tmp_path, 0o600))
    found.allows("predict", "Bearer t-reader")
    assert "t-reader" not in repr([getattr(found, name) for name in vars(found)])
    assert tokens.is_token_name("a.b_c@d-e")
