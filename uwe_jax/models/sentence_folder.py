"""Reading of what sentence-transformers does with queries and with targets, from an encoder's folder."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uwe_jax.models.folder import CONFIG, PICKLE, WEIGHTS, converts
from uwe_jax.models.sentence_model import ACTIVATIONS, Dense, SentenceModel, Side
from uwe_jax.models.sentence_modules import (
    ENCODERS,
    POOLING_MODES,
    REMEDY,
    ROUTER,
    ROUTERS,
    SETTINGS,
    Module,
    modules_of,
    pooling_modes,
    prompts_of,
    routes_of,
)
from uwe_jax.models.tensor_files import open_tensors
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json

# Names of prompts and heads, in the order in which they are looked for.
_NAMES = {"query": ("query", "anchor"), "target": ("document", "passage", "corpus", "positive")}
_OTHER = "Use it with another scorer, such as mean_pool or soft, which leaves that out."


class Published(NamedTuple):
    """Steps for queries and for targets, and the parameters of dense layers by name."""

    query: Side
    target: Side
    params: Params


def read_published(root: Path, encoder: Path, model: UweModel, chosen: dict[str, str]) -> Published:
    """Reads the modules and prompts of a folder.

    Args:
      root: of modules.json.
      encoder: folder of the encoder.
      model: the encoder; its scorer must be `mean_pool`.
      chosen: by "query" and "target" the name of a prompt, a head or both. Without one, prompts and heads of queries
        are query or anchor, those of targets document, passage, corpus or positive; a head is the default one after
        that. The folder's default prompt counts where it has no prompt of these names, as in `encode`; where it has
        one, sides without a prompt have none, as in `encode_query` and `encode_document`.

    Raises:
      UserError: a file is missing or damaged, a module is not supported, or there is no prompt or head of a name.
    """
    settings = read_json(root / SETTINGS, REMEDY) if (root / SETTINGS).is_file() else {}
    found: Params = {}
    query, target = (_side(root, encoder, model, role, chosen.get(role, ""), found) for role in _NAMES)
    similarity = settings.get("similarity_fn_name") or "cosine"
    scaled = all(side.model.steps and side.model.steps[-1] is None for side in (query, target))
    if similarity != "cosine" and not (similarity in ("dot", "dot_product") and scaled):
        raise UserError(f"{root / SETTINGS} has the similarity {similarity!r}; published has cosines alone. {_OTHER}")
    if query.model.width != target.model.width:
        raise UserError(
            f"{root}: vectors of queries have {query.model.width} components and those of targets "
            f"{target.model.width}; they must be equal. {REMEDY}"
        )
    return Published(query, target, found)


def max_seq_length(encoder: Path, most: int) -> int:
    """Number of tokens to which sentence-transformers truncates texts, at most `most`."""
    for path in (*sorted(encoder.glob("sentence_*_config.json")), encoder / "tokenizer_config.json"):
        values = read_json(path, REMEDY) if path.is_file() else {}
        length = values.get("max_seq_length", values.get("model_max_length"))
        if type(length) is int and length > 0:
            return min(length, most)
    return most


def _side(root: Path, encoder: Path, model: UweModel, role: str, chosen: str, found: Params) -> Side:
    """Reads one side, and adds the parameters of its layers to `found`."""
    prompts, default = prompts_of(root)
    names, heads = (chosen, *_NAMES[role]), set[str]()
    pooling: tuple[str, ...] = ()
    steps: list[Dense | None] = []
    width, include_prompt = model.encoder.config.width, True
    pending = modules_of(root)
    while pending:
        module = pending.pop(0)
        if module.kind in ROUTERS:
            routes = routes_of(module.folder)
            heads |= set(routes)
            pending = routes[_route(module.folder, routes, names)] + pending
        elif module.kind == "Pooling" and not pooling:
            pooling = tuple(pooling_modes(module.folder))
            if unknown := [mode for mode in pooling if mode not in POOLING_MODES]:
                raise UserError(f"{module.folder}: pooling {unknown[0]!r} is not one of {', '.join(POOLING_MODES)}.")
            width *= len(pooling)
            include_prompt = read_json(module.folder / CONFIG, REMEDY).get("include_prompt", True)
        elif module.kind == "Normalize":
            steps.append(None)
        elif module.kind == "Dense" and pooling:
            name = module.folder.relative_to(root).as_posix()
            layer, found[name] = _dense(module.folder, name, width)
            steps.append(layer)
            width = found[name]["kernel"].shape[1]
        elif module.kind != "Dropout" and not (module.kind in ENCODERS and module.folder == encoder and not pooling):
            where = module.folder.relative_to(root.parent).as_posix()
            raise UserError(f"{root} declares a {module.kind} module ({where}) that published cannot apply. {_OTHER}")
    if not pooling:
        raise UserError(f"{root} declares no pooling, so its texts have no vector. {_OTHER}")
    if chosen and chosen not in heads | set(prompts):
        available = ", ".join(sorted(heads | set(prompts))) or "none"
        raise UserError(f"{root} has no prompt or head {chosen!r} for {role}; available are: {available}.")
    named = (chosen, *_NAMES[role])
    if not any(prompts.get(name) for roles in _NAMES.values() for name in roles):
        named = (chosen, default)
    prompt = next((prompts[name] for name in named if name in prompts), "")
    if prompt and not include_prompt:
        raise UserError(f"{root} leaves its prompt out of pooling (include_prompt), which published cannot. {_OTHER}")
    lowercase = any(read_json(path, REMEDY).get("do_lower_case") for path in encoder.glob("sentence_*_config.json"))
    return Side(SentenceModel(model.encoder, model.scorer, pooling, tuple(steps), width), prompt, bool(lowercase))


def _route(folder: Path, routes: dict[str, list[Module]], names: Sequence[str]) -> str:
    """Chooses a head by name, else the default one, else the first."""
    path = next(folder / name for name in ROUTER if (folder / name).is_file())
    parameters = read_json(path, REMEDY).get("parameters") or {}
    if not isinstance(parameters, dict) or parameters.get("route_mappings"):
        raise UserError(f"{path} has route_mappings, which published cannot apply. {_OTHER}")
    default = parameters.get("default_route")
    return next((name for name in (*names, default) if name in routes), next(iter(routes)))


def _dense(folder: Path, name: str, width: int) -> tuple[Dense, dict[str, np.ndarray]]:
    """Reads a dense layer whose input has `width` components."""
    values: dict[str, Any] = read_json(folder / CONFIG, REMEDY)
    activation = str(values.get("activation_function", "Tanh")).rpartition(".")[2]
    entered = {values.get("module_input_name", "sentence_embedding"), values.get("module_output_name")}
    if activation not in ACTIVATIONS or not entered <= {"sentence_embedding", None}:
        raise UserError(
            f"{folder / CONFIG} has the activation {reprlib.repr(activation)} on {sorted(map(str, entered))}; "
            f"published applies {', '.join(ACTIVATIONS)} on sentence_embedding. {_OTHER}"
        )
    if not (folder / WEIGHTS).is_file() and (folder / PICKLE).is_file():
        raise UserError(f"{folder} lacks {WEIGHTS} ({PICKLE} is not read: {converts(folder)}).")
    with open_tensors(folder) as tensors:
        out = tensors.shapes.get("linear.weight", (0,))[0]
        expected = {"linear.weight": (out, width), "linear.bias": (out,), "residual.weight": (out, width)}
        wrong = {key: shape for key, shape in tensors.shapes.items() if shape != expected.get(key)}
        if wrong or "linear.weight" not in tensors.shapes:
            raise UserError(f"tensors {wrong or 'without linear.weight'}; {width} inputs need {expected}. {REMEDY}")
        read = {key: tensors.read(key).astype(np.float32) for key in tensors.shapes}
    ours = {"linear.weight": "kernel", "linear.bias": "bias", "residual.weight": "residual"}
    params = {ours[key]: np.ascontiguousarray(value.T) for key, value in read.items()}
    return Dense(name, activation, bool(values.get("use_residual"))), params
