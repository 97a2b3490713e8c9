"""Trains models with scikit-learn, XGBoost and LightGBM, and writes their answers beside them."""

import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

random = np.random.default_rng(0)
x = random.normal(5, 2, (300, 4)).astype("float32")
two = (x[:, 0] + x[:, 1] > 10).astype(int)
three = np.array(["alba", "lutea", "rubra"])[(x[:, 0] > 5).astype(int) + (x[:, 1] > 5)]
numbers = np.unique(three, return_inverse=True)[1]
value = x[:, 0] * 100 + x[:, 2]
# Rows that no model has seen: what was trained on lies exactly on thresholds, where a
# rounding decides.
asked = random.normal(5, 2, (300, 4)).astype("float32")
named = pd.DataFrame(x, columns=["a", "b", "c", "d"])
asked_named = pd.DataFrame(asked, columns=["a", "b", "c", "d"])
answers = {"x": asked}


def keep(name, model, table, proba=True):
    joblib.dump(model, name + ".joblib")
    answer = model.predict if hasattr(model, "predict") else model.transform
    answers[name] = np.asarray(answer(table))
    if proba and hasattr(model, "predict_proba"):
        answers[name + "_p"] = model.predict_proba(table)


keep("scaled", make_pipeline(StandardScaler(), LogisticRegression()).fit(named, three), asked_named)
keep("forest", RandomForestClassifier(30, random_state=0).fit(x, three), asked)
keep("boosted", GradientBoostingClassifier(random_state=0).fit(x, two), asked)
keep("network", make_pipeline(StandardScaler(), MLPClassifier((16,))).fit(x, three), asked)
keep("svc", SVC(probability=True).fit(x, three), asked)
keep("margin", LinearSVC().fit(x, two), asked)
keep("line", LinearRegression().fit(x, np.stack([value, -value], 1)), asked)
keep("clusters", KMeans(3, random_state=0, n_init=3).fit(x), asked)
keep("axes", PCA(2).fit(x), asked)
keep("odd_ones", IsolationForest(n_estimators=20, random_state=0).fit(x), asked)
trees = xgb.XGBClassifier(n_estimators=10)
keep("xgb_in_pipeline", make_pipeline(StandardScaler(), trees).fit(x, two), asked)
keep("lgb_pickled", lgb.LGBMClassifier(n_estimators=10, verbose=-1).fit(named, three), asked_named)

area, district = random.uniform(20, 120, 300), random.choice(["north", "south"], 300)
flat = pd.DataFrame({"area": area, "district": district})
rent = 200 + 9 * flat.area + 150 * (flat.district == "south")
encode = OneHotEncoder(handle_unknown="ignore")
columns = make_column_transformer((StandardScaler(), ["area"]), (encode, ["district"]))
keep("rent", make_pipeline(columns, LinearRegression()).fit(flat, rent), flat)
answers["area"], answers["district"] = flat.area.to_numpy(), flat.district.to_numpy().astype(str)
odd = pd.DataFrame({"area (m²)": area, "city name": district, "city_name": area / 7})
columns = make_column_transformer((StandardScaler(), [0, 2]), (encode, ["city name"]))
keep("odd_names", make_pipeline(columns, LinearRegression()).fit(odd, rent), odd)
odd.to_csv("odd_names.csv", index=False)
for name, y in (("truth", x[:, 0] > 5), ("halves", two * 1.0)):
    joblib.dump(LogisticRegression().fit(named, y), f"{name}.joblib")
boosted_halves = lgb.LGBMClassifier(n_estimators=5, verbose=-1).fit(x, two * 1.0)
joblib.dump(boosted_halves, "boosted_halves.joblib")
rooms = pd.DataFrame({"rooms": random.integers(3, 7, 300), "district": district, "area": area})
known = make_column_transformer((OrdinalEncoder(), ["rooms"]), (OneHotEncoder(), ["district"]))
codes, words = rooms[["rooms", "rooms"]].to_numpy(), rooms[["district", "district"]].to_numpy()
for name, first, table in (
    ("known_columns", known, rooms),
    ("known_codes", OneHotEncoder(), codes),
    ("known_words", OneHotEncoder(), words),
):
    dear = make_pipeline(first, LogisticRegression()).fit(table, rent > 800)
    joblib.dump(dear, f"{name}.joblib")
texts = ["late again", "never arrived", "box was torn", "so quick", "works well", "love it"]
keep(
    "letters",
    make_pipeline(TfidfVectorizer(), LogisticRegression(C=100)).fit(texts, list("cccppp")),
    texts,
)

joblib.dump(HistGradientBoostingClassifier(max_iter=5).fit(x, two), "hist.joblib")
several = MultiOutputClassifier(LogisticRegression()).fit(x, np.stack([two, two], 1))
joblib.dump(several, "several.joblib")
joblib.dump(LogisticRegression(), "unfitted.joblib")
joblib.dump({"a": 1}, "dictionary.pkl")


def save(name, model, raw):
    raw.save_model(name)
    key = name.partition(".")[0]
    answers[key] = np.asarray(model.predict(asked_named))
    if hasattr(model, "predict_proba"):
        answers[key + "_p"] = model.predict_proba(asked_named)


for name, model, y in (
    ("xgb_two.json", xgb.XGBClassifier(n_estimators=20), two),
    ("xgb_three.ubj", xgb.XGBClassifier(n_estimators=20), numbers),
    ("xgb_value.json", xgb.XGBRegressor(n_estimators=20), value),
):
    model.fit(named, y)
    save(name, model, model)
booster = xgb.train({"objective": "binary:logistic"}, xgb.DMatrix(x, two), 10)
booster.save_model("xgb_booster.ubj")
p = booster.predict(xgb.DMatrix(asked))
answers["xgb_booster"], answers["xgb_booster_p"] = (p > 0.5).astype(int), np.stack([1 - p, p], 1)
for name, model, y in (
    ("lgb_two.txt", lgb.LGBMClassifier(n_estimators=20, verbose=-1), two),
    ("lgb_three.txt", lgb.LGBMClassifier(n_estimators=20, verbose=-1), numbers),
    ("lgb_value.txt", lgb.LGBMRegressor(n_estimators=20, verbose=-1), value),
):
    model.fit(named, y)
    save(name, model, model.booster_)
kinds = flat.assign(district=flat.district.astype("category"))
by_category = xgb.XGBRegressor(n_estimators=5, enable_categorical=True).fit(kinds, rent)
by_category.save_model("categories.json")
np.savez("answers.npz", **answers)
