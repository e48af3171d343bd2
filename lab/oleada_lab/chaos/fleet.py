"""The boxes of a run: alike but for the serial, and for what their media players do not take."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final

from oleada_server.client import NoServerError, RefusedError

from oleada_lab.chaos import reading
from oleada_lab.chaos.person import first_wave
from oleada_lab.chaos.victims import Lab
from oleada_lab.firmware.image import BuiltImage, ImageSpec, build_small_image
from oleada_lab.operator import wait_until

MODEL: Final = "VX-240"
FACTORY: Final = "1.0.0"
SYSTEM_BYTES: Final = 256 * 1024
FAILING_SHARE: Final = 0.1
"""Of the boxes of each rollout, those whose media player does not take the new version."""
BOX_SETTINGS: Final[Mapping[str, int]] = {
    "health_s": 10,
    "connect_spread_s": 1,
    "trial_s": 120,
    "settle_s": 1,
    "player_s": 4,
    "download_bytes_per_s_max": 1024 * 1024,
}
ENROL_LIMIT_S: Final = 240.0


class Fleet:
    """The boxes of *lab*, what their media players do not take, and the images they get."""

    def __init__(self, lab: Lab, home: Path, boxes: int) -> None:
        self.lab = lab
        self._images = home / "images"
        self._images.mkdir(exist_ok=True)
        self.images: dict[str, str] = {}
        factory = self._build(FACTORY).path
        lab.boxes = [
            lab.operator.add_box(f"240C{number:07d}", MODEL, factory, settings=BOX_SETTINGS)
            for number in range(1, boxes + 1)
        ]

    def publish(self, version: str) -> None:
        """Build, sign and publish *version*, as soon as the server is up again."""
        wait_until(self._answers, ENROL_LIMIT_S, "the server answers again")
        built = self._build(version)
        self.lab.operator.publish(built.path, MODEL, version, {"en": f"What {version} brings."})

    def _build(self, version: str) -> BuiltImage:
        image = self._images / f"{version}.img"
        built = build_small_image(ImageSpec(MODEL, version), image, system_bytes=SYSTEM_BYTES)
        self.images[version] = built.sha256
        return built

    def enrol(self) -> None:
        """Switch every box on and wait until the server has heard them all.

        Raises:
            OperatorError: It has not in time.
        """
        for box in self.lab.boxes:
            box.power_on()
        wait_until(self._are_heard, ENROL_LIMIT_S, "all boxes have said hello")

    def make_fail(self, version: str, dice: Random) -> dict[str, str]:
        """Return by device id how each box must end; some are made to refuse *version*."""
        boxes = sorted(self.lab.boxes, key=lambda box: str(reading.device_id_of(box)))
        starts = {0, first_wave(len(boxes))}  # a wave without one good box never passes
        others = [at for at in range(len(boxes)) if at not in starts]
        failing = dice.sample(others, min(len(others), round(len(boxes) * FAILING_SHARE) or 1))
        planned = {}
        for at, box in enumerate(boxes):
            fails = [version] if at in failing else []
            (box.directory / "boot" / "hardware.toml").write_text(f"player_fails_on = {fails}\n")
            planned[str(reading.device_id_of(box))] = "rolled_back" if fails else "updated"
        return planned

    def _answers(self) -> bool:
        try:
            self.lab.operator.published()
        except (NoServerError, RefusedError):
            return False
        return True

    def _are_heard(self) -> bool:
        return sum(bool(row["version"]) for row in self.lab.operator.devices()) == len(
            self.lab.boxes
        )
