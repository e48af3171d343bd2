"""``python -m oleada_server`` is ``oleada``."""

from oleada_server.cli import main

main(prog_name="oleada")
