"""The export from a model's name to its folder, and to the hub where it is asked for."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.export.average import Share, averaged
from uwe_jax.export.contents import write_encoder, write_manifest, write_scorer
from uwe_jax.export.hub import check_repository, push
from uwe_jax.export.model_card import CardOptions, languages_of, model_card
from uwe_jax.export.onnx_encoder import check_libraries, write_onnx
from uwe_jax.export.staging import check_replaceable
from uwe_jax.export.subject import Subject, check_modules, subject_of
from uwe_jax.models.exported import manifest_of
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.retrieval.limits import check_max_tokens
from uwe_jax.runtime.folders import replacing
from uwe_jax.runtime.progress import report
from uwe_jax.training.workdir import TRAINED_ON

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportOptions:
    """What is exported, and where to.

    Attributes:
      models: what is exported; of several, their average (see `uwe_jax.export.average`).
      out: folder to write.
      cache_dir: where encoders from wheels are kept.

    The other fields are the flags of `uwe-jax export`.
    """

    models: tuple[Share, ...]
    out: Path
    cache_dir: Path
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
      UserError: the model cannot be read, the folder is not free, cannot be written or is written by another process,
        or the hub does not take it; the folder then stays.
    """
    out = options.out.expanduser().resolve()
    if options.push_to_hub:
        check_repository(options.push_to_hub)
    if options.onnx:
        check_libraries()
    # From here on, so that a second command for the same folder does not begin.
    with replacing(out, check=lambda: check_replaceable(out), advice="name another folder with --out") as folder:
        model = _write(options, out, folder)
    report(f"Exported {model.name} ({model.description}) to {out}")
    if not options.license:
        LOG.info("No licence is stated in the model card; --license names one, such as apache-2.0.")
    if options.push_to_hub:
        report(f"Pushed to {push(out, options.push_to_hub, private=options.private)}")
    return out


def _write(options: ExportOptions, out: Path, folder: Path) -> LoadedModel:
    """Writes the model into a new folder that is to become `out`."""
    subject = _subject(options)
    model = dataclasses.replace(subject.model, name=options.name or subject.model.name or out.name)
    check_max_tokens(model)
    check_modules(subject)
    manifest = manifest_of(model, subject.base_model, subject.training)
    card = CardOptions(
        license=options.license,
        languages=options.language or languages_of(subject.training),
        where=options.push_to_hub or out.name,
        on_hub=bool(options.push_to_hub),
        onnx=options.onnx,
    )

    folder.mkdir()
    write_encoder(model, folder)
    write_scorer(folder)
    if subject.footprint:
        subject.footprint.write(folder / TRAINED_ON)
    if options.onnx:
        write_onnx(model, folder)
    text = model_card(manifest, model.model.encoder.config.width, card)
    (folder / "README.md").write_text(text, encoding="utf-8", newline="\n")
    write_manifest(folder, manifest)
    return model


def _subject(options: ExportOptions) -> Subject:
    if len(options.models) == 1:
        return subject_of(options.models[0].name, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
    return averaged(options.models, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
