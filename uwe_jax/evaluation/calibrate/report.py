"""Reports how well the probabilities of an index hold: a table, a JSON file and two figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from rich.table import Table

from uwe_jax.retrieval.calibration import Calibration
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.plot import save_png
from uwe_jax.scoring.calibration import (
    expected_calibration_error,
    half_width,
    operating_point,
    reliability,
    risk_coverage,
    separation,
)

REPORT = "calibration_report.json"
RISK, RELIABILITY = "risk_coverage.png", "reliability.png"


class Outcome(NamedTuple):
    """The judged hits of q queries.

    Attributes:
      x: float64 [n, 3], see `features`.
      right: whether a hit is.
      query: position of its query.
      targets: right targets of each query, found or not.
      first: features of each query's best hit, judged or not.
    """

    x: Float[np.ndarray, "n f"]
    right: Bool[np.ndarray, " n"]
    query: Int[np.ndarray, " n"]
    targets: Int[np.ndarray, " q"]
    first: Float[np.ndarray, "q f"]

    @classmethod
    def joined(cls, outcomes: Sequence[Outcome]) -> Outcome:
        """Returns the outcomes of several sets of queries as one."""
        shifts = np.cumsum([0, *(len(each.targets) for each in outcomes)])
        shifted = [each._replace(query=each.query + shift) for each, shift in zip(outcomes, shifts, strict=False)]
        return cls(*map(np.concatenate, zip(*shifted, strict=True)))


def measured(
    found: Outcome, p: Float[np.ndarray, " n"], threshold: float, answerable: Float[np.ndarray, " q"]
) -> dict[str, Any]:
    """Measures one set of queries.

    Args:
      p: probabilities of its judged hits.
      threshold: see `operating_point`.
      answerable: a score of each query, higher where it has a right target, such as the best hit's probability.

    Returns:
      The values of `operating_point`; numbers of queries, judged hits and right ones; `ece`; of the answered queries
      the share whose most probable judged hit is wrong, `risk`; the area under the curve of risk by coverage, `aurc`;
      that of recognising queries without a right target, `none_auc`, None where there are none; and both curves.
    """
    best = _best_of_each(found, p)
    curve, answered = risk_coverage(p[best], found.right[best]), p[best] >= threshold
    return {
        "queries": len(found.targets),
        "without": int((found.targets == 0).sum()),
        "judged": len(p),
        "right": int(found.right.sum()),
        "ece": expected_calibration_error(p, found.right) if len(p) else None,
        **operating_point(p, found.right, found.query, found.targets, threshold),
        "risk": float((~found.right[best][answered]).mean()) if answered.any() else 0.0,
        "aurc": float(curve[:, 1].mean()) if len(curve) else None,
        "none_auc": separation(answerable, found.targets > 0),
        "risk_coverage": curve.round(4).tolist(),
        "reliability": reliability(p, found.right).tolist(),
    }


def _best_of_each(found: Outcome, p: Float[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
    """Returns the positions of the most probable judged hit of every query that has one."""
    order = np.lexsort((-p, found.query))
    return order[np.unique(found.query[order], return_index=True)[1]]


def measure_all(
    outcomes: Mapping[str, Outcome],
    p: Float[np.ndarray, " n"],
    threshold: float,
    calibration: Calibration,
    given: Mapping[str, Float[np.ndarray, " q"]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Measures every set of queries, and where there are several all of them.

    Args:
      outcomes: by the name of the set.
      p: probabilities of their judged hits, one set after the other.
      given: scores of the queries of each set, by which those without a right target are to be recognised, instead of
        the probability of their best hit.
    """
    rows, scores, start = {}, {}, 0
    for name, each in outcomes.items():
        rows[name] = each, p[start : start + len(each.right)]
        scores[name] = given[name] if given else calibration.platt.of(each.first)
        start += len(each.right)
    if len(rows) > 1:
        rows["all"] = Outcome.joined([*outcomes.values()]), p
        scores["all"] = np.concatenate([*scores.values()])
    return {name: measured(each, of_hits, threshold, scores[name]) for name, (each, of_hits) in rows.items()}


def table(results: Mapping[str, Mapping[str, Any]], threshold: float) -> Table:
    """Returns a table of how well probabilities hold, a row per set of queries."""
    shown = Table(title=f"Hits of probability {threshold:g} or more, in percent")
    names = ("queries", "hits", "ECE", "precision", "recall", "F1", "answered", "risk", "none wrong", "none AUC")
    shown.add_column("judgements")
    for name in names:
        shown.add_column(name, justify="right")
    for name, row in results.items():
        half = 100 * half_width(row["hits"], row["precision"])
        precision = f"{100 * row['precision']:.1f} ± {half:.0f}" if row["hits"] else ""
        shares = (row[key] for key in ("recall", "f1", "coverage", "risk", "none_wrong", "none_auc"))
        cells = ("" if share is None else f"{100 * share:.1f}" for share in shares)
        ece = "" if row["ece"] is None else f"{100 * row['ece']:.1f}"
        shown.add_row(name, f"{row['queries']:,}", f"{row['hits']:,}", ece, precision, *cells)
    return shown


def described(calibration: Calibration) -> str:
    """Describes a calibration in lines for a person."""
    platt = calibration.platt
    parts = " + ".join(f"{weight:.4g} {name}" for name, weight in zip(platt.features, platt.weights, strict=True))
    exact = f"{calibration.right:,} of {calibration.hits:,} hits right"
    return (
        f"probability = 1 / (1 + exp(-({platt.bias:.4g} + {parts}))), fitted to {calibration.queries:,} queries "
        f"({calibration.origin}), {exact}; expected calibration error on queries not fitted on "
        f"{100 * calibration.error:.1f} %."
    )


def write_report(folder: Path, results: Mapping[str, Mapping[str, Any]], calibration: Calibration) -> None:
    """Writes all results as JSON, the curves of risk by coverage, and shares that are right by probability."""
    write_json(folder / REPORT, {"calibration": str(calibration), "results": results})
    curves = {name: np.array(row["risk_coverage"]).reshape(-1, 2) for name, row in results.items()}
    _plot(folder / RISK, curves, "queries answered, most probable first", "answers that are wrong")
    bins = {name: np.array(row["reliability"]).reshape(-1, 3)[:, :2] for name, row in results.items()}
    _plot(folder / RELIABILITY, bins, "probability", "hits that are right", marker="o", diagonal=True)


def _plot(
    path: Path, curves: Mapping[str, np.ndarray], x: str, y: str, marker: str = "", *, diagonal: bool = False
) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}):  # a dollar in a name is not a formula
        figure = Figure(figsize=(6, 4.5), dpi=150, layout="constrained")
        axes = figure.subplots()
        if diagonal:
            axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
        for name, points in curves.items():
            axes.plot(*points.T, marker=marker, label=name)
        axes.set(xlabel=f"{x} (share)", ylabel=f"{y} (share)", xlim=(0, 1), ylim=(0, 1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
        save_png(figure, path)
