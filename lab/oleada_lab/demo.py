"""``oleada-lab demo``: a small operator with twelve boxes, and a rollout that moves.

Everything is real but the size: the broker, the server's processes, the signatures,
the agents. A second start carries on where the first one was stopped, because each
step of ``prepare`` looks first whether it has been done.
"""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from oleada_lab.boxes import Box, power_off_all
from oleada_lab.clock import sleep_s
from oleada_lab.errors import OperatorError
from oleada_lab.firmware.image import ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places, wait_until

VAR: Final = Path("var")
MODELS: Final = {"VX-410": "Salon 4K", "VX-240": "Estudio HD"}
BOXES_PER_MODEL: Final = 6
FACTORY: Final = "1.0.0"
NEXT: Final = "1.1.0"
WATCH_S: Final = 1.0
ADMIN: Final = "admin"
SYSTEM_BYTES: Final = 6 * 1024 * 1024
HEALTH_S: Final = 8
SOAK_S: Final = 10
TRIAL_S: Final = 15
WAVES: Final = (("Canary", 1), ("Early", 2), ("Everyone", 3))
"""Name and number of boxes: small enough to see each one, in three steps."""
ZONES: Final = ("Europe/Madrid", "Europe/Prague", "Atlantic/Canary")
NOTES: Final = {
    "en": "Faster channel changes; fixes sound that ran ahead of the picture.",
    "es": "Cambio de canal más rápido; corrige el sonido adelantado a la imagen.",
    "cs": "Rychlejší přepínání kanálů; opravuje zvuk, který předbíhal obraz.",
}
FACTORY_NOTES: Final = {"en": "What boxes leave the factory with."}
PLAYER_FAILS: Final = ("VX-410", 3)
"""The media player of this box never gets ready on the new image: it rolls back, and the
rollout of its model stops itself in the second wave, before it reaches everyone."""
OPEN_HOUSE: Final = {"second_factor": "offered"}
"""A newcomer with no phone at hand gets in; the console offers what a real one would require."""
Say = Callable[[str], None]


def places(var: Path) -> Places:
    """Return where the demo lies under *var*; the server where ``oleada`` looks by itself."""
    return Places(var / "oleada", var / "demo-signer", var / "demo-boxes", var / "demo-images")


