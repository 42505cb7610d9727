"""Formats of tables, by the ending of a file's name."""

from __future__ import annotations

from pathlib import Path

GZIP = ".gz"
SEPARATED = {".csv": ",", ".tsv": "\t"}  # with the default separator
SHEETS = (".xlsx", ".xls", ".xlsb", ".ods")
FORMATS = (*SEPARATED, ".jsonl", ".parquet", ".json", *SHEETS)
TEXT = ".txt"  # one text per line: a table of one column without a header, for commands that read texts or skills
EXPECTED_FORMATS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]} (each also gzipped, such as .csv.gz)"


def table_format(path: Path) -> str:
    """Returns a file's ending of `FORMATS`, with that of gzip; "" if it has none.

    >>> table_format(Path("a/edges.JSONL.gz")), table_format(Path("edges.v2.csv")), table_format(Path("edges.gz"))
    ('.jsonl.gz', '.csv', '')
    """
    ending = "".join(path.suffixes[-2:]).lower()
    return next((each for each in (ending, path.suffix.lower()) if each.removesuffix(GZIP) in FORMATS), "")


def is_text_list(path: Path) -> bool:
    """Returns whether a file's name says that it has one text per line.

    >>> is_text_list(Path("skills.txt")), is_text_list(Path("skills.TXT.gz")), is_text_list(Path("skills.csv"))
    (True, True, False)
    """
    return path.name.lower().removesuffix(GZIP).endswith(TEXT)
