"""Exports models to a folder that transformers, sentence-transformers, the shipped scorer and `uwe_jax` read."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import logging
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from safetensors.numpy import save_file

from uwe_jax.export.difference import reduce_change
from uwe_jax.export.late_interaction import (
    LENGTHS,
    MULTI_VECTOR,
    NOT_MULTI_VECTOR,
    PYLATE,
    write_multi_vector,
    write_pylate,
)
from uwe_jax.export.model_card import languages_of, model_card
from uwe_jax.export.onnx_files import check_libraries, write_onnx
from uwe_jax.export.subjects import Share, check_modules, subject_of
from uwe_jax.models import exported
from uwe_jax.models.difference_folder import write_difference
from uwe_jax.models.folder import CONFIG, DIFFERENCE, TRAINED_ON, WEIGHTS
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.quantised import BITS
from uwe_jax.models.weights import params_to_hf, read_pooler
from uwe_jax.retrieval.limits import check_max_tokens
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, write_json
from uwe_jax.runtime.folders import replacing
from uwe_jax.runtime.network import in_one_line, within
from uwe_jax.runtime.options import NameList, OptionalInt, OptionalPath, at_least
from uwe_jax.runtime.progress import report, some

LOG = logging.getLogger(__name__)

_CONTACT_SECONDS = 30.0  # for the first answer of the hub; an upload may take as long as it takes
_SCORER = "uwe_scorer.py"
# What some exports have beside their config, manifest and card, and others have not: it must not stay beside those of
# another export in a repository, where it would be loaded in place of them.
_OPTIONAL = (
    *(WEIGHTS, DIFFERENCE, *exported.TOKENISER_FILES, _SCORER, TRAINED_ON, LENGTHS),
    *("modules.json", "config_sentence_transformers.json", "1_Pooling/*"),
    *(f"{folder}/*" for folder in (MULTI_VECTOR, PYLATE, "onnx")),
)
# The names of classes and settings that every version of sentence-transformers from 2 on reads.
_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
_SENTENCE_TRANSFORMERS = {
    "__version__": {"sentence_transformers": "2.0.0"},  # the oldest that reads the folder
    "prompts": {},
    "default_prompt_name": None,
    "similarity_fn_name": "cosine",
    **NOT_MULTI_VECTOR,
}


@dataclass(frozen=True)
class ExportOptions:
    """Options of the folder that `export` and `average` write.

    Attributes:
      out: folder to write; an earlier export there, unchanged since, is replaced.
      name: of the model; by default that of the run.
      max_tokens: of a text; by default 64, or the value of an export.
      license: identifier of the Hugging Face hub for the model card, such as apache-2.0.
      language: ISO codes for the model card; by default those of the ESCO labels.
      card: a Markdown file that is appended to the model card, such as your own measurements.
      low_rank: write what training changed in each matrix in so many components, instead of all weights; 0 writes all.
      bits: write what training changed in so many bits per weight, 1 to 8, instead of all weights; 0 writes all.
      onnx: write onnx/ too, encoder (float32 and int8) and scorer for ONNX Runtime and browsers; needs the extra onnx.
      pylate: write the folder pylate, which PyLate 1 loads, too.
      push_to_hub: upload the folder into this repository, USER/NAME.
      private: make the repository private if it is created now.
      cache_dir: folder of prepared data and encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    out: OptionalPath = None
    name: str = ""
    max_tokens: OptionalInt = None
    license: str = ""
    language: NameList = ()
    card: OptionalPath = None
    low_rank: int = 0
    bits: int = 0
    onnx: bool = False
    pylate: bool = False
    push_to_hub: str = ""
    private: bool = False
    cache_dir: str = ""

    def __post_init__(self) -> None:
        at_least(3, max_tokens=self.max_tokens)
        at_least(0, low_rank=self.low_rank)
        if self.bits and self.bits not in BITS:
            raise UserError(f"--bits is {self.bits}. Give 1 to 8 bits per weight, such as --bits 3.")
        if self.bits and self.low_rank:
            raise UserError("--low-rank and --bits are two ways to store what training changed. Give one of them.")
        for flag in ("onnx", "pylate"):
            if self.difference and getattr(self, flag):
                raise UserError(f"{self.difference} writes no whole encoder, which --{flag} needs. Give one of them.")

    @property
    def difference(self) -> str:
        """Names the flag by which only what training changed is written; empty where all weights are."""
        return "--low-rank" if self.low_rank else "--bits" if self.bits else ""


