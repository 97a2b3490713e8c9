"""LightGBM's trees to ONNX: of a file that it has saved, or out of a pickle that is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .onnx_file import class_texts, write_trees
from .talk import Refused

__all__ = ["LightGBMSource", "open_source"]

_MOST = 1e6  # a column's range may be told without an end


def open_source(order: dict[str, Any]) -> LightGBMSource:
    """Load a model's text."""
    import lightgbm

    try:
        return LightGBMSource(lightgbm.Booster(model_file=order["path"]))
    except lightgbm.basic.LightGBMError as error:
        raise Refused(f"LightGBM cannot load it: {' '.join(str(error).split())[:300]}") from error


class LightGBMSource:
    """A booster, or one of LightGBM's estimators around one."""

    def __init__(self, model: Any) -> None:
        import lightgbm

        self.model = model
        self.booster = model if isinstance(model, lightgbm.Booster) else model.booster_
        self._told = self.booster.dump_model(num_iteration=1)
        self._objective = str(self._told.get("objective", "")).partition(" ")[0]
        self._names = [str(name) for name in self.booster.feature_name()]
        if self._names == [f"Column_{at}" for at in range(len(self._names))]:
            self._names = []
        self._width = int(self.booster.num_feature())
        self._outputs: list[str] = []

    def convert(self, _target: str, out: str) -> None:
        """Write it as ``onnx``, the only target."""
        from onnxmltools import convert_lightgbm

        self._outputs = write_trees(
            convert_lightgbm,
            self.model,
            out,
            objective=self._objective,
            width=self._width,
            ask=self.ask,
            zipmap=False,
        )

    def facts(self) -> dict[str, Any]:
        """Return columns and where the values of training lay."""
        from importlib.metadata import version

        import lightgbm

        return {
            "framework": f"LightGBM {lightgbm.__version__}",
            "versions": {"lightgbm": lightgbm.__version__, "onnxmltools": version("onnxmltools")},
            "outputs": self._outputs,
            "columns": self._names,
            "classes": self._class_names(),
            "ranges": {"x": self._spans()},
            "gaps": True,
        }

    def ask(self, _names: Sequence[str], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return labels and probabilities of a classifier, values of anything else."""
        import lightgbm

        rows = arrays[0]
        if isinstance(self.model, lightgbm.LGBMClassifier):
            return [self.model.predict(rows), self.model.predict_proba(rows)]
        found = np.asarray(self.model.predict(rows))
        if self._objective == "binary":
            return [(found > 0.5).astype(np.int64), np.stack([1 - found, found], 1)]
        if self._objective in ("multiclass", "multiclassova"):
            return [found.argmax(1), found]
        return [found]

    def _class_names(self) -> list[str]:
        import lightgbm

        if isinstance(self.model, lightgbm.LGBMClassifier):
            return class_texts(self.model.classes_)
        return []

    def _spans(self) -> list[list[float]]:
        known = self._told.get("feature_infos", {})
        spans = []
        for name in self.booster.feature_name():
            told = known.get(name, {})
            values = told.get("values") or [told.get("min_value", -1), told.get("max_value", 1)]
            low, high = max(-_MOST, float(min(values))), min(_MOST, float(max(values)))
            spans.append([low, high if high > low else low + 1])
        return spans
