"""``python -m oleada_agent``."""

import sys

from oleada_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
