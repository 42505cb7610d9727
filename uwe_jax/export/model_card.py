"""The README.md of an export: a model card as the Hugging Face hub reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from huggingface_hub import EvalResult, ModelCardData

from uwe_jax.config import ScorerSettings
from uwe_jax.export.usage import usage
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.markdown import MISSING, escape

_TAGS = ["sentence-transformers", "sentence-similarity", "feature-extraction", "uwe_jax", "labor-market", "skills"]
_METRICS = {"map": "MAP", "rp@10": "RP@10", "mrr": "MRR"}
# What `reduce` stands for in a formula.
_OVER = {"mean": "mean over i of", "sum": "sum over i of"}
_FORMULAS = {
    "soft": "s(q, y) = {over} sum_j softmax_j({logits} / tau_a) cos(e_i, t_j)",
    "max_sim": "s(q, y) = {over} max_j cos(e_i, t_j)",
    "soft_pooled": "s(q, y) = sum over i of softmax_i({pooled} / tau_a) cos(e_i, mean of t)",
    "mean_pool": "s(q, y) = cos(mean of e, mean of t)",
}


@dataclass(frozen=True)
class CardOptions:
    """What only the author knows.

    Attributes:
      license: an identifier of the hub, such as apache-2.0; empty leaves it open.
      languages: ISO 639 codes of the texts that the model is for.
      where: folder or hub id that the examples load.
      on_hub: it is a hub id.
      onnx: the folder has the encoder as ONNX.
    """

    license: str = ""
    languages: tuple[str, ...] = ()
    where: str = ""
    on_hub: bool = False
    onnx: bool = False


def model_card(manifest: dict[str, Any], width: int, options: CardOptions) -> str:
    """The card of an exported model.

    Args:
      manifest: of `uwe_jax.models.exported.manifest_of`.
      width: d, numbers of an embedding.
    """
    training = manifest["training"]
    sections = [
        f"---\n{_metadata(manifest, options)}\n---",
        f"# {escape(manifest['name'])}",
        _opening(manifest, width, options),
        usage(options.where, manifest["max_tokens"], on_hub=options.on_hub, onnx=options.onnx),
        _scoring(ScorerSettings(**manifest["scorer"]), manifest["dtype"]),
        *([_training(training), _results(training)] if training else []),
        _limits(options),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def check_record(training: dict[str, Any], files: str) -> None:
    """Raises UserError unless a card can be written of a training record, parts of which come from files of others.

    Args:
      files: that it was read from, for the message.
    """
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


def _metadata(manifest: dict[str, Any], options: CardOptions) -> str:
    languages = list(options.languages)
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
        language=languages[0] if len(languages) == 1 else languages or None,
        license=options.license or None,
        base_model=manifest["base_model"] or None,
        pipeline_tag="sentence-similarity",
        library_name="sentence-transformers",
        tags=_TAGS,
        model_name=manifest["name"] if results else None,
        eval_results=results or None,
    )
    return card.to_yaml()


def _opening(manifest: dict[str, Any], width: int, options: CardOptions) -> str:
    what = "trained with" if manifest["training"] else "an encoder as it was published, exported by"
    base = manifest["base_model"]
    rows = [
        ("base model", f"[{escape(base)}](https://huggingface.co/{quote(base)})" if base else "not known"),
        ("embeddings", f"{width} numbers a token"),
        ("tokens of a text", f"at most {manifest['max_tokens']}; longer texts lose their end"),
        ("scorer", f"`{manifest['scorer']['kind']}`, tau_a {manifest['scorer']['tau_a']:.4g}"),
        ("fingerprint", f"{_code(manifest['fingerprint'])} (encoder, parameters and tokeniser)"),
        ("languages", escape(", ".join(options.languages)) or "not stated"),
    ]
    return (
        f"Unified Work Embeddings ([arXiv 2511.07969](https://arxiv.org/abs/2511.07969)), {what} uwe_jax "
        f"{manifest['uwe_jax']}: a bi-encoder that ranks skills, job titles and aliases for job titles, skills and "
        "vacancy sentences by late interaction over token embeddings.\n\n| | |\n|---|---|\n"
        + "\n".join(f"| {name} | {value} |" for name, value in rows)
    )


def _scoring(scorer: ScorerSettings, dtype: str) -> str:
    dot = scorer.logits == "dot"
    formula = _FORMULAS[scorer.kind].format(
        over=_OVER[scorer.reduce],
        logits="e_i . t_j" if dot else "cos(e_i, t_j)",
        pooled="e_i . mean of t" if dot else "cos(e_i, mean of t)",
    )
    mixed = (
        f" In training the encoder computed in {dtype}, over parameters kept in float32; those are what is stored, and "
        "PyTorch computes with them in float32."
        if dtype != "float32"
        else ""
    )
    return (
        f"## How it scores\n\nWith e the tokens of a query and t those of a target:\n\n    {formula}\n\n"
        f"tau_a is {scorer.tau_a:.6g}. The mean-pooled embedding that sentence-transformers gives is one vector a "
        f"text, compared by the cosine; `uwe_scorer.py` holds the scorer above in plain PyTorch.{mixed}"
    )


def _training(training: dict[str, Any]) -> str:
    return f"## Training\n\n{_of(training)}"


def _of(training: dict[str, Any]) -> str:
    return _average(training["average"]) if "average" in training else _run(training)


def _average(models: Sequence[dict[str, Any]]) -> str:
    rows = [f"| {escape(model['name'])} | {model['weight']:g} | {_code(model['fingerprint'])} |" for model in models]
    table = "\n".join(["| model | weight | fingerprint |", "|---|---|---|", *rows])
    parts = [f"### {escape(model['name'])}\n\n{_of(model['training'])}" for model in models if model["training"]]
    opening = "The encoder's parameters are a weighted sum of those of models that were trained from one encoder:"
    return "\n\n".join([opening, table, *parts])


def _run(training: dict[str, Any]) -> str:
    config = training["config"]
    source = config["source"]
    parts = [
        f"- {escape(name)}: {escape(part.get('source') or name)}, weight {part.get('weight', 1.0):g}"
        for name, part in source.get("parts", {}).items()
    ] or [f"- {escape(' '.join((source['source'], source.get('version', ''))))}"]
    graphs = [f"| skill-{escape(kind)} | {_code(digest)} |" for kind, digest in training["fingerprints"].items()]
    began = ""
    if earlier := training.get("started_from"):
        began = f" It went on from {escape(earlier['name'])} ({_code(earlier['fingerprint'])}), trained before."
    share = config["encoder"].get("pretrained_share", 0.0)
    blended = f" The weights are {share:.0%} the pretrained ones, blended in after training." if share else ""
    batch, optimiser = config["batch"]["global_batch_size"], config["optimiser"]["learning_rate"]
    return (
        "Many-to-many InfoNCE on bipartite graphs of skills with job titles, vacancy sentences and "
        f"aliases: step {training['step']:,} of {config['steps']:,}, {batch:,} skills a step, peak learning rate "
        f"{optimiser:g}, seed {config['seed']}.{began}{blended} `uwe_jax.json` holds every setting. Sources:\n\n"
        + "\n".join(parts)
        + ("\n\n| graph | fingerprint |\n|---|---|\n" + "\n".join(graphs) if graphs else "")
    )


def _results(training: dict[str, Any]) -> str:
    before = {(direction, metric): f"{value:.1f}" for direction, metric, value in _measured(training, "before")}
    rows = [
        f"| {escape(direction.replace('_', ' '))} | {_METRICS[metric]} | {before.get((direction, metric), MISSING)} "
        f"| {value:.1f} |"
        for direction, metric, value in _measured(training, "after")
    ]
    if not rows:
        return ""
    held_out = escape(training["results"]["held_out"])
    return (
        f"## Results\n\nHeld-out {held_out} nodes of the training graphs, ranked against the full target space, in "
        "percent, before and after training. They are of the same sources as the training data; `python -m "
        "uwe_jax.commands.evaluate` measures the model on WorkBench.\n\n| ranking | metric | before | after |\n"
        + "\n".join(["|---|---|---|---|", *rows])
    )


def _measured(training: dict[str, Any], when: str) -> Iterator[tuple[str, str, float]]:
    """(direction, metric, percent) of the run's own summary; nothing where it has none."""
    results = training.get("results") or {}
    if not results.get("held_out"):
        return
    for direction, values in (results[when] or {}).items():
        if isinstance(values, dict):
            yield from ((direction, metric, values[metric]) for metric in _METRICS if metric in values)


def _limits(options: CardOptions) -> str:
    terms = (
        f"The author publishes it under {escape(options.license)}."
        if options.license
        else "No licence is stated: the terms of the base model and of the training data hold, and whoever publishes "
        "this model states one."
    )
    return (
        "## Limits and licence\n\nScores rank targets for one query; they are no probabilities and are not compared "
        f"between queries. Rankings carry what is unbalanced in the training data. {terms}"
    )


def _code(text: str) -> str:
    """A digest in the font of code; a text that is none could end the span, and is escaped."""
    return f"`{text}`" if re.fullmatch(r"\w+", text) else escape(text)


def languages_of(training: dict[str, Any]) -> tuple[str, ...]:
    """Languages of the ESCO labels that a model was trained on; empty where there were none."""
    if "average" in training:
        return tuple(dict.fromkeys(code for model in training["average"] for code in languages_of(model["training"])))
    source = training.get("config", {}).get("source", {})
    parts: Sequence[dict[str, Any]] = [
        {"source": name, **{key: value for key, value in part.items() if value}}
        for name, part in source.get("parts", {}).items()
    ]
    found = [part["language"] for part in (source, *parts) if part.get("source") == "esco" and part.get("language")]
    return tuple(dict.fromkeys(found))