def export(options: ExportOptions, models: Sequence[Share]) -> Path:
    """Writes a model as a folder for PyTorch and for `uwe_jax`, whole or not at all; PyTorch is not needed.

    Args:
      models: one, or several to average.

    Returns:
      The folder.

    Raises:
      UserError: no folder is named, a model cannot be read, the folder holds other things, cannot be written or is
        written by another process, or the hub refuses the upload; the folder then stays.
    """
    if options.out is None:
        raise UserError("--out is required. Name the folder to write.")
    out = options.out.expanduser().resolve()
    if options.push_to_hub:
        _check_repository(options.push_to_hub)
    if options.onnx:
        check_libraries()
    further = _card_text(options.card) if options.card else ""
    # Locked before the model is loaded, so that a second command for the same folder is refused at once.
    with replacing(out, check=lambda: _check_replaceable(out), advice="name another folder with --out") as folder:
        model = _write(options, models, out, folder, further)
    report(f"Exported {model.name} ({model.description}) to {out}")
    if not options.license:
        LOG.info("No licence is stated in the model card; --license names one, such as apache-2.0.")
    code = f'uwe_jax.load({json.dumps(str(out))}).rank("a query", ["a target", "another target"])'
    report(f"Next:\npython -c {shlex.quote(f'import uwe_jax; print({code})')}")
    if options.push_to_hub:
        report(f"Pushed to {_push(out, options.push_to_hub, private=options.private)}")
    return out


def _card_text(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not UTF-8 text: {error}"
        raise UserError(f"--card {path} cannot be read ({reason}). Name a Markdown file.") from error


def _write(options: ExportOptions, models: Sequence[Share], out: Path, folder: Path, further: str) -> LoadedModel:
    """Writes the model, with `further` text in its card, into a new folder that is renamed to `out` afterwards."""
    subject = subject_of(models, cache_dir=cache_folder(options.cache_dir), max_tokens=options.max_tokens)
    model = dataclasses.replace(subject.model, name=options.name or subject.model.name or out.name)
    check_max_tokens(model)
    check_modules(subject)
    if options.difference:
        cache = cache_folder(options.cache_dir)
        reduced = reduce_change(subject, cache, rank=options.low_rank, bits=options.bits)
        model = dataclasses.replace(reduced.model, name=model.name)
    manifest = exported.manifest_of(model, subject.base_model, subject.training)

    folder.mkdir()
    if options.difference:
        write_json(folder / CONFIG, model.model.encoder.config.to_hf())
        write_difference(folder, reduced.difference)
    else:
        _write_encoder(model, folder)
        _write_scorer(folder)
        write_multi_vector(model, folder)
        if subject.hashes:
            subject.hashes.write(folder / TRAINED_ON)
    if options.pylate:
        write_pylate(model, folder)
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
        difference=bool(options.difference),
    )
    card = f"{card.rstrip()}\n\n{further.strip()}\n" if further.strip() else card
    (folder / "README.md").write_text(card, encoding="utf-8", newline="\n")
    sums = {name: exported.checksum(folder / name) for name in exported.files_in(folder)}
    write_json(folder / exported.MANIFEST, {**manifest, "files": sums})
    return model


