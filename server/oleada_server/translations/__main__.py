"""``python -m oleada_server.translations extract|compile``."""

import sys

from oleada_server import translations

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["extract"]:
            translations.merge()
        case ["compile"]:
            translations.compile_all()
        case _:
            sys.exit("usage: python -m oleada_server.translations extract|compile")
