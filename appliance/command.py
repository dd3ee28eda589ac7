"""The one place where other programs are started. There is no shell: an argument stays an argument."""

import subprocess

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class CommandFailed(Exception):
    """A program ended with an error or did not end in time."""


def run(argv: list[str], stdin: str = "", timeout: float = 20.0, check: bool = True) -> str:
    """Standard output of a program. `timeout` in seconds. Raises `CommandFailed`."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{argv[0]}: {type(error).__name__}") from error
    if check and done.returncode:
        raise CommandFailed(
            f"{' '.join(argv)[:200]} ended with {done.returncode}: {done.stderr.strip()[:400]}"
        )
    return done.stdout
