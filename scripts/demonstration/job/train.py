# SPDX-License-Identifier: Apache-2.0
"""The researcher's job: does a tumour's measured shape tell whether it is benign? Cross-validated AUC."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(dataset: Any) -> dict[str, Any]:
    """{"metrics": {"auc", "n"}} over records of one sample each."""
    return {"metrics": evaluate(dataset.to_pandas())}


def evaluate(rows: Any) -> dict[str, Any]:
    """rows: a frame with sample, benign and one column per measurement."""
    rows = rows.sort_values("sample")
    measurements = rows.drop(columns=["sample", "benign", "pseudonym"], errors="ignore")
    folds = max(2, min(5, int(rows["benign"].value_counts().min())))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000))
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    values, benign = measurements.to_numpy(), rows["benign"].to_numpy()
    guesses = cross_val_predict(model, values, benign, cv=split, method="predict_proba")
    return {"auc": float(roc_auc_score(benign, guesses[:, 1])), "n": len(rows)}
