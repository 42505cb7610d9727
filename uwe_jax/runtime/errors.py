"""The exceptions that a command shows as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user can fix: bad input, a wrong setting, a full disk, an unreachable encoder.

    The message is what the user reads: what was found (with the numbers, the file and the line), what was
    expected, and the next step. Commands print it without a traceback and exit with status 2. Bugs are never
    wrapped in it.
    """


class Stopped(BaseException):
    """Work that ended early because something outside asked for it or was lost, and that the same command goes on with.

    The message says what was asked or lost, and what is saved. Commands print it and exit with status 75. Like
    KeyboardInterrupt it is no `Exception`: nothing on the way is to swallow it.
    """
