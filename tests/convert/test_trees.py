"""scikit-learn, XGBoost and LightGBM to ONNX: real models, each compared with its own answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.models.description import read_description
from gpfn.models.open import open_model
from tests.convert.making import answers_of, convert, made_by, refused

MATRIX = (
    *("scaled.joblib", "forest.joblib", "boosted.joblib", "network.joblib", "svc.joblib"),
    *("margin.joblib", "line.joblib", "clusters.joblib", "axes.joblib", "odd_ones.joblib"),
    *("xgb_in_pipeline.joblib", "lgb_pickled.joblib", "xgb_two.json", "xgb_three.ubj"),
    *("xgb_value.json", "xgb_booster.ubj", "lgb_two.txt", "lgb_three.txt", "lgb_value.txt"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of trained models, with their answers."""
    return made_by("trees", "trees_models.py", tmp_path_factory.mktemp("trees"))


@pytest.fixture(scope="module")
def answers(made: Path) -> dict[str, np.ndarray]:
    """What the frameworks answer, by the model's name; probabilities end in ``_p``."""
    with np.load(made / "answers.npz", allow_pickle=False) as file:
        return dict(file)


def agree(ours: np.ndarray, theirs: np.ndarray) -> None:
    if ours.dtype.kind in "OSU" or theirs.dtype.kind == "U":
        assert [v.decode() if isinstance(v, bytes) else str(v) for v in theirs.ravel()] == [
            str(v) for v in ours.ravel()
        ]
        return
    scale = max(1.0, float(np.abs(ours).max()))
    assert np.abs(ours.reshape(theirs.shape) - theirs).max() / scale <= 1e-5


@pytest.mark.parametrize("name", MATRIX)
def test_of_one_matrix(
    made: Path, answers: dict[str, np.ndarray], name: str, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "model.onnx"
    report = convert(capsys, str(made / name), "-o", str(out), "--trust")
    assert report["largest_difference"] <= 1e-5
    assert report["labels_equal"] in (None, 1.0)
    assert report["target"]["open_batch"]
    assert report["source"]["versions"]
    found = answers_of(out, {"x": answers["x"]})
    key = name.partition(".")[0]
    first, *rest = found.values()
    agree(answers[key], first)
    if f"{key}_p" in answers:
        agree(answers[f"{key}_p"], rest[0])


def test_a_pipeline_has_an_input_for_each_column(
    made: Path, answers, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "rent.onnx"
    convert(capsys, str(made / "rent.joblib"), "-o", str(out), "--trust")
    inputs = {
        "area": answers["area"].astype(np.float32).reshape(-1, 1),
        "district": answers["district"].astype(object).reshape(-1, 1),
    }
    (found,) = answers_of(out, inputs).values()
    agree(answers["rent"], found)
    assert main(["predict", str(out), "--row", "area=70", "district=moon", "--json"]) == 0


def test_inputs_have_the_names_of_the_columns(made: Path, answers, tmp_path: Path, capsys) -> None:
    out, scores = tmp_path / "odd.onnx", tmp_path / "scores.csv"
    convert(capsys, str(made / "odd_names.joblib"), "-o", str(out), "--trust")
    assert [spec.name for spec in open_model(str(out)).inputs] == [
        "area (m²)",
        "city name",
        "city_name",
    ]
    assert main(["score", str(out), str(made / "odd_names.csv"), "-o", str(scores)]) == 0
    agree(answers["odd_names"], np.loadtxt(scores, skiprows=1))


@pytest.mark.parametrize("name", ["truth", "halves", "boosted_halves"])
def test_classes_are_written_as_the_labels_are(
    made: Path, name: str, tmp_path: Path, capsys
) -> None:
    convert(capsys, str(made / f"{name}.joblib"), "-o", str(tmp_path / "m.onnx"), "--trust")
    assert read_description(tmp_path / "model.toml").classes == ("0", "1")
    label = open_model(str(tmp_path / "m.onnx"))({"x": np.zeros((1, 4), np.float32)})["label"]
    assert label.dtype == np.int64


@pytest.mark.parametrize("name", ["known_columns", "known_codes", "known_words"])
def test_encoders_are_asked_what_they_know(made: Path, name: str, tmp_path: Path, capsys) -> None:
    """scikit-learn's default is to refuse every other category."""
    path = str(made / f"{name}.joblib")
    report = convert(capsys, path, "-o", str(tmp_path / "m.onnx"), "--trust")
    assert (report["labels_equal"], report["largest_difference"] <= 1e-5) == (1.0, True)


def test_text_stays_text(made: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "letters.onnx"
    report = convert(capsys, str(made / "letters.joblib"), "-o", str(out), "--trust")
    assert report["labels_equal"] == 1.0
    capsys.readouterr()
    assert main(["predict", str(out), "--text", "love it"]) == 0
    assert "p" in capsys.readouterr().out


def test_columns_and_classes_are_described(made: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = convert(capsys, str(made / "scaled.joblib"), "-o", "scaled.onnx", "--trust")
    assert report["description"] == "model.toml"
    found = read_description(tmp_path / "model.toml")
    assert [column.name for column in found.columns] == ["a", "b", "c", "d"]
    assert found.classes == ("alba", "lutea", "rubra")
    assert "scikit-learn" in found.source
    assert "sha256" in found.source
    assert "tolerance 1e-05" in found.description
    assert main(["init", "flowers", "--from", "scaled.onnx", "--kind", "rows"]) == 0
    assert main(["doctor", "flowers"]) == 0
    capsys.readouterr()
    assert main(["invoke", "flowers", "--row", "a=5", "b=5", "c=5", "d=5"]) == 0
    assert "lutea" in capsys.readouterr().out


def test_given_rows_are_asked(made: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "rows.csv").write_text("area,district\n70,south\n30.5,north\n55,moon\n")
    words = [str(made / "rent.joblib"), "-o", str(tmp_path / "m.onnx"), "--trust"]
    report = convert(capsys, *words, "--sample", str(tmp_path / "rows.csv"))
    assert report["rows_at_once"] == 3
    assert [each["values"] for each in report["outputs"]] == [1 + 2 + 3]


def test_over_the_tolerance_nothing_is_written(made: Path, tmp_path: Path, capsys) -> None:
    words = ["convert", str(made / "svc.joblib"), "-o", str(tmp_path / "m.onnx"), "--trust"]
    assert main([*words, "--tolerance", "0", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["written"] is False
    assert "over the tolerance of 0" in json.loads(told.err)["error"]["detail"]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hist.joblib", "cannot write HistGradientBoostingClassifier; train GradientBoosting"),
        ("several.joblib", "several targets; convert one for each target"),
        ("unfitted.joblib", "not fitted"),
        ("dictionary.pkl", "holds a dict, not an estimator"),
        ("categories.json", "splits by category; train it on encoded columns"),
    ],
)
def test_what_cannot_be_converted(made: Path, name: str, told: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "m.onnx"
    assert told in refused(capsys, str(made / name), "-o", str(out), "--trust")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["xgb_two.json", "lgb_two.txt", "xgb_three.ubj"])
def test_a_file_that_is_cut_off(made: Path, name: str, tmp_path: Path, capsys) -> None:
    half = tmp_path / name
    content = (made / name).read_bytes()
    half.write_bytes(content[: len(content) // 2])
    told = refused(capsys, str(half), "-o", str(tmp_path / "m.onnx"))
    assert name in told
    assert [*tmp_path.iterdir()] == [half]
