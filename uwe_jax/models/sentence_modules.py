"""Modules and prompts of sentence-transformers that an encoder's folder declares: which, and their files."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.models.folder import CONFIG, ENCODER_FILES, WEIGHTS
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json

LOG = logging.getLogger(__name__)
MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
REMEDY = "Download the encoder again, or remove the file to use the folder as a plain encoder."
ROUTER = ("router_config.json", CONFIG)  # of a Router, the second name by versions up to 4, which called it Asym
# Class names in modules.json: the encoder's present and former names, and modules that do not change cosine rankings.
ENCODERS = ("Transformer", "BERT", "MPNet", "RoBERTa", "DistilBERT", "XLMRoBERTa")
ROUTERS = ("Router", "Asym")
_NEUTRAL = ("Normalize", "Dropout")
# In the order in which the results of several are joined.
POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len", "weightedmean", "lasttoken")


class Module(NamedTuple):
    """A class name, and the folder of its files."""

    kind: str
    folder: Path


def not_applied(folder: Path) -> tuple[str, ...]:
    """Describes the modules and prompts of a folder beyond its encoder and mean pooling, which change the scores.

    The scorer `published` applies them, others do not. Raises UserError if a file that declares them is damaged.
    """
    root = sentence_folder(folder)
    if root is None:
        return ()
    phrases = []
    for module in modules_of(root):
        if module.kind == "Pooling":
            if (mode := " and ".join(pooling_modes(module.folder))) != "mean":
                phrases.append(f"{mode} pooling")
        elif module.kind in ROUTERS:
            phrases.append(f"heads ({', '.join(routes_of(module.folder))})")
        elif module.kind not in ENCODERS + _NEUTRAL:
            phrases.append(f"{module.kind} layer")
    if prompts := sorted(name for name, text in prompts_of(root)[0].items() if text):
        phrases.append(f"prompts ({', '.join(prompts)})")
    return tuple(phrases)


def warn_of_not_applied(name: str, folder: Path) -> None:
    """Logs a warning for declared modules and prompts that are not applied; errors as in `not_applied`."""
    if phrases := not_applied(folder):
        LOG.warning(
            f"Encoder {name}: its folder declares {' and '.join(phrases)}, which training and all scorers but "
            "`published` leave out"
        )


def modules_digest(folder: Path) -> str:
    """Hexadecimal digest of a folder's modules, their files and the prompts."""
    digest = hashlib.sha256()
    if (root := sentence_folder(folder)) is not None:
        modules, (prompts, default) = modules_of(root), prompts_of(root)
        places = [module.folder.relative_to(root).as_posix() for module in modules]
        prompts = {name: text for name, text in prompts.items() if text}
        declared = [(module.kind, "" if place == "." else place) for module, place in zip(modules, places, strict=True)]
        digest.update(json.dumps([declared, prompts, *([default] if default else [])], sort_keys=True).encode())
        for module in modules:
            # The encoder's own files are part of other digests.
            inside = () if module.folder in (root, folder) else module.folder.rglob("*")
            for file in sorted(each for each in inside if each.is_file()):
                with file.open("rb") as content:
                    digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def encoder_folder(folder: Path) -> Path:
    """Folder of the encoder: that which modules.json names if it has a config.json, else the folder itself."""
    try:
        modules = modules_of(folder) if (folder / MODULES).is_file() else []
    except UserError:  # raised again where the modules are read
        modules = []
    named = (module.folder for module in modules if module.kind in ENCODERS)
    return next((each for each in named if (each / CONFIG).is_file()), folder)


def sentence_folder(folder: Path) -> Path | None:
    """Folder whose modules.json names the encoder in `folder`: its own, or the parent; None for none."""
    if (folder / MODULES).is_file():
        return folder
    above = folder.parent
    return above if (above / MODULES).is_file() and encoder_folder(above) == folder else None


def declared_files(folder: Path) -> Iterator[str]:
    """Names the files, relative to a folder, that its modules may have, as far as the files already there say."""
    if not (folder / MODULES).is_file():
        return
    pending = modules_of(folder)
    while pending:
        module = pending.pop()
        below = module.folder.relative_to(folder).as_posix()
        if module.kind in ROUTERS:
            yield from (f"{below}/{name}" for name in ROUTER)
            if any((module.folder / name).is_file() for name in ROUTER):
                pending += [each for name in routes_of(module.folder).values() for each in name]
        elif below != "." and module.kind not in _NEUTRAL:
            names = {"Pooling": (CONFIG,)} | dict.fromkeys(ENCODERS, ENCODER_FILES)
            yield from (f"{below}/{name}" for name in names.get(module.kind, (CONFIG, WEIGHTS)))


