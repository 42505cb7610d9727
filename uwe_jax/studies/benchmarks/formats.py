"""Numbers as a person reads them in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def significant(value: float) -> str:
    """Three significant digits, without an exponent.

    >>> significant(0.01234), significant(12.34), significant(12345.6)
    ('0.0123', '12.3', '12,346')
    """
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def scaled(unit: str) -> Callable[[float], str]:
    """A format with a decimal prefix.

    >>> scaled("FLOP/s")(1.234e11), scaled("B/s")(12.0)
    ('123 GFLOP/s', '12.0 B/s')
    """

    def show(value: float) -> str:
        size, prefix = next(((size, prefix) for size, prefix in _UNITS if value >= size), (1.0, ""))
        return f"{significant(value / size)} {prefix}{unit}".rstrip()

    return show


def mebibytes(value: float) -> str:
    """Bytes in MiB.

    >>> mebibytes(1.5 * 2**20)
    '1.50 MiB'
    """
    return f"{significant(value / 2**20)} MiB"


def peak(value: Mapping[str, int | bool]) -> str:
    """`memory.Peak.to_dict` in MiB.

    >>> peak({"bytes": 3 * 2**20, "bound": True})
    '≤ 3.00 MiB'
    """
    return ("≤ " if value["bound"] else "") + mebibytes(value["bytes"])


def whole(value: int) -> str:
    """With thousands marked.

    >>> whole(13896)
    '13,896'
    """
    return f"{value:,}"


def milliseconds(seconds: Mapping[str, float]) -> str:
    """`Times.to_dict` in ms: the median, and the lowest and the highest run.

    >>> milliseconds({"median": 0.0123, "low": 0.0119, "high": 0.025})
    '12.3 (11.9..25.0)'
    """
    median, low, high = (significant(1e3 * seconds[key]) for key in ("median", "low", "high"))
    return f"{median} ({low}..{high})"


def times(value: float) -> str:
    """A ratio.

    >>> times(1.234)
    '1.23 x'
    """
    return f"{significant(value)} x"


def percent(value: float) -> str:
    """A share.

    >>> percent(0.4567)
    '45.7 %'
    """
    return f"{significant(100 * value)} %"


def loss(value: float) -> str:
    """A loss with the digits by which two implementations are compared.

    >>> loss(7.12345678)
    '7.12346'
    """
    return f"{value:.5f}"
