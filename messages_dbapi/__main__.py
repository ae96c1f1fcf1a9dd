"""``python -m messages_dbapi``: the command ``messages-sql``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
