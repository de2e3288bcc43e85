"""Peers in virtual environments of their own: their pins are not ours, and none must slow another down.

python -m benchmarks.environments dbt
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = ("dlt", "dbt")


def python(peer: str) -> str:
    """The peer's interpreter; the first time, and when its pins changed, a minute goes into setting it up."""
    folder, requirements = ROOT / "build" / "bench" / peer, ROOT / "requirements" / f"{peer}.txt"
    interpreter, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"Setting up {peer} in {folder.relative_to(ROOT)} …", flush=True)
        subprocess.run([sys.executable, str(ROOT / "requirements" / "make_venv.py"), str(folder)], check=True)
        install = [interpreter, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*map(str, install), "-r", str(requirements)], check=True)
        stamp.write_text(requirements.read_text())
    return str(interpreter)


if __name__ == "__main__":
    print(python(sys.argv[1]))
