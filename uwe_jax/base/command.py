"""What every command does around its own work: reads a config, and answers bad input with a sentence."""

from __future__ import annotations

import ast
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from absl import flags
from ml_collections import config_flags

from uwe_jax.base import disk
from uwe_jax.base.config import Config
from uwe_jax.base.errors import Stopped, UserError
from uwe_jax.base.progress import print_error, say
from uwe_jax.base.remote import Unreachable
from uwe_jax.base.settings import check_setting_name, from_mapping
from uwe_jax.base.statuses import EXIT_AGAIN, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USER_ERROR

S = TypeVar("S")


def shipped_configs(command: str) -> list[tuple[str, str]]:
    """Path and first docstring line of every config file in `configs/`, here or beside the package.

    Args:
      command: that stands in the docstring of the files that are for it.
    """
    folders = [Path("configs"), Path(__file__).resolve().parents[2] / "configs"]
    folder = next((f for f in folders if f.is_dir()), None)
    found = []
    for path in sorted(folder.glob("*.py")) if folder else ():
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        if f"uwe_jax.{command} " in docstring:
            found.append((str(path), docstring.partition("\n")[0]))
    return found


def usage(command: str) -> str:
    """What the command answers where no config is named."""
    listed = shipped_configs(command)
    width = max((len(path) for path, _ in listed), default=0)
    lines = [f"python -m uwe_jax.{command} --config=FILE [--config.key=value ...]", ""]
    lines += [f"  {path:<{width}}  {summary}" for path, summary in listed] or ["  (no config files found here)"]
    example = next((path for path, _ in listed if "quickstart" in path), "configs/quickstart.py")
    lines += ["", f"For example: python -m uwe_jax.{command} --config={example} --config.workdir=runs/mine"]
    return "\n".join(lines)


def answer_errors(
    work: Callable[[], object],
    *,
    after_full_disk: str = "what was saved before is whole, and the same command goes on from there.",
    after_interrupt: str = "The same command goes on from the last checkpoint.",
) -> None:
    """Calls `work`, and answers what the user can mend with a sentence on standard error instead of a traceback.

    Exits with 2 after a `UserError` or a full disk, 1 where a bucket did not answer, 75 after `Stopped`, 130 after
    Ctrl-C. Any other exception is a bug and keeps its traceback.

    Args:
      work: all that the command does, the reading of its flags included.
      after_full_disk: the end of the sentence, what is left and what to do.
      after_interrupt: the sentence after "Interrupted.".
    """
    try:
        work()
    except UserError as error:
        print_error(f"Error: {error}")
        sys.exit(exit_status(error))
    except OSError as error:
        if not disk.refuses(error):
            raise
        print_error(
            f"Error: {error.strerror}: {error.filename or 'while writing'}. "
            f"{disk.what_to_mend(error.strerror)} or give another folder; {after_full_disk}"
        )
        sys.exit(EXIT_USER_ERROR)
    except Stopped as stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # asked once more while Python ends, it would end by the signal
        say(f"\n{stop}")
        sys.exit(EXIT_AGAIN)
    except KeyboardInterrupt:
        print_error(f"Interrupted. {after_interrupt}")
        sys.exit(EXIT_INTERRUPTED)


def exit_status(error: BaseException) -> int:
    """What `answer_errors` exits with after this error; 1 for one that keeps its traceback.

    >>> exit_status(UserError("mend me")), exit_status(ValueError("a bug"))
    (2, 1)
    """
    if isinstance(error, Stopped):
        return EXIT_AGAIN
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    mend = isinstance(error, UserError) and not isinstance(error, Unreachable)
    return EXIT_USER_ERROR if mend or disk.refuses(error) else EXIT_FAILED


def run_with_config(command: str, main: Callable[[Config], object]) -> None:
    """Reads `--config` and its overrides from the command line, calls `main`, and exits.

    Exits with 0 when done, and otherwise as `answer_errors` does.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(usage(command))
        sys.exit(0)

    def work() -> None:
        if len(sys.argv) == 1:
            print(usage(command))
            sys.exit(0)
        main(read_config(sys.argv[1:]))

    answer_errors(work)


def read_config(arguments: Sequence[str]) -> Config:
    """The settings of a training run by its command line; see `read_command_line`."""
    return read_command_line(arguments, Config, "train")


def read_command_line(arguments: Sequence[str], settings: type[S], command: str) -> S:
    """The settings of `--config=FILE` and of its overrides `--config.key=value`, of which the last one counts.

    What follows a colon, as in `--config=configs/ablation.py:max_sim`, goes to the file's `get_config`.

    Args:
      arguments: behind the program.
      settings: dataclass that the file's `get_config` starts from.
      command: whose shipped files are named where there is no such file.

    Raises:
      UserError: there is no such file or setting, or a value does not fit.
    """
    argv = ["uwe_jax", *arguments]
    values = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", flag_values=values, help_string="A file.", sys_argv=argv)
    for argument in arguments:
        if named := re.match(r"--config\.([^=]+)", argument):
            check_setting_name(settings, named[1])
    try:
        rest = values(argv)
        chosen = flag.value.to_dict() if flag.value is not None else None
    except OSError as error:  # of ml_collections, for a config file that is not there
        known = ", ".join(path for path, _ in shipped_configs(command))
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"--config cannot be read: {reason}. Shipped: {known}.") from error
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        complaint = " ".join(map(str, error.args))
        if "get_config() takes 0 positional arguments" in complaint:
            complaint = "that config file has no variants; leave out the colon and what follows it"
        raise UserError(f"Command line: {complaint}") from error
    if len(rest) > 1:
        raise UserError(f"Unexpected argument {rest[1]!r}; settings are given as --config.key=value.")
    if chosen is None:
        raise UserError("Command line: no config is named; give --config=FILE.")
    return from_mapping(settings, chosen)
