"""XGBoost's trees to ONNX: of a file that it has saved, or out of a pickle that is trusted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from .onnx_file import class_texts, write_trees
from .talk import Refused

__all__ = ["XGBoostSource", "open_source"]


def open_source(order: dict[str, Any]) -> XGBoostSource:
    """Load what XGBoost has saved; a classifier of its scikit-learn interface stays one."""
    import xgboost

    try:
        booster = xgboost.Booster(model_file=order["path"])
    except xgboost.core.XGBoostError as error:
        lines = str(error).strip().splitlines()
        raise Refused(f"XGBoost cannot load it: {(lines or ['damaged'])[-1][:300]}") from error
    kind = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    known = {"classifier": xgboost.XGBClassifier, "regressor": xgboost.XGBRegressor}
    if kind not in known:
        return XGBoostSource(booster)
    model = known[kind]()
    model.load_model(order["path"])
    return XGBoostSource(model)


class XGBoostSource:
    """A booster, or one of XGBoost's estimators around one."""

    def __init__(self, model: Any) -> None:
        import xgboost

        self.model = model
        self.booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
        learner = json.loads(self.booster.save_config())["learner"]
        if learner["gradient_booster"]["name"] != "gbtree":
            name = learner["gradient_booster"]["name"]
            raise Refused(f"onnxmltools writes trees only (gbtree), and this is a {name}")
        self._objective = learner["objective"]["name"]
        if "c" in (self.booster.feature_types or []):
            raise Refused(
                "onnxmltools cannot write splits by category; train it on encoded columns "
                "(one-hot or ordinal), without enable_categorical"
            )
        self._width = int(self.booster.num_features())
        self._names = [str(name) for name in self.booster.feature_names or []]
        self._ranges = self._spans()
        self._outputs: list[str] = []

    def convert(self, _target: str, out: str) -> None:
        """Write it as ``onnx``, the only target."""
        from onnxmltools import convert_xgboost

        self.booster.feature_names = None  # it must be f0, f1, … for the converter
        self._outputs = write_trees(
            convert_xgboost,
            self.model,
            out,
            objective=self._objective,
            width=self._width,
            ask=self.ask,
        )

    def facts(self) -> dict[str, Any]:
        """Return columns and where the thresholds lie."""
        from importlib.metadata import version

        import xgboost

        return {
            "framework": f"XGBoost {xgboost.__version__}",
            "versions": {"xgboost": xgboost.__version__, "onnxmltools": version("onnxmltools")},
            "outputs": self._outputs,
            "columns": self._names,
            "classes": self._class_names(),
            "ranges": {"x": self._ranges},
            "gaps": True,
        }

    def ask(self, _names: Sequence[str], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return labels and probabilities of a classifier, values of anything else."""
        import xgboost

        rows = arrays[0]
        if isinstance(self.model, xgboost.XGBClassifier):
            return [self.model.predict(rows), self.model.predict_proba(rows)]
        if not isinstance(self.model, xgboost.Booster):
            return [self.model.predict(rows)]
        found = self.model.predict(xgboost.DMatrix(rows))
        if self._objective == "binary:logistic":
            return [(found > 0.5).astype(np.int64), np.stack([1 - found, found], 1)]
        if self._objective == "multi:softprob":
            return [found.argmax(1), found]
        if self._objective == "multi:softmax":
            return [found.astype(np.int64)]
        return [found]

    def _class_names(self) -> list[str]:
        import xgboost

        if isinstance(self.model, xgboost.XGBClassifier):
            return class_texts(self.model.classes_)
        return []

    def _spans(self) -> list[list[float]]:
        """Return between which values the splits of each column lie, and a bit beyond."""
        self.booster.feature_names = None
        spans = [[np.inf, -np.inf] for _ in range(self._width)]
        for text in self.booster.get_dump(dump_format="json"):
            waiting = [json.loads(text)]
            while waiting:
                node = waiting.pop()
                waiting += node.get("children", [])
                if "split_condition" in node:
                    at, value = int(str(node["split"])[1:]), float(node["split_condition"])
                    spans[at] = [min(spans[at][0], value), max(spans[at][1], value)]
        self.booster.feature_names = self._names or None
        return [[low - 1, high + 1] if low <= high else [-1.0, 1.0] for low, high in spans]
