"""From a request to the image files in it: one or several, with the options beside them.

Whichever way they come: a file as the whole body, base64, a form, or an address where those
are switched on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gpfn.call.payload import Payload
from gpfn.deadline import Deadline
from gpfn.errors import (
    CallerError,
    GpfnError,
    InvalidImage,
    InvalidRequest,
    TooLarge,
    UnsupportedMedia,
)
from gpfn.images.sources import form_parts, from_bytes, from_text
from gpfn.limits import Limits
from gpfn.settings import read_digits, read_switch

__all__ = ["ImageRequest", "read_image_request", "real_number", "whole_number"]

_URLS_SWITCH = "GPFN_IMAGE_URLS"
_RAW_TYPES = ("application/octet-stream", "text/plain", "", "application/x-www-form-urlencoded")
_LONGEST_NUMBER = 20


class ImageRequest(NamedTuple):
    """What one call asks about: image files, and options by their names.

    With ``several`` they came as a list, and what is wrong with one stands in its place.
    """

    files: list[bytes | GpfnError]
    several: bool
    options: Mapping[str, object]


def read_image_request(payload: Payload, limits: Limits, deadline: Deadline) -> ImageRequest:
    """Return what a call asks about.

    Raises CallerError when one image alone cannot be had, and for a list that is empty or has
    more than ``limits.batch`` images. DeadlineExceeded is one of them.
    """
    options = _options(payload)
    if "images" not in options:
        file = _file(options.get("image"), limits.body_bytes, deadline, "image")
        return ImageRequest([file], False, options)
    images = options["images"]
    if "image" in options:
        raise InvalidRequest("give image or images, not both", field="images")
    if not isinstance(images, list):
        kind = type(images).__name__
        raise InvalidRequest(f"expected a list of images, got {kind}", field="images")
    if not images:
        raise InvalidRequest("empty; expected at least one image", field="images")
    if len(images) > limits.batch:
        told = f"{len(images)} images; at most {limits.batch} (GPFN_MAX_BATCH)"
        raise TooLarge(told, field="images")
    return ImageRequest(_files(images, limits.body_bytes, deadline), True, options)


def _files(images: Sequence[object], most: int, deadline: Deadline) -> list[bytes | GpfnError]:
    """Return each image's file, or what is wrong with it; together they have ``most`` bytes."""
    files: list[bytes | GpfnError] = []
    for number, image in enumerate(images):
        deadline.check("the images were read")
        try:
            file = _file(image, most, deadline, f"images[{number}]")
        except GpfnError as error:
            files.append(error)
        else:
            files.append(file)
            most -= len(file)
    return files


def _options(payload: Payload) -> Mapping[str, object]:
    """Return image or images, topk and model, whichever way they came."""
    if payload.base_type == "multipart/form-data":
        return _of_form(payload)
    if _is_file(payload):
        return {"image": payload.data}
    if not payload.is_json:
        raise UnsupportedMedia(
            f"{payload.base_type}: send image/…, application/json or multipart/form-data",
            field="content-type",
        )
    options = payload.json()
    if isinstance(options, Mapping):
        return options
    if isinstance(options, str):  # base64 in quotes is JSON
        return {"image": options}
    if isinstance(options, list) and all(isinstance(each, str) for each in options):
        return {"images": options}
    kind = type(options).__name__
    told = f"expected an object with an image, or a list of images in base64, got {kind}"
    raise InvalidRequest(told, field=payload.field)


def _of_form(payload: Payload) -> Mapping[str, object]:
    """Return the fields of a form; every part that is called ``images`` is one of several."""
    options: dict[str, Any] = {}
    for part in form_parts(payload.data, payload.media_type):
        if part.name == "images":
            options.setdefault("images", []).append(part.content)
        else:
            options[part.name] = part.content  # the last of a name
    return options


def _is_file(payload: Payload) -> bool:
    """Tell a photo sent as it is from parameters, where the media type does not.

    ``fn invoke`` says text/plain and curl a form whatever they are given.
    """
    if payload.base_type.startswith("image/"):
        return True
    if payload.event is not None:
        return not payload.is_json
    start = payload.data[:64].lstrip()[:1]
    return payload.base_type in _RAW_TYPES and start not in (b"{", b"[", b"")


def _file(image: object, most: int, deadline: Deadline, field: str) -> bytes:
    if isinstance(image, bytes):
        return from_bytes(image, most, field=field)
    if isinstance(image, str) and image[:8].lower().startswith(("http://", "https://")):
        return _fetched(image, most, deadline, field)
    return from_text(image, most, field=field)


def _fetched(url: str, most: int, deadline: Deadline, field: str) -> bytes:
    if not read_switch(_URLS_SWITCH):
        raise InvalidImage(
            f"image URLs are off; send the image itself, or set {_URLS_SWITCH}=on", field=field
        )
    from gpfn.http.fetch import FetchPolicy, fetch

    if most < 1:
        told = "no bytes are left for it of what all images may have (GPFN_MAX_BODY_BYTES)"
        raise TooLarge(told, field=field)
    return fetch(url, FetchPolicy(most), deadline, field=field)


def whole_number(value: object, most: int, field: str) -> int | None:
    """Return an option from 1 to ``most``, None for one that is not there.

    Raises CallerError. A form has no numbers, so digits will do.
    """
    from gpfn.tensors.shapes import shown

    if value is None:
        return None
    number = read_digits(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise CallerError(f"expected a whole number, got {shown(value)}", field=field)
    if not 1 <= number <= most:
        raise CallerError(f"expected 1 to {most}, got {shown(value)}", field=field)
    return number


def real_number(value: object, field: str) -> float | None:
    """Return an option from 0 to 1, None for one that is not there. Raises CallerError."""
    from gpfn.tensors.shapes import shown

    if value is None:
        return None
    number = _parsed(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise CallerError(f"expected a number, got {shown(value)}", field=field)
    if not 0 <= number <= 1:
        raise CallerError(f"expected 0 to 1, got {shown(value)}", field=field)
    return float(number)


def _parsed(text: str) -> float | None:
    try:
        return float(text) if len(text) <= _LONGEST_NUMBER else None
    except ValueError:
        return None
