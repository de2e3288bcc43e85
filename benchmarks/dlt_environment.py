"""dlt in a virtual environment of its own: its pins are not ours, and neither must slow the other down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "bench" / "dlt"
REQUIREMENTS = ROOT / "requirements" / "dlt.txt"


def python() -> str:
    """Its interpreter; the first time, and when the pins changed, a minute goes into setting it up."""
    interpreter, stamp = FOLDER / "bin" / "python", FOLDER / "installed"
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        print(f"Setting up dlt in {FOLDER.relative_to(ROOT)} …", flush=True)
        subprocess.run([sys.executable, str(ROOT / "requirements" / "make_venv.py"), str(FOLDER)], check=True)
        install = [interpreter, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*map(str, install), "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(REQUIREMENTS.read_text())
    return str(interpreter)