def run(var: Path, *, fresh: bool, say: Say) -> int:
    """Start everything, say where to look, and wait for Ctrl-C; return the exit status.

    Args:
        var: The folder for everything that changes.
        fresh: Begin anew; what an earlier demo left there goes.
        say: Prints a line for the newcomer.

    Raises:
        OperatorError: Something could not be started; says what and where to read on.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored
        signal.signal(number, signal.default_int_handler)
    where = places(var)
    if fresh:
        for folder in (where.data_dir, where.signer_dir, where.boxes_dir, where.images_dir):
            shutil.rmtree(folder, ignore_errors=True)
    operator = Operator(where, OPEN_HOUSE)
    boxes: list[Box] = []
    say("Starting broker, database, web, worker and scheduler …")
    try:
        with operator.server:
            try:
                prepare(operator, boxes, say)
                _welcome(operator, say)
                while True:
                    _still_there(operator, boxes)
                    sleep_s(WATCH_S)
            finally:
                _do_not_interrupt()
                say("Switching off the boxes and stopping the server …")
                power_off_all(boxes)
    except KeyboardInterrupt:
        pass
    say("Stopped; no process is left. The next start carries on from here.")
    return 0


def prepare(operator: Operator, boxes: list[Box], say: Say) -> None:
    """Do whatever of the demo has not been done yet; *boxes* gets every box, switched on.

    Raises:
        OperatorError: A step failed; says which.
    """
    images = build_images(operator.images_dir)
    operator.establish(list(MODELS), waves_by_people=True)
    for model in MODELS:
        operator.publish(
            images[model, FACTORY],
            model,
            FACTORY,
            {"en": "What boxes leave the factory with."},
        )
        operator.publish(images[model, NEXT], model, NEXT, NOTES)
    say("Switching on twelve boxes …")
    for model in MODELS:
        for number in range(1, BOXES_PER_MODEL + 1):
            box = _box(operator, model, number, images[model, FACTORY])
            boxes.append(box)
            box.power_on()
    wait_until(lambda: _enrolled(operator) == len(boxes), 120, "all boxes have said hello")
    for model in MODELS:
        _start_rollout(operator, model, say)


def build_images(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the demo's images by model and version; builds those that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for model in MODELS:
        for version in (FACTORY, NEXT):
            out = folder / f"{model}-{version}.img"
            if not out.exists():  # one that is published must not change
                build_small_image(ImageSpec(model, version), out, system_bytes=SYSTEM_BYTES)
            found[model, version] = out
    return found


def _box(operator: Operator, model: str, number: int, factory: Path) -> Box:
    kind = model.removeprefix("VX-")
    settings = {"health_s": HEALTH_S, "connect_spread_s": 2, "trial_s": TRIAL_S}
    return operator.add_box(
        f"{kind}C26{number:05d}",
        model,
        factory,
        zone=ZONES[number % len(ZONES)],
        mac=f"02:00:5E:{kind[0]}{kind[1]}:00:{number:02X}",
        settings=settings,
        player_fails_on=(NEXT,) if (model, number) == PLAYER_FAILS else (),
    )


def _enrolled(operator: Operator) -> int:
    return sum(1 for device in operator.devices() if device["version"])


def _start_rollout(operator: Operator, model: str, say: Say) -> None:
    client = operator.server.client
    rows = client.get("/api/v1/rollouts")["rollouts"]
    numbers = [str(row["id"]) for row in rows if row["hardware_model"] == model]
    if not numbers:
        made: dict[str, Any] = client.post("/api/v1/rollouts", plan(operator, model))
        numbers = [made["id"]]
        client.post(f"/api/v1/rollouts/{made['id']}/start")
        say(f"Rollout {made['id']} of {model} {NEXT} has started.")
    # The first of the model alone: the newcomer signs further ones (docs/tutorial).
    first = numbers[-1]
    if client.get(f"/api/v1/rollouts/{first}")["missing_signatures"]:
        operator.sign_waves(first)
        say(f"Two approvers have signed its waves, with keys in {operator.signer.folder}.")


def plan(operator: Operator, model: str) -> dict[str, Any]:
    """Return the plan of the demo's rollout of *model*, as REST takes it."""
    devices = sorted(operator.devices(), key=lambda device: str(device["serial"]))
    ids = [device["id"] for device in devices if device["hardware_model"] == model]
    waves = []
    for name, count in WAVES:
        here, ids = ids[:count], ids[count:]
        waves.append(
            {
                "name": name,
                "device_ids": here,
                "soak_s": SOAK_S,
                "sample_min": 1,
                "success_share_min": 0.6,
                "failed_share_max": 0.4,
                "silent_share_max": 0.4,
            }
        )
    return {
        "hardware_model": model,
        "version": NEXT,
        "name": f"{MODELS[model]} {NEXT}",
        "waves": waves,
        "spread_s": 5,
        "silent_after_s": 600,
        "evidence": None,  # so few boxes, in so few minutes, prove nothing
    }


def _welcome(operator: Operator, say: Say) -> None:
    link = sign_in_link(operator)
    say("")
    say(f"  Console   {operator.server.config.console_url}")
    say(f"  Sign in   {link}   (once, within the hour)")
    say("")
    say("  Look at Rollouts: each wave must prove itself before the next one opens. The one of")
    say(f"  VX-240 reaches everyone; that of VX-410 meets a box on which {NEXT} does not play,")
    say("  and stops itself before the last wave.")
    say("  Ctrl-C stops everything; `make run FRESH=1` starts anew.")


def sign_in_link(operator: Operator) -> str:
    """Return a fresh one-time link of the demo's administrator, who is added at first."""
    people = json.loads(operator.server.run("user", "list", "--json"))
    words = ["user", "link", ADMIN]
    if ADMIN not in {person["name"] for person in people}:
        words = ["user", "add", ADMIN, "--full-name", "Demo administrator", "--role", "admin"]
    return operator.server.run(*words).split()[-1]


def _still_there(operator: Operator, boxes: list[Box]) -> None:
    if not operator.server.is_running:
        raise OperatorError(f"The server has ended; read {operator.server.data_dir / 'up.log'}.")
    for box in boxes:
        if not box.is_on:
            box.power_on()


def _do_not_interrupt() -> None:
    """Let nobody cut the clearing away short: what is left would have to be found."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
