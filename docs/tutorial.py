# SPDX-License-Identifier: Apache-2.0
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A study without the records
#
# Does a tumour's measured shape tell whether it is benign? The records that could answer lie encrypted with three
# custodians. You will never see one. This notebook asks anyway, of those patients who allow it.
#
# It was run by `./scripts/tutorial` over a whole system on one machine: a chain, three key servers, a gateway, a
# runner, an ethics board, and patients with real measurements (Breast Cancer Wisconsin, Diagnostic). Yours needs only
# a home, from `consentum researcher init`: [for researchers](researchers.md).

# %%
import matplotlib.pyplot as plt

from consentum import Client

study = Client.from_env().study("breast-diagnosis")
print(study)

# %% [markdown]
# ## Who would take part
#
# The policy on chain decides for each record, now. You see rounded numbers, and why the others stay closed.

# %%
cohort = study.cohort(["pathology"])
print(cohort)

# %%
shown = {"released": cohort.n, **{name.lower().replace("_", " "): count for name, count in cohort.reasons.items()}}
figure, axes = plt.subplots(figsize=(7, 2.5))
bars = axes.barh(list(shown), [count if isinstance(count, int) else 4 for count in shown.values()], color="#3b6ea5")
axes.bar_label(bars, [str(count) for count in shown.values()], padding=3)
axes.invert_yaxis()
axes.margins(x=0.1)
axes.set_xlabel("records, rounded to 5")
axes.set_title(f"Decided at block {cohort.block}")
plt.show()

# %% [markdown]
# ## What the records look like
#
# Not the records: rows drawn on this machine from what the custodians declare about them. Good for writing code,
# useless for science: the columns are independent of each other.

# %%
sample = study.sample(["pathology"], n=2_000)
frame = sample.to_pandas()
print(sample)
frame.iloc[:5, :6]

# %%
frame[["mean radius", "mean texture", "mean smoothness"]].hist(
    bins=20, figsize=(9, 2.5), layout=(1, 3), color="#999999"
)
plt.suptitle("Synthetic: the declared range, and nothing else")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## The code that will travel
#
# One function. It is given a dataset and returns the declared outputs, and nothing else leaves the runner.

# %%
from pathlib import Path

CODE = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(dataset):
    rows = dataset.to_pandas()
    benign, patients = rows["benign"].to_numpy(), rows["pseudonym"].to_numpy()
    shapes = rows.drop(columns=["sample", "benign", "pseudonym"]).to_numpy()
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000))
    guess = cross_val_predict(model, shapes, benign, groups=patients, cv=folds, method="predict_proba")[:, 1]
    false, true, _ = roc_curve(benign, guess)
    grid = np.linspace(0, 1, 21)
    curve = np.interp(grid, false, true)
    return {"metrics": {"auc": float(roc_auc_score(benign, guess)), "false": grid.tolist(), "true": curve.tolist()}}
"""
Path("train").mkdir(exist_ok=True)
Path("train/train.py").write_text(CODE)

# %% [markdown]
# Try it at home first. On a sample it finds what is in one: nothing.

# %%
import sys

sys.path.insert(0, "train")
import train

guessing = train.main(sample.dataset())["metrics"]
print(f"area under the curve on synthetic rows: {guessing['auc']:.2f}")

# %% [markdown]
# ## The job
#
# The folder is read once, signed as it was read, and handed in. The runner asks the key servers for each record, and
# each of them asks the chain.

# %%
job = study.submit("train/", entry="train:main", categories=["pathology"], outputs={"metrics": "json"})
for event in job.events():
    print(event)

# %%
result = job.result()
print(result)

# %%
figure, axes = plt.subplots(figsize=(4, 4))
axes.plot(
    result.metrics["false"], result.metrics["true"], color="#3b6ea5", label=f"records: {result.metrics['auc']:.3f}"
)
axes.plot(guessing["false"], guessing["true"], color="#999999", label=f"synthetic: {guessing['auc']:.2f}")
axes.plot([0, 1], [0, 1], color="black", linewidth=0.5, linestyle="dotted")
axes.set_xlabel("malignant taken for benign")
axes.set_ylabel("benign found")
axes.legend(title="area under the curve")
plt.show()

# %% [markdown]
# ## For the Methods section
#
# The manifest says which code ran over which cohort at which blocks, and for which reasons records stayed closed; the
# runner signed it. Every reader can check it against the chain.

# %%
result.manifest.save("methods.json")
for finding in result.verify():
    print(f"{finding.check:>10}: {finding.detail}")