def _check_replaceable(out: Path) -> None:
    """Raises UserError unless `out` is missing, empty, or an unchanged export: anything else would be lost."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file. Name a folder with --out.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not exported.is_exported(out):
        raise UserError(
            f"{out} holds other things than an export ({some(sorted(path.name for path in out.iterdir()))}), which "
            "would be lost. Name a new folder with --out, or empty that one."
        )
    written = exported.written_files(out, exported.read_manifest(out))
    own = [f"{name} is new" for name in exported.files_in(out) if name not in written and name != exported.MANIFEST]
    if phrases := own + [phrase for phrase in exported.changed(out, written) if not phrase.endswith("is missing")]:
        raise UserError(
            f"{out} is an export with changes of yours, which would be lost: {some(phrases)}. Move them elsewhere, or "
            "name a new folder with --out."
        )


def _write_encoder(model: LoadedModel, folder: Path) -> None:
    """Writes config, weights and tokeniser, and the settings of sentence-transformers for mean pooling.

    The pooler is copied from the published encoder; see `read_pooler`.
    """
    config = model.model.encoder.config
    write_json(folder / CONFIG, config.to_hf())
    tensors = params_to_hf(model.params["encoder"], config) | read_pooler(model.folder)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)  # safetensors makes it readable by the owner alone
    for name in exported.TOKENISER_FILES:
        if (model.folder / name).is_file():
            shutil.copyfile(model.folder / name, folder / name)
    write_json(folder / "modules.json", _MODULES)
    write_json(folder / LENGTHS, {"max_seq_length": model.max_tokens, "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", _SENTENCE_TRANSFORMERS)
    pooling = {"word_embedding_dimension": config.width, "pooling_mode_mean_tokens": True}
    others = ("cls_token", "max_tokens", "mean_sqrt_len_tokens")
    write_json(folder / "1_Pooling" / CONFIG, pooling | {f"pooling_mode_{mode}": False for mode in others})


def _write_scorer(folder: Path) -> None:
    """Writes the PyTorch module of the scorers, which reads its settings from the manifest."""
    text = importlib.resources.files("uwe_jax.export").joinpath("shipped", f"{_SCORER}.txt").read_bytes()
    (folder / _SCORER).write_bytes(text)


def _check_repository(repo: str) -> None:
    """Raises UserError unless the text is a valid repository id of a user or an organisation."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"--push-to-hub {repo!r}: {in_one_line(error)}. Give it as user/name.") from error
    if "/" not in repo:
        raise UserError(f"--push-to-hub {repo!r} names no owner. Give it as user/name.")


def _push(folder: Path, repo: str, *, private: bool) -> str:
    """Uploads an exported folder into a model repository as one commit; creates the repository where there is none.

    Files of an earlier export are removed; others in the repository are left.

    Returns:
      The address of the repository.

    Raises:
      UserError: the hub does not answer or refuses; nothing was changed in the folder.
    """
    api = HfApi(endpoint=constants.ENDPOINT, library_name="uwe_jax")
    try:
        url = within(_CONTACT_SECONDS, lambda: api.create_repo(repo, private=private or None, exist_ok=True))
        # Not by `upload_folder`, which may make several commits (huggingface_hub 2.4) that mix files of two exports.
        written = exported.files_in(folder)
        earlier = [name for name in api.list_repo_files(repo) if any(fnmatch(name, each) for each in _OPTIONAL)]
        operations = [CommitOperationAdd(name, folder / name) for name in written]
        removed = [CommitOperationDelete(name) for name in earlier if name not in written]
        api.create_commit(repo, [*operations, *removed], commit_message="Export from uwe_jax")
    except Exception as error:  # of two HTTP libraries by the hub client's version
        raise UserError(
            f"{folder} is written, but {constants.ENDPOINT} did not take it as {repo} "
            f"({type(error).__name__}: {in_one_line(error)}). Log in with `hf auth login` or set HF_TOKEN to a token "
            f"with write access, check the network and HF_HUB_OFFLINE, and push it with `hf upload {repo} {folder}` "
            "or the same command."
        ) from error
    return str(url)