def lacking_modules(root: Path) -> list[str]:
    """Names the modules whose files are not there."""
    modules = modules_of(root) if (root / MODULES).is_file() else []
    with_files = [module for module in modules if module.folder != root and module.kind not in _NEUTRAL]
    lacking = [module for module in with_files if not any((module.folder / name).is_file() for name in ROUTER)]
    return [f"{module.folder.relative_to(root).as_posix()}/{CONFIG}" for module in lacking]


def modules_of(root: Path) -> list[Module]:
    """Modules that a folder's modules.json lists, in order."""
    path = root / MODULES
    entries = read_json(path, REMEDY, kind=list)
    if not all(isinstance(each, dict) and isinstance(each.get("type"), str) for each in entries):
        raise UserError(f"{path} does not name the type of every module. {REMEDY}")
    return [_module(path, each["type"], each.get("path", "")) for each in entries]


def routes_of(folder: Path) -> dict[str, list[Module]]:
    """Modules of each head of a Router, by the head's name."""
    path = next((folder / name for name in ROUTER if (folder / name).is_file()), folder / ROUTER[0])
    values = read_json(path, REMEDY)
    types, structure = values.get("types"), values.get("structure")
    listed = isinstance(types, dict) and isinstance(structure, dict) and structure
    if not listed or not all(isinstance(names, list) and set(names) <= types.keys() for names in structure.values()):
        raise UserError(f"{path} must have the types of modules, and a structure that lists them. {REMEDY}")
    return {route: [_module(path, types[name], name) for name in names] for route, names in structure.items()}


def _module(path: Path, kind: Any, where: Any) -> Module:
    """Checks an entry of the file at `path`."""
    if not isinstance(kind, str):
        raise UserError(f"{path} has the type {reprlib.repr(kind)}; it must be a class name. {REMEDY}")
    if not isinstance(where, str) or ".." in Path(where).parts or Path(where).is_absolute():
        raise UserError(f"{path} has the path {reprlib.repr(where)}; it must be a folder beside the file. {REMEDY}")
    return Module(kind.rpartition(".")[2], path.parent / where)


def pooling_modes(folder: Path) -> list[str]:
    """Names of the pooling modes: sentence-transformers has one key in newer versions, one per mode in older ones."""
    path = folder / CONFIG
    if not path.exists():
        return [f"unknown ({folder.name}/{CONFIG} is missing)"]
    values = read_json(path, REMEDY)
    modes: Any = values.get("pooling_mode")
    if modes is None:
        active = {
            key.removeprefix("pooling_mode_") for key in values if key.startswith("pooling_mode_") and values[key]
        }
        modes = sorted(active, key=lambda mode: (*POOLING_MODES, _short(mode)).index(_short(mode))) or "mean"
    named = [modes] if isinstance(modes, str) else modes
    if not isinstance(named, list) or not all(isinstance(mode, str) for mode in named):
        raise UserError(f"{path} has the pooling_mode {reprlib.repr(modes)}; it must be a name or a list. {REMEDY}")
    return [_short(mode) for mode in named]


def _short(mode: str) -> str:
    return re.sub("_tokens?$", "", mode)


def prompts_of(root: Path) -> tuple[dict[str, str], str]:
    """Prompts by name, and the name of the default prompt, "" for none."""
    path = root / SETTINGS
    if not path.exists():
        return {}, ""
    values = read_json(path, REMEDY)
    prompts, default = values.get("prompts") or {}, values.get("default_prompt_name") or ""
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise UserError(f"{path} has the prompts {reprlib.repr(prompts)}; they must be texts by name. {REMEDY}")
    if not isinstance(default, str) or (default and default not in prompts):
        raise UserError(
            f"{path} has the default_prompt_name {reprlib.repr(default)}; it must be one of its prompts. {REMEDY}"
        )
    return {name: text or "" for name, text in prompts.items()}, default
