#!/usr/bin/env bash
# workrb 0.6.0: a NaN score is ranked last in silence, and a threshold grade that no pair reaches gives MAP 0.
#
# calculate_ranking_metrics sorts scores without looking for NaN, which NumPy's sort puts last: a model that diverged for
# one target reads as one that ranks it badly. And a query none of whose targets reaches the relevance threshold counts as
# MAP 0 where nothing is relevant, beside an nDCG of the same query above 0.
#
# Output seen: mrr of the relevant target with a NaN score 0.25 (rank 4 of 4), map 0.0 and ndcg 0.43 above the threshold.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check workrb==0.6.0
"$folder/env/bin/python" -W ignore - <<'PY'
import numpy as np
from workrb.metrics.ranking import calculate_ranking_metrics

broken = calculate_ranking_metrics(np.array([[np.nan, 1.0, 0.5, 0.2]]), [[0]], ("mrr",))
print("NaN score of the relevant target:", broken)
assert abs(broken["mrr"] - 0.25) < 1e-9, "changed"

graded = calculate_ranking_metrics(np.array([[0.1, 1.0, 0.5, 0.2]]), [[0]], ("map", "ndcg"), [[1.0]], 2.0)
print("nothing at the threshold of 2:", graded)
assert graded["map"] == 0.0, "changed"
assert 0.42 < graded["ndcg"] < 0.44, "changed"
PY
