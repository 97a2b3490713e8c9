"""scikit-learn's estimators and pipelines to ONNX, out of a pickle that is trusted.

A pipeline that begins with a ColumnTransformer has an input for each column; texts stay texts.
Everything else takes one matrix. The answer is labels and probabilities as arrays.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from .onnx_file import class_texts, finish
from .sklearn_columns import (
    TEXT,
    column_kinds,
    encoded,
    first_step,
    known_values,
    parts,
    spans,
    vectorizers,
)
from .talk import Refused

__all__ = ["SklearnSource", "open_source"]

_OPSETS = {"": 17, "ai.onnx.ml": 3}  # old enough for every onnxruntime that gpfn accepts
_NO_CODE = {
    "HistGradientBoostingClassifier": "GradientBoostingClassifier, XGBoost or LightGBM",
    "HistGradientBoostingRegressor": "GradientBoostingRegressor, XGBoost or LightGBM",
}


def open_source(order: dict[str, Any]) -> Any:
    """Load the pickle, which runs its code; a model of XGBoost or LightGBM is one of theirs."""
    model, told = _unpickled(order["path"])
    package = type(model).__module__.partition(".")[0]
    if package == "xgboost":
        from .from_xgboost import XGBoostSource

        return XGBoostSource(model)
    if package == "lightgbm":
        from .from_lightgbm import LightGBMSource

        return LightGBMSource(model)
    if not hasattr(model, "get_params") or not hasattr(model, "fit"):
        raise Refused(f"the pickle holds a {type(model).__name__}, not an estimator")
    return SklearnSource(model, told)


def _unpickled(path: str) -> tuple[Any, list[str]]:
    import joblib

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = joblib.load(path)
    except ModuleNotFoundError as error:
        raise Refused(
            f"the pickle needs the package {error.name}, which is not in this environment; "
            "--python names the Python of one that has it, with skl2onnx and onnxmltools"
        ) from error
    except AttributeError as error:
        raise Refused(
            f"the pickle needs code that is not there: {error}; run gpfn where that code can be "
            "imported, or name its Python by --python"
        ) from error
    old = [str(each.message) for each in caught if "Inconsistent" in type(each.message).__name__]
    version = (
        re.search(r"from version (\S+) when using version (\S+?)\.? ", old[0]) if old else None
    )
    told = f"written by scikit-learn {version[1]}, read by {version[2]}" if version else ""
    return model, [told] if told else []


class SklearnSource:
    """A fitted estimator or pipeline."""

    def __init__(self, model: Any, told: list[str]) -> None:
        from sklearn.base import is_classifier, is_outlier_detector
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        self.model, self._told = model, told
        try:
            check_is_fitted(model)
        except NotFittedError as error:
            raise Refused("it is not fitted; fit it before it is saved") from error
        for part in parts(model):
            if instead := _NO_CODE.get(type(part).__name__):
                name = type(part).__name__
                raise Refused(f"sklearn-onnx cannot write {name}; train {instead} instead")
        self._names = [str(name) for name in getattr(model, "feature_names_in_", [])]
        self._classes = is_classifier(model)
        self._outliers = is_outlier_detector(model)
        self._columns: dict[str, str] | None = None
        self._types = ""
        self._known: dict[str, list[Any]] = {}
        self._outputs: list[str] = []

    def convert(self, _target: str, out: str) -> None:
        """Write it as ``onnx``, the only target."""
        from skl2onnx import to_onnx

        _teach_boosters()
        self._check_targets()
        initial = self._initial_types()
        options: dict[Any, dict[str, Any]] = {
            cls: {"locale": "C.UTF-8"} for cls in vectorizers(self.model)
        }
        if self._classes:
            options[id(self.model)] = {"zipmap": False}
        words = {"initial_types": initial, "target_opset": _OPSETS}
        try:
            try:
                made = to_onnx(self.model, options=options or None, **words)
            except NameError:  # an estimator that has no such option
                options.pop(id(self.model))
                made = to_onnx(self.model, options=options or None, **words)
        except Exception as error:
            raise Refused(_reason(error)) from error
        self._known = known_values(self.model, self._column_names(initial))
        names = [name for name, _ in initial]
        self._outputs = finish(made, len(self._answers(self._trial(initial))), out, inputs=names)

    def _check_targets(self) -> None:
        classes = getattr(self.model, "classes_", None)
        if self._classes and isinstance(classes, list):
            raise Refused("it is a classifier of several targets; convert one for each target")

    def facts(self) -> dict[str, Any]:
        """Return columns, classes, and where its thresholds and means lie."""
        from importlib.metadata import version

        import sklearn

        classes = getattr(self.model, "classes_", None) if self._classes else None
        return {
            "framework": f"scikit-learn {sklearn.__version__}",
            "versions": {"scikit-learn": sklearn.__version__, "skl2onnx": version("skl2onnx")},
            "outputs": self._outputs,
            "columns": self._names if self._columns is None else [],
            "classes": [] if classes is None else class_texts(classes),
            "ranges": {"x": spans(self.model)} if self._columns is None else {},
            "values": self._values(),
            "warnings": self._told,
        }

    def ask(self, names: Sequence[str], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return labels and probabilities, or what else the estimator answers."""
        return self._answers(self._table(names, arrays))

    def _answers(self, table: Any) -> list[np.ndarray]:
        model = self.model
        if self._classes:
            labels = model.predict(table)  # scores without a probability have no one form
            proba = hasattr(model, "predict_proba")
            return [labels, np.asarray(model.predict_proba(table))] if proba else [labels]
        if self._outliers:
            return [model.predict(table), model.decision_function(table)]
        if hasattr(model, "predict"):
            both = hasattr(model, "cluster_centers_") and hasattr(model, "transform")
            return [model.predict(table), *([model.transform(table)] if both else [])]
        found = model.transform(table)
        return [found.toarray() if hasattr(found, "toarray") else np.asarray(found)]

    def _table(self, names: Sequence[str], arrays: Sequence[np.ndarray]) -> Any:
        """Return arrays by input as what the estimator was trained on."""
        import pandas

        if self._types == "text":
            return [str(text) for text in arrays[0].ravel()]
        if self._columns is None:
            matrix = arrays[0]
            return pandas.DataFrame(matrix, columns=self._names) if self._names else matrix
        by_name = dict(zip(names, arrays, strict=True))
        if set(by_name) != {*self._columns}:
            by_name = dict(zip(self._columns, arrays, strict=True))
        values = {name: by_name[name].ravel() for name in self._columns}
        texts = {name: a.astype(object) if a.dtype.kind == "U" else a for name, a in values.items()}
        frame = pandas.DataFrame(texts)
        if self._names:
            return frame
        same = len(set(self._columns.values())) == 1
        return frame.to_numpy() if same else np.array([*texts.values()], object).T

    def _column_names(self, initial: list[tuple[str, Any]]) -> list[str]:
        """Return the columns' names, which are their numbers in a matrix."""
        if self._columns:
            return [*self._columns]
        [(_, kind)] = initial
        return [str(at) for at in range(kind.shape[1])]

    def _values(self) -> dict[str, list[Any]]:
        """Return what columns may be asked: of a matrix a list for each, if all have one."""
        if self._columns or not self._known:
            return self._known
        return {"x": [*self._known.values()]}

    def _trial(self, initial: list[tuple[str, Any]]) -> Any:
        """Return two rows, to see what the estimator answers."""
        arrays = []
        for name, kind in initial:
            text = type(kind).__name__.startswith("String")
            names = [name] if self._columns else self._column_names(initial)
            row = [self._known.get(each, ["a" if text else 0.0])[0] for each in names]
            arrays.append(np.array([row] * 2, object if text else np.float32))
        return self._table([name for name, _ in initial], arrays)

    def _initial_types(self) -> list[tuple[str, Any]]:
        from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

        kinds = {"float": FloatTensorType, "int": Int64TensorType, "text": StringTensorType}
        first = first_step(self.model)
        if type(first).__name__ in TEXT:
            self._types, self._columns = "text", {"text": "text"}
            return [("text", StringTensorType([None, 1]))]
        width = int(getattr(self.model, "n_features_in_", 0) or getattr(first, "n_features_in_", 0))
        if not width:
            raise Refused(f"{type(first).__name__} does not say how many columns it takes")
        if not hasattr(first, "transformers_"):
            kind = {*encoded(first, width).values()} or {"float"}
            if len(kind) > 1:
                raise Refused("its columns are of several kinds; begin with a ColumnTransformer")
            return [("x", kinds[kind.pop()]([None, width]))]
        names = self._names or [f"column_{at}" for at in range(width)]
        found = column_kinds(first, width)
        self._columns = {name: found.get(at, "float") for at, name in enumerate(names)}
        return [(name, kinds[kind]([None, 1])) for name, kind in self._columns.items()]


def _teach_boosters() -> None:
    """Let pipelines end in a model of XGBoost or LightGBM."""
    from skl2onnx import update_registered_converter as teach
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    classifies, computes = (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    choices = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    if find_spec("xgboost"):  # an environment of the user's may be without it
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        teach(xgboost.XGBClassifier, "XGBClassifier", classifies, convert_xgboost, options=choices)
        teach(xgboost.XGBRegressor, "XGBRegressor", computes, convert_xgboost)
    if find_spec("lightgbm"):
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        one = lightgbm.LGBMClassifier
        teach(one, "LgbmClassifier", classifies, convert_lightgbm, options=choices)
        teach(lightgbm.LGBMRegressor, "LgbmRegressor", computes, convert_lightgbm)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    named = re.search(r"for (?:type |model )?'?<class '([\w.]+)'>", text)
    if named:
        name = named[1].rpartition(".")[2]
        return f"sklearn-onnx cannot write {name}; train another estimator, or serve it as Python"
    return f"sklearn-onnx cannot write it: {type(error).__name__}: {text[:300]}"
