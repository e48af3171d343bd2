"""``oleada-lab image``: a small image of one's own, to sign, publish and roll out."""

import argparse
from typing import Any

from oleada_wire.ids import is_hardware_model
from oleada_wire.version import is_version

from oleada_lab.errors import ImageError
from oleada_lab.firmware.image import BEHAVIOURS, ImageSpec, build_small_image
from oleada_lab.options import to_write


def add_commands(commands: Any) -> None:
    """Add ``image`` to *commands*, an argparse action of sub-parsers."""
    image = commands.add_parser("image", help="build a small image, good or faulty")
    image.add_argument("out", type=to_write, metavar="OUT", help="the file to write")
    image.add_argument("--model", required=True, help="hardware model, such as VX-240")
    image.add_argument("--version", required=True, help="dotted numbers, such as 1.2.0")
    image.add_argument(
        "--behaviour", default="good", choices=BEHAVIOURS, help="how the system in it fares"
    )
    image.set_defaults(run=_image)


def _image(options: argparse.Namespace) -> int:
    if not is_hardware_model(options.model):
        raise ImageError(f"Model {options.model!r} is not a hardware model, such as VX-240.")
    if not is_version(options.version):
        raise ImageError(f"Version {options.version!r} is not dotted numbers, such as 1.2.0.")
    spec = ImageSpec(options.model, options.version, behaviour=options.behaviour)
    built = build_small_image(spec, options.out)
    print(f"{built.sha256}  {built.size_bytes:>11}  {built.path}")
    return 0
