"""The exceptions that a command shows as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user can fix: bad input, a wrong setting, a full disk, an unreachable encoder.

    The message says what was found (with numbers, file and line), what was expected, and the next step. Commands print
    it without a traceback and exit with status 2. Bugs are never wrapped in it.
    """


class Stopped(BaseException):
    """Work that was stopped from outside, or lost a peer, and that the same command resumes.

    The message says why, and what is saved; commands print it and exit with status 75. Like KeyboardInterrupt it is not
    an `Exception`, so that no handler on the way swallows it.
    """
