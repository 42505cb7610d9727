"""The one exception that a command shows as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user can mend: bad input, a wrong setting, a full disk, an unreachable encoder.

    The message is what the user reads: what was found (with the numbers, the file and the line), what was
    expected, and the next step. Commands print it without a traceback and exit with status 2. Bugs are never
    wrapped in it.
    """
