"""Formats of tables, by the ending of a file's name."""

from __future__ import annotations

from pathlib import Path

GZIP = ".gz"
SEPARATED = {".csv": ",", ".tsv": "\t"}  # with the separator that is taken where the content tells none
SHEETS = (".xlsx", ".xls", ".xlsb", ".ods")
FORMATS = (*SEPARATED, ".jsonl", ".parquet", ".json", *SHEETS)
TEXT = ".txt"  # one text per line: a table of one column without a header, where a command says that it reads them
EXPECTED_FORMATS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]} (each also gzipped, such as .csv.gz)"


def table_format(path: Path) -> str:
    """The ending of `FORMATS` that a file's name has, with that of gzip; "" where it has none.

    >>> table_format(Path("a/edges.JSONL.gz")), table_format(Path("edges.v2.csv")), table_format(Path("edges.gz"))
    ('.jsonl.gz', '.csv', '')
    """
    ending = "".join(path.suffixes[-2:]).lower()
    return next((each for each in (ending, path.suffix.lower()) if each.removesuffix(GZIP) in FORMATS), "")


def is_text_list(path: Path) -> bool:
    """Whether a file has one text per line, by its name.

    >>> is_text_list(Path("skills.txt")), is_text_list(Path("skills.TXT.gz")), is_text_list(Path("skills.csv"))
    (True, True, False)
    """
    return path.name.lower().removesuffix(GZIP).endswith(TEXT)
