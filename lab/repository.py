"""Where the repository is that this lab belongs to."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
