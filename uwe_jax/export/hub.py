"""Pushes an export to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.network import in_one_line, within

_CONTACT_SECONDS = 30.0  # for the first answer; an upload may take as long as it takes


def check_repository(repo: str) -> None:
    """Raises UserError unless the text is a valid repository id of a user or an organisation."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"--push_to_hub {repo!r}: {in_one_line(error)}. Give it as user/name.") from error
    if "/" not in repo:
        raise UserError(f"--push_to_hub {repo!r} names no owner. Give it as user/name.")


def push(folder: Path, repo: str, *, private: bool) -> str:
    """Uploads an exported folder into a model repository as one commit; creates the repository where there is none.

    Files that an export does not write are left in the repository, except for ONNX files of an earlier export.

    Args:
      folder: of an export.
      repo: its hub id, user/name.
      private: make a repository that is created now private.

    Returns:
      The address of the repository.

    Raises:
      UserError: the hub does not answer or refuses; nothing was changed in the folder.
    """
    api = HfApi(endpoint=constants.ENDPOINT, library_name="uwe_jax")
    try:
        url = within(_CONTACT_SECONDS, lambda: api.create_repo(repo, private=private or None, exist_ok=True))
        # ONNX weights of another model must not stay beside these.
        message = "Export from uwe_jax"
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message, delete_patterns=["onnx/*"])
    except Exception as error:  # of two HTTP libraries by the hub client's version
        raise UserError(
            f"{folder} is written, but {constants.ENDPOINT} did not take it as {repo} "
            f"({type(error).__name__}: {in_one_line(error)}). Log in with `hf auth login` or set HF_TOKEN to a token "
            f"with write access, check the network and HF_HUB_OFFLINE, and push it with `hf upload {repo} {folder}` "
            "or the same command."
        ) from error
    return str(url)
