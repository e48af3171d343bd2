"""``python -m oleada_lab``: the same as ``oleada-lab``."""

from oleada_lab.cli import main

raise SystemExit(main())
