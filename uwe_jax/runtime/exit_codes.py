"""How commands end, for launchers to read: documented in docs/training.md, and read by the scripts in `launch/`."""

EXIT_FAILED = 1  # it may go well another time: launchers try again a bounded number of times
EXIT_USER_ERROR = 2  # something for the user to mend: not to be repeated as it is
EXIT_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: stopped from outside; the same command goes on
EXIT_INTERRUPTED = 130  # Ctrl-C
EXIT_UNREAD = 141  # 128 + SIGPIPE, as of other programs: what read their output, such as `head`, has ended
