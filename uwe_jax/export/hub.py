"""Pushing an export to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.network import in_one_line, within

# For the first answer. An upload may take as long as it takes.
CONTACT_SECONDS = 30.0


def check_repository(repo: str) -> None:
    """Raises a UserError unless the text can be the id of a user's or an organisation's repository."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"--push_to_hub {repo!r}: {in_one_line(error)}. Give it as user/name.") from error
    if "/" not in repo:
        raise UserError(f"--push_to_hub {repo!r} names no owner. Give it as user/name.")


def push(folder: Path, repo: str, *, private: bool) -> str:
    """Uploads an exported folder into a model repository as one commit; the repository is made where there is none.

    Files that an export does not write are left as they are there, except for ONNX files of an earlier export.

    Args:
      folder: of an export.
      repo: its hub id, user/name.
      private: a repository that is made now is not public.

    Returns:
      The address of the repository.

    Raises:
      UserError: the hub does not answer or refuses; nothing was changed in the folder.
    """
    api = HfApi(endpoint=constants.ENDPOINT, library_name="uwe_jax")
    try:
        made = within(CONTACT_SECONDS, lambda: api.create_repo(repo, private=private or None, exist_ok=True))
        # Weights of another model must not stay beside these.
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message="Export from uwe_jax",
            delete_patterns=["onnx/*"],
        )
    except Exception as error:  # of two HTTP libraries by the hub client's version
        raise UserError(
            f"{folder} is written, but {constants.ENDPOINT} did not take it as {repo} "
            f"({type(error).__name__}: {in_one_line(error)}). Log in with `hf auth login` or set HF_TOKEN to a token "
            f"that may write there, check the network and HF_HUB_OFFLINE, and push it with `hf upload {repo} {folder}` "
            "or the same command."
        ) from error
    return str(made)
