"""``python -m protgm``: the command line where its program is not on the path."""

import sys

from protgm.cli import main

if __name__ == "__main__":
    sys.exit(main())
