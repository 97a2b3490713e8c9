"""Which media types are read as what."""

import pytest

from gpfn.tensors.media import JSON, NPY, OCTETS, family


@pytest.mark.parametrize(
    ("media_type", "known"),
    [
        ("application/json", JSON),
        ("Application/JSON; charset=UTF-8", JSON),
        ('application/json;charset="utf-8"; x=y', JSON),
        ("application/vnd.acme.series+json", JSON),
        ("application/json; charset=utf-16", None),
        ("application/octet-stream", OCTETS),
        ("application/octet-stream; charset=x", OCTETS),
        ("application/x-npy", NPY),
        ("application/vnd.numpy.npy", NPY),
        ("text/plain", None),
        ("text/json-ish", None),
        ("", None),
    ],
)
def test_families(media_type: str, known: str | None) -> None:
    assert family(media_type) == known
