"""The errors whose message is all a user needs to see."""


class InputError(ValueError):
    """Bad input: its message is one line that says what was given, what was expected and how to fix it.

    The command line prints the message without a traceback and exits with status 2.
    """


class Stopped(Exception):
    """Work that ended early through nobody's mistake: interrupted, or diverged. Exit status 1, no traceback."""
