"""Image files in, a model's input out, a row each: the stage between downloads and a model.

:class:`Preprocessor` is a handler object (:mod:`gpfn.function.declaration`):
``Function(Preprocessor("mobilenet_v2"))`` is a whole function. How a picture becomes numbers is
what the model's description says (:mod:`gpfn.images.preparation`). A picture that cannot be read
is a row of zeros with a text that says why.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gpfn.call.contract import Call
from gpfn.errors import GpfnError, SetupError, TooLarge, printable
from gpfn.images.preparation import ImageInput, warm_up
from gpfn.images.rows import prepare_rows
from gpfn.limits import Limits
from gpfn.tensors.spec import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model

__all__ = ["Preprocessor", "image_input"]

_FIELD = "images"
_VARIABLE = "GPFN_IMAGE_INPUT"
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
        return {
            "image": TensorSpec(self.image.dtype, (None, *self.image.shape)),
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

        from gpfn.models.threads import available_cpus

        limits = self.limits = self.limits or Limits.from_env()
        files: list[bytes] = images.tolist()
        self._check_size(len(files), limits)
        made = prepare_rows(
            files,
            self.image,
            limits,
            deadline=call.deadline,
            field=_FIELD,
            threads=available_cpus(),
        )
        problems = np.empty(len(files), object)
        problems[:] = [_told(problem) for problem in made.problems]
        return {"image": made.rows, "image_problems": problems}

    def _check_size(self, rows: int, limits: Limits) -> None:
        height, width, depth = self.image.shape
        size = rows * height * width * depth * (1 if self.image.quantised else 4)
        if size > limits.body_bytes:
            told = f"{rows} pictures become {size} bytes; at most {limits.body_bytes}"
            raise TooLarge(f"{told} (GPFN_MAX_BODY_BYTES)", field=_FIELD)


def _told(problem: GpfnError | None) -> bytes:
    """Return what is wrong with a picture, as a text of one row."""
    if problem is None:
        return b""
    return (printable(problem.detail, _SHOWN) or problem.title).encode()


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
