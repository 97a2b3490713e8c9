"""The types: the schema's numbers, NumPy's names."""

import numpy as np
import pytest

from gpfn.graphpipe.messages import Type, type_number
from gpfn.tensors.spec import DTYPES
from tests.graphpipe.oracle import Oracle


def test_the_numbers_are_those_of_the_schema(oracle: Oracle) -> None:
    generated = vars(oracle.code["Type"].Type)
    assert {kind.name.title(): kind.value for kind in Type} == {
        name: number for name, number in generated.items() if not name.startswith("_")
    }


def test_every_dtype_of_a_spec_has_a_type() -> None:
    for name in DTYPES - {"bool"}:
        assert type_number(name).dtype == name
    assert type_number("bool") is Type.UINT8
    assert Type.NULL.dtype == ""
    for kind in Type:
        if kind not in (Type.NULL, Type.STRING):
            assert np.dtype(kind.dtype).name == kind.dtype


@pytest.mark.parametrize("name", ["", "null", "complex64", "Float32", "object"])
def test_other_names_have_none(name: str) -> None:
    with pytest.raises(ValueError, match="GraphPipe has no type for"):
        type_number(name)
