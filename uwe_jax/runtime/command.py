"""What every command does around its own work: reads a config, and answers bad input with a sentence."""

from __future__ import annotations

import ast
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from absl import flags
from ml_collections import config_flags

from uwe_jax.config import Config
from uwe_jax.runtime import disk_errors as disk
from uwe_jax.runtime.errors import Stopped, UserError
from uwe_jax.runtime.exit_codes import EXIT_AGAIN, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USER_ERROR
from uwe_jax.runtime.progress import print_error, say
from uwe_jax.runtime.remote_errors import Unreachable
from uwe_jax.runtime.settings import check_setting_name, from_mapping

S = TypeVar("S")
_CONFIG_MODULE = "config_config"  # what ml_collections makes of a file for the flag --config


def shipped_configs(command: str) -> list[tuple[str, str]]:
    """Path and first docstring line of every config file in `configs/`, here or beside the package.

    A file that cannot be read as Python is listed for every command, with the reason in the place of its docstring.

    Args:
      command: that stands in the docstring of the files that are for it.
    """
    folders = [Path("configs"), Path(__file__).resolve().parents[2] / "configs"]
    folder = next((f for f in folders if f.is_dir()), None)
    found = []
    for path in sorted(folder.glob("*.py")) if folder else ():
        try:
            docstring = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            found.append((str(path), f"(cannot be read: {_config_complaint(error)})"))
            continue
        if f"uwe_jax.{command} " in docstring:
            found.append((str(path), docstring.partition("\n")[0]))
    return found


def _config_complaint(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.msg}, line {error.lineno}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"


def usage(command: str) -> str:
    """What the command answers where no config is named."""
    listed = shipped_configs(command)
    width = max((len(path) for path, _ in listed), default=0)
    lines = [f"uwe-jax {command} --config=FILE [--config.key=value ...]", ""]
    lines += [f"  {path:<{width}}  {summary}" for path, summary in listed] or ["  (no config files found here)"]
    example = next((path for path, _ in listed if "quickstart" in path), "configs/quickstart.py")
    lines += ["", f"For example: uwe-jax {command} --config={example} --config.workdir=runs/mine"]
    return "\n".join(lines)


def answer_errors(
    work: Callable[[], object],
    *,
    after_full_disk: str = "what was saved before is whole, and the same command goes on from there.",
    after_interrupt: str = "The same command goes on from the last checkpoint.",
) -> None:
    """Calls `work`, and answers what the user can mend with a sentence on standard error instead of a traceback.

    Exits with 2 after a `UserError`, a full disk or a path that cannot be opened, 1 where a bucket did not answer, 75
    after `Stopped`, 130 after Ctrl-C. Any other exception is a bug and keeps its traceback.

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
        if disk.refuses(error):
            print_error(
                f"Error: {error.strerror}: {error.filename or 'while writing'}. "
                f"{disk.what_to_mend(error.strerror)} or give another folder; {after_full_disk}"
            )
        elif sentence := disk.unopened(error):
            print_error(f"Error: {sentence}")
        else:
            raise
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
    return EXIT_USER_ERROR if mend or disk.refuses(error) or disk.unopened(error) else EXIT_FAILED


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
      UserError: there is no such file or setting, a value does not fit, or the file is no valid Python or stops with an
        error of its own.
    """
    argv = ["uwe_jax", *arguments]
    values = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", flag_values=values, help_string="A file.", sys_argv=argv)
    for argument in arguments:
        if named := re.match(r"--config\.([^=]+)", argument):
            check_setting_name(settings, named[1])
    try:
        rest = values(argv)
        as_dict = getattr(flag.value, "to_dict", None)  # raises what opening the file raised
    except UserError:
        raise
    except Exception as error:
        if in_file := _error_in_config(error):
            raise UserError(f"{in_file}. Correct the config file.") from error
        _answer(error, command)
        raise
    finally:
        sys.modules.pop(_CONFIG_MODULE, None)  # the next file would be run in the namespace of this one
    if len(rest) > 1:
        raise UserError(f"Unexpected argument {rest[1]!r}; settings are given as --config.key=value.")
    if flag.value is None and not any(re.match("--config(=|$)", argument) for argument in arguments):
        raise UserError("Command line: no config is named; give --config=FILE.")
    if as_dict is None:
        raise UserError(
            f"get_config() of the file of --config returns a {type(flag.value).__name__}; it must return a ConfigDict, "
            "such as uwe_jax.config.default_config() makes."
        )
    return from_mapping(settings, as_dict())


def _error_in_config(error: BaseException) -> str:
    """Where in a config file an error was raised, and which; empty where it was raised elsewhere."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError):
            return f"{cause.filename or 'The file of --config'}, line {cause.lineno or 1}: {cause.msg}"
        frames = traceback.walk_tb(cause.__traceback__)
        own = [(f.f_code.co_filename, line) for f, line in frames if f.f_globals.get("__name__") == _CONFIG_MODULE]
        if own:
            file, line = own[-1]
            return f"{file}, line {line}: {type(cause).__name__}: {cause}"
        cause = cause.__cause__ or cause.__context__
    return ""


def _answer(error: Exception, command: str) -> None:
    """Raises a UserError for what the reading of flags may end in; any other error is left alone."""
    if isinstance(error, OSError):  # of ml_collections, for a config file that is not there
        known = ", ".join(path for path, _ in shipped_configs(command))
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"--config cannot be read: {reason}. Shipped: {known}.") from error
    if isinstance(error, (flags.Error, AttributeError, KeyError, TypeError, ValueError)):
        complaint = " ".join(map(str, error.args))
        if "get_config() takes 0 positional arguments" in complaint:
            complaint = "that config file has no variants; leave out the colon and what follows it"
        if "no attribute 'get_config'" in complaint:
            complaint = "the file of --config has no function get_config()"
        raise UserError(f"Command line: {complaint}") from error
