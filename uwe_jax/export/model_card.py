"""Renders the README.md of an export: a model card for the Hugging Face hub."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from huggingface_hub import EvalResult, ModelCardData

from uwe_jax.config import ScorerSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.markdown import MISSING, escape, markdown_rows
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.settings import current_setting, from_mapping
from uwe_jax.scoring.names import DESCRIPTION_WEIGHT, LABEL_WEIGHT
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.scoring.scorers import target_share

_PYTORCH = "sentence-transformers"  # a library that reads a whole export
_TAGS = ["sentence-similarity", "feature-extraction", "uwe_jax", "labor-market", "skills"]
_METRICS = {"map": "MAP", "rp@10": "RP@10", "mrr": "MRR"}
_FORMULAS = {
    "soft": "{over} over i of sum_j softmax_j({logits} / {tau_a}) cos(e_i, t_j)",
    "max_sim": "{over} over i of max_j cos(e_i, t_j)",
    "soft_pooled": "sum over i of softmax_i({pooled} / {tau_a}) cos(e_i, mean of t)",
    "mean_pool": "cos(mean of e, mean of t)",
}
_FROM_TARGET = {
    "soft": "{over} over j of sum_i softmax_i({logits} / {target_tau_a}) cos(e_i, t_j)",
    "max_sim": "{over} over j of max_i cos(e_i, t_j)",
}
_IN_PYTORCH = (
    "The mean-pooled embedding that sentence-transformers gives is one vector per text, compared by the cosine; "
    "`uwe_scorer.py` has the scorer above in plain PyTorch."
)
# In the score of a target with several names.
_WEIGHTS = {
    "label": f"{LABEL_WEIGHT:.2g}",
    "others": f"{1 - LABEL_WEIGHT:.2g}",
    "named": f"{1 - DESCRIPTION_WEIGHT:.2g}",
    "described": f"{DESCRIPTION_WEIGHT:.2g}",
}
_NO_LICENCE = (
    "No licence is stated: the terms of the base model and of the training data apply. Choose one before publishing "
    "this model."
)


def model_card(
    manifest: dict[str, Any],
    *,
    width: int,
    license: str,
    languages: Sequence[str],
    where: str,
    on_hub: bool,
    onnx: bool,
    difference: bool = False,
) -> str:
    """Renders the card of an exported model.

    Args:
      manifest: of `uwe_jax.models.exported.manifest_of`.
      width: d, numbers per embedding.
      license: an identifier of the hub, such as apache-2.0; empty states none.
      languages: ISO 639 codes of the texts that the model is for.
      where: folder or hub id that the examples load.
      on_hub: it is a hub id.
      onnx: the folder has ONNX files.
      difference: the folder has only what training changed in the base model.
    """
    training, scorer = manifest["training"], from_mapping(ScorerSettings, manifest["scorer"])
    dot, dtype = scorer.logits == "dot", manifest["dtype"]
    logits, pooled = ("e_i . t_j", "e_i . mean of t") if dot else ("cos(e_i, t_j)", "cos(e_i, mean of t)")
    share = target_share(scorer)
    formula = _FORMULAS[scorer.kind] if share < 1 else _FROM_TARGET[scorer.kind]
    if 0 < share < 1:
        formula = f"{1 - share:g} ({formula}) + {share:g} ({_FROM_TARGET[scorer.kind]})"
    taus = {"tau_a": f"{scorer.tau_a:.6g}", "target_tau_a": f"{scorer.target_tau_a:.6g}"}
    formula = "s(q, y) = " + formula.format(over=scorer.reduce, logits=logits, pooled=pooled, **taus)
    literal = json_text(where)  # a valid Python literal too
    usage = [
        _shipped(name).format(
            where=literal,
            folder=f"snapshot_download({literal})" if on_hub else literal,
            hub_import="from huggingface_hub import snapshot_download\n" if on_hub else "",
            max_tokens=manifest["max_tokens"],
            **_WEIGHTS,
        )
        for name in (("usage_difference",) if difference else ("usage", "usage_onnx")[: 1 + onnx])
    ]
    record = [f"## Training\n\n{_training(training)}", _results(training)] if training else []
    notes = [] if difference else [_IN_PYTORCH]
    if dtype != "float32":
        notes.append(
            f"In training the encoder computed in {dtype} with parameters in float32, which are stored here; PyTorch "
            "computes with them in float32."
        )
    return _shipped("model_card").format(
        metadata=_metadata(manifest, license, languages, "uwe_jax" if difference else _PYTORCH),
        name=escape(manifest["name"]),
        origin="trained with" if training else "an encoder as it was published, exported by",
        version=manifest["uwe_jax"],
        facts=_facts(manifest, width, languages),
        usage="\n\n".join(part.rstrip() for part in usage),
        formula=formula,
        notes=" ".join(notes) + "\n\n" * bool(notes),
        training="".join(f"{part}\n\n" for part in record if part),
        terms=f"The author publishes it under {escape(license)}." if license else _NO_LICENCE,
    )


def _shipped(name: str) -> str:
    return importlib.resources.files("uwe_jax.export").joinpath("shipped", f"{name}.md").read_text(encoding="utf-8")


def check_record(training: dict[str, Any], files: str) -> None:
    """Raises UserError, naming its `files`, unless a card can be rendered of a training record."""
    try:
        if training:
            _training(training)
            _results(training)
            languages_of(training)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{files}: the record of the training is damaged ({type(error).__name__}: {error}). Restore it from a "
            "copy, or export the training run again."
        ) from error


def _metadata(manifest: dict[str, Any], license: str, languages: Sequence[str], library: str) -> str:
    results = [
        EvalResult(
            task_type="information-retrieval",
            task_name="Information Retrieval",
            dataset_type="held-out-graph-nodes",
            dataset_name=f"held-out nodes of the training graphs: {direction.replace('_', ' ')}",
            dataset_config=direction,  # results that differ in the name alone are merged into one
            dataset_split=manifest["training"]["results"]["held_out"],
            metric_type=metric,
            metric_name=f"{_METRICS[metric]} (percent)",
            metric_value=round(value, 2),
        )
        for direction, metric, value in _measured(manifest["training"], "after")
    ]
    card = ModelCardData(
        language=languages[0] if len(languages) == 1 else list(languages) or None,
        license=license or None,
        base_model=manifest["base_model"] or None,
        pipeline_tag="sentence-similarity",
        library_name=library,
        tags=[*([_PYTORCH] if library == _PYTORCH else []), *_TAGS],
        model_name=manifest["name"] if results else None,
        eval_results=results or None,
    )
    return card.to_yaml()


def _facts(manifest: dict[str, Any], width: int, languages: Sequence[str]) -> str:
    base = manifest["base_model"]
    rows = [
        ("base model", f"[{escape(base)}](https://huggingface.co/{quote(base)})" if base else "not known"),
        ("embeddings", f"{width} numbers per token"),
        ("tokens of a text", f"at most {manifest['max_tokens']}; longer texts are truncated"),
        ("scorer", f"`{scorer_text(from_mapping(ScorerSettings, manifest['scorer']), digits=4)}`"),
        ("fingerprint", f"{_code(manifest['fingerprint'])} (encoder, parameters and tokeniser)"),
        ("languages", escape(", ".join(languages)) or "not stated"),
    ]
    return markdown_rows(("", ""), rows, left=(0, 1))


def _training(training: dict[str, Any]) -> str:
    if "average" not in training:
        return _run(training)
    models = training["average"]
    rows = [(escape(model["name"]), f"{model['weight']:g}", _code(model["fingerprint"])) for model in models]
    table = markdown_rows(("model", "weight", "fingerprint"), rows, left=(0, 1, 2))
    parts = [f"### {escape(model['name'])}\n\n{_training(model['training'])}" for model in models if model["training"]]
    opening = "The encoder's parameters are a weighted sum of those of models that were trained from one encoder:"
    return "\n\n".join([opening, table, *parts])


def _run(training: dict[str, Any]) -> str:
    config = training["config"]
    source = config["source"]
    parts = [
        f"- {escape(name)}: {escape(part.get('source') or name)}, weight {part.get('weight', 1.0):g}"
        for name, part in source.get("parts", {}).items()
    ] or [f"- {escape(' '.join((source['source'], source.get('version', ''))))}"]
    graphs = [
        (kind if kind == "teacher" else f"skill-{escape(kind)}", _code(digest))
        for kind, digest in training["fingerprints"].items()
    ]
    distilled = ""
    if files := config.get("loss", {}).get("distillation", {}).get("path"):
        weight = config["loss"]["distillation"]["weight"]
        distilled = f" A teacher's scores ({escape(files)}) are learned as well, weight {weight:g}."
    began = ""
    if earlier := training.get("started_from"):
        began = f" Training continued from {escape(earlier['name'])} ({_code(earlier['fingerprint'])})."
    encoder = dict(current_setting(("wise_ft_alpha",), *each) for each in config["encoder"].items())
    alpha = encoder.get("wise_ft_alpha", 1.0)
    blended = (
        f" The weights were interpolated with the pretrained ones by WiSE-FT, alpha {alpha:g}." if alpha < 1 else ""
    )
    batch, optimiser = config["batch"]["global_batch_size"], config["optimiser"]["learning_rate"]
    return (
        "Many-to-many InfoNCE on bipartite graphs of skills with job titles, vacancy sentences and "
        f"aliases: step {training['step']:,} of {config['steps']:,}, {batch:,} skills per step, peak learning rate "
        f"{optimiser:g}, seed {config['seed']}.{began}{distilled}{blended} `uwe_jax.json` has all settings. "
        "Sources:\n\n"
        + "\n".join(parts)
        + ("\n\n" + markdown_rows(("graph", "fingerprint"), graphs, left=(0, 1)) if graphs else "")
    )


def _results(training: dict[str, Any]) -> str:
    before = {(direction, metric): f"{value:.1f}" for direction, metric, value in _measured(training, "before")}
    rows = [
        (escape(name.replace("_", " ")), _METRICS[metric], before.get((name, metric), MISSING), f"{value:.1f}")
        for name, metric, value in _measured(training, "after")
    ]
    if not rows:
        return ""
    held_out = escape(training["results"]["held_out"])
    return (
        f"## Results\n\nHeld-out {held_out} nodes of the training graphs, ranked against the full target space, in "
        "percent, before and after training. They are of the same sources as the training data; `uwe-jax evaluate` "
        "measures the model on WorkBench.\n\n"
        + markdown_rows(("ranking", "metric", "before", "after"), rows, left=(0, 1))
    )


def _measured(training: dict[str, Any], when: str) -> Iterator[tuple[str, str, float]]:
    """Yields (direction, metric, percent) of the run's own summary, if it has one."""
    results = training.get("results") or {}
    if not results.get("held_out"):
        return
    for direction, values in (results[when] or {}).items():
        if isinstance(values, dict):
            yield from ((direction, metric, values[metric]) for metric in _METRICS if metric in values)


def _code(text: str) -> str:
    """Formats a digest as code; any other text could end the span, and is escaped."""
    return f"`{text}`" if re.fullmatch(r"\w+", text) else escape(text)


def languages_of(training: dict[str, Any]) -> tuple[str, ...]:
    """Returns the languages of the ESCO labels that a model was trained on."""
    if "average" in training:
        return tuple(dict.fromkeys(code for model in training["average"] for code in languages_of(model["training"])))
    source = training.get("config", {}).get("source", {})
    parts: Sequence[dict[str, Any]] = [
        {"source": name, **{key: value for key, value in part.items() if value}}
        for name, part in source.get("parts", {}).items()
    ]
    stated = [part["language"] for part in (source, *parts) if part.get("source") == "esco" and part.get("language")]
    found = [code.strip() for languages in stated for code in languages.split(",")]
    return tuple(dict.fromkeys(found))
