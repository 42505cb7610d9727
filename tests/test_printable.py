"""Tests that control characters are escaped in whatever is printed or written as JSON."""

import json
import logging
import re
import sys
import unicodedata

import numpy as np
import pytest
from rich.table import Table

from uwe_jax.retrieval.answers import Answer, json_line, readable
from uwe_jax.retrieval.hits import Hits
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import Stopped, UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.logging_setup import Lines
from uwe_jax.runtime.markdown import escape
from uwe_jax.runtime.printable import json_text, printable
from uwe_jax.runtime.progress import print_error, progress, report
from uwe_jax.runtime.text_table import render_table
from uwe_jax.training.metric_writer import MetricWriter

CODES = [range(9), range(11, 32), range(127, 160), range(0x2028, 0x202F), range(0x2066, 0x206A), (0xDFFF, 0xD800)]
OBEYED = "".join(chr(code) for codes in CODES for code in codes)
# Of other scripts, with joiners and marks that these need.
ORDINARY = "Krankenpfleger*in für Ärzte, مهندس نرم‌افزار, 看護師, נהג, 👩‍⚕️, tab\t"


def raw(shown: str) -> set[str]:
    return {each for each in shown if unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} and each not in "\n\t"} | (
        set(shown) & set(OBEYED)
    )


def raising(error: BaseException):
    def work():
        raise error

    with pytest.raises(SystemExit):
        answer_errors(work)


HIT = Hit(f"id {OBEYED}", f"text {OBEYED}", 0.5)
PRINTED = {
    "log line": logging.getLogger("uwe_jax.test").info,
    "result": report,
    "last words": print_error,
    "error": lambda text: raising(UserError(text)),
    "full disk": lambda text: raising(OSError(28, "No space left on device", text)),
    "stopped": lambda text: raising(Stopped(text)),
    "label of a bar": lambda text: list(progress([1], label=text, unit="rows")),
    "answer": lambda text: report(readable(Answer(1, text, {text: Hits([HIT], text)}))),
    "answer without hits": lambda text: report(readable(Answer(1, text, {text: Hits()}))),
    "query that has none": lambda text: report(readable(Answer(1, error=text))),
}


@pytest.mark.parametrize("sink", PRINTED)
def test_control_characters_are_escaped_wherever_something_is_printed(sink, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # bars are drawn on terminals alone
    monkeypatch.setattr("signal.signal", lambda *_: None)
    # Only ours: pytest-xdist cannot send captured records that hold half a surrogate pair.
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [each for each in root.handlers if isinstance(each, Lines)])
    PRINTED[sink](f"{ORDINARY} {OBEYED}")
    out, err = capsys.readouterr()
    shown = out + err.replace("\r", "") if sink == "label of a bar" else out + err
    assert not raw(shown)
    assert "مهندس نرم‌افزار" in shown
    assert r"\x1b" in shown
    assert r"\x9b" in shown
    assert r"\u202e" in shown


def test_ordinary_text_is_printed_as_it_is():
    assert printable(ORDINARY) == ORDINARY
    assert ORDINARY.strip() in json_text([ORDINARY])


def test_columns_stay_aligned_whatever_their_cells_hold():
    table = Table(OBEYED, "[bold]name[/]", title=OBEYED)
    table.add_row(OBEYED, "one")
    table.add_row("plain", "\x1b[31mtwo")
    lines = render_table(table).splitlines()
    assert not raw("\n".join(lines))
    assert len({len(line) for line in lines if line[0] in "┃│├└┏┡"}) == 1
    assert any("[bold]name[/]" in line for line in lines)


def test_tables_have_no_colours_even_where_the_surroundings_ask_for_them(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    table = Table("name", title="title", title_style="bold")
    assert "\\x1b" not in printable(render_table(table))


@pytest.mark.parametrize("indent", [None, 2])
def test_json_holds_escapes_and_reads_back_as_it_was(indent):
    value = {f"key {OBEYED}": [f'{ORDINARY}{OBEYED}\\"', 1.5, None]}
    text = json_text(value, indent=indent)
    assert not raw(text)
    assert json.loads(text) == value
    assert text.encode().decode() == text


def test_json_lines_and_files_hold_escapes(tmp_path):
    line = json_line(Answer(1, OBEYED, {OBEYED: Hits([HIT])}))
    problem = json_line(Answer(1, error=OBEYED))
    write_json(tmp_path / "file.json", {OBEYED: OBEYED})
    written = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert not raw(line + problem + written)
    assert json.loads(line)["hits"][OBEYED][0]["id"] == HIT.id
    assert json.loads(problem)["error"] == OBEYED
    assert json.loads(written) == {OBEYED: OBEYED}


def test_pages_hold_no_controls():
    page = escape(f"a {OBEYED} b")
    assert not raw(page)
    assert re.search(r"\\\\x1b", page)


def test_json_holds_finite_numbers_alone(tmp_path):
    for value, place in (
        ({"hits": [{"score": 0.5}, {"score": float("nan")}]}, r"hits\[1\].score is nan"),
        ({"map": (1.0, float("-inf"))}, r"map\[1\] is -inf"),
        (float("inf"), "The result is inf"),
        (np.float64("nan"), "The result is nan"),
    ):
        with pytest.raises(UserError, match=f"{place}, which JSON cannot express"):
            json_text(value)
    with pytest.raises(UserError, match="macro_map is nan"):
        write_json(tmp_path / "summary.json", {"macro_map": float("nan")})
    writer = MetricWriter(tmp_path)
    with pytest.raises(UserError, match=r"validation\.macro_map is nan"):
        writer.write(3, {"validation": {"macro_map": float("nan")}})
    writer.close()
    assert not (tmp_path / "summary.json").exists()
    assert (tmp_path / "metrics.jsonl").read_text() == ""
