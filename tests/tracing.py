"""Counts the steps of Python code, where time would depend on the machine."""

import sys


def events(work) -> int:
    """Counts the lines, calls and returns of Python that a piece of work takes."""
    count, before = 0, sys.gettrace()

    def trace(*_):
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
