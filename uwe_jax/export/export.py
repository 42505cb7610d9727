"""Exports models to a folder, and to the hub where it is asked for."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.export.average import Share, averaged
from uwe_jax.export.contents import write_encoder, write_scorer
from uwe_jax.export.hub import check_repository, push
from uwe_jax.export.model_card import languages_of, model_card
from uwe_jax.export.onnx_encoder import check_libraries, write_onnx
from uwe_jax.export.provenance import check_modules, subject_of
from uwe_jax.models.exported import (
    MANIFEST,
    changed,
    checksum,
    files_in,
    is_exported,
    manifest_of,
    read_manifest,
    written_files,
)
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.retrieval.limits import check_max_tokens
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.folders import replacing
from uwe_jax.runtime.progress import report
from uwe_jax.training.workdir import TRAINED_ON

LOG = logging.getLogger(__name__)

_SHOWN = 5  # files in a message


@dataclass(frozen=True)
class ExportOptions:
    """Models to export, and the folder to write; the other fields are the flags of `uwe-jax export`."""

    models: tuple[Share, ...]  # one, or several to average (see `uwe_jax.export.average`)
    out: Path
    cache_dir: Path  # of encoders from wheels
    name: str = ""
    max_tokens: int | None = None
    license: str = ""
    language: tuple[str, ...] = ()
    onnx: bool = False
    push_to_hub: str = ""
    private: bool = False


def export(options: ExportOptions) -> Path:
    """Writes a model as a folder for PyTorch and for `uwe_jax`, whole or not at all; PyTorch is not needed.

    Returns:
      The folder.

    Raises:
      UserError: the model cannot be read, the folder holds other things, cannot be written or is written by another
        process, or the hub refuses the upload; the folder then stays.
    """
    out = options.out.expanduser().resolve()
    if options.push_to_hub:
        check_repository(options.push_to_hub)
    if options.onnx:
        check_libraries()
    # Locked before the model is loaded, so that a second command for the same folder is refused at once.
    with replacing(out, check=lambda: _check_replaceable(out), advice="name another folder with --out") as folder:
        model = _write(options, out, folder)
    report(f"Exported {model.name} ({model.description}) to {out}")
    if not options.license:
        LOG.info("No licence is stated in the model card; --license names one, such as apache-2.0.")
    if options.push_to_hub:
        report(f"Pushed to {push(out, options.push_to_hub, private=options.private)}")
    return out


def _write(options: ExportOptions, out: Path, folder: Path) -> LoadedModel:
    """Writes the model into a new folder that is renamed to `out` afterwards."""
    if len(options.models) == 1:
        subject = subject_of(options.models[0].name, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
    else:
        subject = averaged(options.models, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
    model = dataclasses.replace(subject.model, name=options.name or subject.model.name or out.name)
    check_max_tokens(model)
    check_modules(subject)
    manifest = manifest_of(model, subject.base_model, subject.training)

    folder.mkdir()
    write_encoder(model, folder)
    write_scorer(folder)
    if subject.hashes:
        subject.hashes.write(folder / TRAINED_ON)
    if options.onnx:
        write_onnx(model, folder)
    card = model_card(
        manifest,
        width=model.model.encoder.config.width,
        license=options.license,
        languages=options.language or languages_of(subject.training),
        where=options.push_to_hub or out.name,
        on_hub=bool(options.push_to_hub),
        onnx=options.onnx,
    )
    (folder / "README.md").write_text(card, encoding="utf-8", newline="\n")
    write_json(folder / MANIFEST, {**manifest, "files": {name: checksum(folder / name) for name in files_in(folder)}})
    return model


def _check_replaceable(out: Path) -> None:
    """Raises UserError unless `out` is missing, empty, or an unchanged export: anything else would be lost."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file. Name a folder with --out.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not is_exported(out):
        raise UserError(
            f"{out} holds other things than an export ({_some(sorted(path.name for path in out.iterdir()))}), which "
            "would be lost. Name a new folder with --out, or empty that one."
        )
    written = written_files(out, read_manifest(out))
    own = [f"{name} is new" for name in files_in(out) if name not in written and name != MANIFEST]
    if phrases := own + [phrase for phrase in changed(out, written) if not phrase.endswith("is missing")]:
        raise UserError(
            f"{out} is an export with changes of yours, which would be lost: {_some(phrases)}. Move them elsewhere, or "
            "name a new folder with --out."
        )


def _some(phrases: list[str]) -> str:
    more = f" and {len(phrases) - _SHOWN} more" if len(phrases) > _SHOWN else ""
    return ", ".join(phrases[:_SHOWN]) + more
