"""Exit statuses of commands, documented in docs/training.md and read by the scripts in `launch/`."""

EXIT_FAILED = 1  # a retry may succeed: launchers retry a bounded number of times
EXIT_USER_ERROR = 2  # something for the user to fix: launchers do not retry
EXIT_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: stopped from outside; the same command resumes
EXIT_INTERRUPTED = 130  # Ctrl-C
EXIT_UNREAD = 141  # 128 + SIGPIPE, as of other programs: the reader of the output, such as `head`, has ended
