"""Image files in, a model's input out, a row each: the stage between downloads and a model.

:class:`Preprocessor` is a handler object (:mod:`gpfn.function.declaration`):
``Function(Preprocessor("mobilenet_v2"))`` is a whole function. How a picture becomes numbers is
what the model's description says (:mod:`gpfn.images.preparation`). A picture that cannot be read
is a row of zeros with a text that says why.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from gpfn.call.contract import Call
from gpfn.errors import (
    CallerError,
    DeadlineExceeded,
    InvalidTensor,
    SetupError,
    TooLarge,
    printable,
)
from gpfn.images.preparation import ImageInput, prepare, warm_up
from gpfn.limits import Limits
from gpfn.scope import SCOPE
from gpfn.tensors.spec import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model

__all__ = ["Preprocessor", "image_input"]

_FIELD = "images"
_VARIABLE = "GPFN_IMAGE_INPUT"
_THREADS = 2
"""Pillow computes without Python's lock for half of its time: a third thread gains nothing, and
each takes the memory of a picture."""
_SHOWN = 300


class Preprocessor:
    """Prepares image files for a model; a handler object for ``Function``.

    ``image_problems`` is empty where a row is a picture.

    >>> Preprocessor("mobilenet_v2").outputs["image"].shape
    (None, 224, 224, 3)
    """

    takes = "arrays"
    inputs: ClassVar[Mapping[str, TensorSpec]] = {_FIELD: TensorSpec("string", (None,))}

    def __init__(
        self, image: str | ImageInput = "mobilenet_v2", *, limits: Limits | None = None
    ) -> None:
        """Take what a model wants: its name in the catalogue, a ``model.toml``, or the input.

        ``GPFN_IMAGE_INPUT`` comes before it. Raises SetupError.
        """
        named = os.environ.get(_VARIABLE, "")
        if named:
            image = image_input(named, field=_VARIABLE)
        self.image = image if isinstance(image, ImageInput) else image_input(image, field="image")
        self.limits = limits

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """The arrays that it gives."""
        dtype = "uint8" if self.image.quantised else "float32"
        return {
            "image": TensorSpec(dtype, (None, *_shape(self.image))),
            "image_problems": TensorSpec("string", (None,)),
        }

    def open(self, model: "Model | None" = None) -> None:
        """Import what the first caller would wait for."""
        del model  # there is none
        self.limits = self.limits or Limits.from_env()
        warm_up(self.image)

    def predict(self, images: "np.ndarray", call: Call) -> "dict[str, np.ndarray]":
        """Return the rows of one call, and what is wrong with those that are zeros."""
        import numpy as np

        limits = self.limits = self.limits or Limits.from_env()
        files: list[bytes] = images.tolist()
        if not files:
            raise InvalidTensor("empty; expected at least one picture", field=_FIELD)
        self._check_size(len(files), limits)
        made = np.zeros((len(files), *_shape(self.image)), self.outputs["image"].dtype)
        problems = np.full(len(files), b"", object)
        scope = SCOPE.get()  # a helping thread has none of its own

        def fill(row: int) -> None:
            if scope is not None and scope.cancelled:
                raise DeadlineExceeded("nobody waits for the pictures any more")
            problems[row] = self._prepared(files[row], made[row], limits, call).encode()

        _each(fill, len(files))
        return {"image": made, "image_problems": problems}

    def _prepared(self, data: bytes, row: "np.ndarray", limits: Limits, call: Call) -> str:
        """Fill one row, and return what is wrong with its picture."""
        if not data:
            return "no image"
        try:
            row[:] = prepare(data, self.image, limits.pixels, deadline=call.deadline, field=_FIELD)[
                0
            ]
        except DeadlineExceeded:
            raise  # nobody waits for the other rows either
        except CallerError as error:
            return printable(error.detail, _SHOWN) or error.title
        return ""

    def _check_size(self, rows: int, limits: Limits) -> None:
        height, width, depth = _shape(self.image)
        values = rows * height * width * depth
        if values > limits.elements:
            told = f"{rows} pictures become {values} values; at most {limits.elements}"
            raise TooLarge(f"{told} (GPFN_MAX_ELEMENTS)", field=_FIELD)
        size = values * (1 if self.image.quantised else 4)
        if size > limits.body_bytes:
            told = f"{rows} pictures become {size} bytes; at most {limits.body_bytes}"
            raise TooLarge(f"{told} (GPFN_MAX_BODY_BYTES)", field=_FIELD)


def image_input(named: str, *, field: str) -> ImageInput:
    """Return what a model makes of images: one of the catalogue, of a ``model.toml``, or JSON.

    ``named`` is a name, the path of a file, or an object with the keys of a model's ``image``
    table. Raises SetupError with ``field``, or with the key that is wrong.
    """
    from gpfn.models.description import parse_image, read_description
    from gpfn.models.toml_table import Table

    if named.lstrip().startswith("{"):
        return parse_image(Table(_json(named, field), origin=field))
    if named.endswith(".toml"):
        found = read_description(Path(named)).image
    else:
        found = _of_the_catalogue(named, field)
    if found is None:
        raise SetupError(f"{named[:80]!r} does not say what it makes of an image", field=field)
    return found


def _of_the_catalogue(name: str, field: str) -> ImageInput | None:
    from gpfn.models.catalogue import default_catalogue

    try:
        return default_catalogue().get(name[:_SHOWN]).image
    except SetupError as error:
        raise SetupError(error.detail, field=field) from None


def _json(text: str, field: str) -> object:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"not JSON: {error}", field=field) from None


def _shape(image: ImageInput) -> tuple[int, int, int]:
    depth = 1 if image.channels == "L" else 3
    if image.layout == "NCHW":
        return depth, image.height, image.width
    return image.height, image.width, depth


def _each(work: Callable[[int], None], count: int) -> None:
    """Do the work for each row, by two threads where there are several rows and processors.

    What one thread raises ends the other as well, and is raised here.
    """
    from gpfn.models.threads import available_cpus

    rows = iter(range(count))
    failures: list[BaseException] = []
    helpers = [
        Thread(target=_rows, args=(work, rows, failures), daemon=True)
        for _ in range(min(_THREADS, count, available_cpus()) - 1)
    ]
    started = [helper for helper in helpers if _started(helper)]
    _rows(work, rows, failures)
    for helper in started:
        helper.join()
    if failures:
        raise failures[0]


def _started(thread: Thread) -> bool:
    try:
        thread.start()
    except RuntimeError:  # no more threads: the caller's own does all rows
        return False
    return True


def _rows(work: Callable[[int], None], rows: Iterator[int], failures: list[BaseException]) -> None:
    try:
        for row in rows:
            if failures:
                return
            work(row)
    except BaseException as error:  # noqa: BLE001 - raised by who has started the thread
        failures.append(error)
