#!/usr/bin/env bash
# huggingface_hub 2.4.0: results of a model card that differ in `dataset_name` alone become one result.
#
# `EvalResult` takes a dataset_name, which the hub shows, and a dataset_type. `eval_results_to_model_index` groups by task,
# dataset type, config, split and revision, and ignores the name: the metrics of a second data set of the same type are
# listed under the name of the first, and reading the card back gives the first name for both. Giving each its own
# `dataset_config` keeps them apart.
#
# Output seen: "names written ['A', 'B'], read ['A', 'A']" and, with a dataset_config each, "read ['A', 'B']".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check huggingface_hub==2.4.0
"$folder/env/bin/python" - <<'PY'
from huggingface_hub import EvalResult, ModelCard, ModelCardData

def names(*configs):
    results = [
        EvalResult(task_type="ranking", dataset_type="made-up", dataset_name=name, dataset_config=config,
                   metric_type="map", metric_value=value)
        for name, config, value in zip("AB", configs, (0.1, 0.9))
    ]
    data = ModelCardData(model_name="m", eval_results=results)
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n")
    return [result.dataset_name for result in card.data.eval_results]

merged, apart = names(None, None), names("a", "b")
print("names written ['A', 'B'], read", merged)
print("with a dataset_config each, read", apart)
assert merged == ["A", "A"], "changed: the name alone keeps results apart"
assert apart == ["A", "B"], "changed: results with configs of their own are merged"
PY
