"""The one error that is the user's to fix."""


class InputError(ValueError):
    """Bad input: its message is one line that says what was given, what was expected and how to fix it.

    The command line prints the message without a traceback and exits with status 2.
    """
