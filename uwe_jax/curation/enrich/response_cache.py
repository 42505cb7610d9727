"""Every answer that was paid for, one line each, on the disk before it is used: nothing is asked twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.curation.enrich.prompts import Prompt
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.locks import exclusive


@dataclass(frozen=True)
class Answer:
    """A finished request, or a try that got no answer and may have been billed (`finish` is lost).

    Attributes:
      key: see `key_of`.
      model: as the server calls it.
      prompt: hash of the prompt.
      kind: of the graph.
      skill: label.
      answer: what the model said, unchanged.
      finish: why the server ended the answer, such as stop or length.
      input_tokens: of the question.
      output_tokens: of the answer.
      estimated: whether the server did not count the tokens, so these are estimates.
      problem: why the answer cannot be read; empty where it can.
      seconds: that the last try took.
    """

    key: str
    model: str
    prompt: str
    kind: str
    skill: str
    answer: str
    finish: str
    input_tokens: int
    output_tokens: int
    estimated: bool
    problem: str
    seconds: float


def key_of(model: str, kind: str, prompt: Prompt, attempt: int, lost: bool = False) -> str:
    """SHA-256 that names what was asked: model, graph, prompt, and how often before the answer could not be read.

    Args:
      attempt: number of the try, from 0 on.
      lost: whether the tries that got no answer are counted instead.
    """
    name = f"{model}\0{kind}\0{prompt.hash}\0{'lost ' if lost else ''}{attempt}"
    return hashlib.sha256(name.encode()).hexdigest()


class Ledger:
    """The answers in a file, in the order they came. Use `open_ledger` to add to it."""

    def __init__(self, path: Path, answers: dict[str, Answer], torn: int = 0):
        self.path = path
        self.answers = answers
        self.torn = torn  # bytes of a last line that a kill cut off
        self._file: int | None = None

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """Reads a ledger, or an empty one where there is no such file.

        A last line without its end is what a kill leaves: it was never answered for, and does not count.

        Raises:
          UserError: a whole line is damaged.
        """
        content = path.read_bytes() if path.exists() else b""
        whole, _, rest = content.rpartition(b"\n")
        answers: dict[str, Answer] = {}
        for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
            try:
                answer = Answer(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{path}, line {number} is no answer ({error}). Every line stands for a request that was paid for: "
                    "mend the line, or remove it to ask that request once more."
                ) from error
            answers.setdefault(answer.key, answer)
        return cls(path, answers, len(rest))

    def add(self, answer: Answer) -> None:
        """Writes an answer; when this returns, it is on the disk."""
        if self._file is None:
            raise ValueError("this ledger was opened to be read")
        line = json.dumps(dataclasses.asdict(answer), ensure_ascii=True) + "\n"
        content, size = line.encode(), os.fstat(self._file).st_size
        try:
            while content:
                content = content[os.write(self._file, content) :]
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):  # half a line would make the next one unreadable
                os.ftruncate(self._file, size)
            raise
        self.answers[answer.key] = answer


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """A ledger to add to, which no other process can open so meanwhile; a torn last line is cut off.

    Raises:
      UserError: another process has it open, or a whole line is damaged.
    """
    doing = f"enriching in {path.parent}"
    with exclusive(path.with_name(".lock"), doing, advice="name another folder with out"):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            ledger = Ledger.read(path)
            if ledger.torn:
                os.ftruncate(file, os.fstat(file).st_size - ledger.torn)
                os.fsync(file)
            ledger._file = file
            yield ledger
        finally:
            os.close(file)
