"""What went wrong, said so that a person can act on it."""


class Problem(Exception):  # noqa: N818 - it is what the user has, not what the code did
    """A failure whose message names the thing, its value and the fix. The command line prints it without a traceback."""
