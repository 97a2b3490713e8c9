"""A Function without a model that gives back what it got."""

from gpfn import Function


def echo(payload):
    """Give the payload back, or fail as it says."""
    if payload.data == b"fail":
        raise RuntimeError("secret")
    if payload.data == b"refuse":
        from gpfn.errors import InvalidTensor

        raise InvalidTensor("expected 20 numbers, got 19", field="data[0]")
    if payload.data == b"backend":
        from gpfn.errors import CannotConnect

        raise CannotConnect("nobody there")
    if payload.data == b"late":
        from gpfn.errors import BackendTimeout

        raise BackendTimeout("no answer within 1 s")
    if payload.data == b"exit":
        raise SystemExit(3)
    return payload


async def slowly(payload):
    """Do the same, asynchronously."""
    return echo(payload)


def as_it_came(message):
    """Give the message back with every header that is seen."""
    return message


function = Function(echo, takes="payload")
handler = function.fn
later = Function(slowly, takes="payload").fn
message = Function(as_it_came, takes="message").fn
