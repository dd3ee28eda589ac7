"""`python -m lab`: see `lab.command`."""

import signal
import sys

if __name__ == "__main__":
    # Importing takes a second. Ctrl-C in it ends the process at once and without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lab.command import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
