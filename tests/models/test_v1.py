"""A model behind V1, and one behind TFaaS, against our server and servers that say nonsense."""

from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import BrokenReply, InvalidTensor, ModelFailed, RefusedByModel, SetupError
from gpfn.models import open_model
from gpfn.models.tfaas import TfaasModel
from gpfn.models.v1 import PredictModel
from tests.cli.serving import serve

WINDOWS = np.linspace(0, 1, 40, dtype=np.float32).reshape(2, 20, 1)


def test_it_is_a_model_like_any_other(root: Path, tmp_path: Path) -> None:
    file = str(root / "models" / "forecast.tflite")
    with serve(tmp_path, "--model", f"forecast={file}") as served:
        remote, local = open_model(f"{served.url}/v1/models/forecast"), open_model(file)
        assert (remote.backend, remote.inputs, remote.outputs) == (
            "v1",
            local.inputs,
            local.outputs,
        )
        expected = local({"series": WINDOWS})["forecast"]
        assert np.array_equal(remote({"series": WINDOWS})["forecast"], expected)
        assert np.array_equal(remote({"x": WINDOWS}, outputs=["forecast"])["forecast"], expected)
        with pytest.raises(BrokenReply, match="none was asked for and did not come"):
            remote({"series": WINDOWS}, outputs=["none"])
        with pytest.raises(InvalidTensor, match="series"):
            remote({"series": WINDOWS[:, :3]})
        with pytest.raises(RefusedByModel, match="404"):
            open_model(f"{served.url}/v1/models/other")({"x": WINDOWS})
        with pytest.raises(RefusedByModel, match=r"no such path: .* \(404\)"):
            PredictModel(f"{served.url}/nowhere/v1/models/m", outputs=("y",))({"x": WINDOWS})
        remote.close()
        with pytest.raises(ModelFailed, match="is closed"):
            remote({"series": WINDOWS})


@pytest.mark.parametrize(
    "url", ["http://h/v1/models/", "http://h/v1/models/a/b", "http://h/v1/models/a?x=1"]
)
def test_addresses_of_no_model(url: str) -> None:
    with pytest.raises(SetupError, match="expected …/v1/models/NAME"):
        PredictModel(url)


def test_rows_for_tfaas(tmp_path: Path) -> None:
    model = TfaasModel("tfaas://127.0.0.1:9/some/base/m")
    assert model.name == "http://127.0.0.1:9/some/base/m"
    assert TfaasModel("tfaas+https://h/m").name == "https://h/m"
    with pytest.raises(InvalidTensor, match="columns of different lengths"):
        model({"a": np.ones(1, np.float32), "b": np.ones(2, np.float32)})
    with pytest.raises(InvalidTensor, match="no values"):
        model({})
    model.close()
    with pytest.raises(ModelFailed, match="is closed"):
        model({"values": np.ones((1, 2), np.float32)})
