"""Kinds of values that options of the lab's commands take; each refusal says what is expected."""

import argparse
from collections.abc import Callable
from pathlib import Path


def whole(low: int, high: int = 1_000_000) -> Callable[[str], int]:
    """Return what reads a whole number from *low* to *high*, both of them included."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text} is not {low} to {high}")
        return number

    return read


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Return what reads a number of seconds from *low* to *high*."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:  # neither is what is no number
            raise argparse.ArgumentTypeError(f"{text} is not {low:g} to {high:g} seconds")
        return number

    return read


def to_write(text: str) -> Path:
    """Return the path of a file that is there, or may be made."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent} to write into")
    return path


def folder(text: str) -> Path:
    """Return the path of a folder that is there, or may be made."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path
