"""Make the virtual environment that the Makefile works in: `python3 make_venv.py .venv`.

Debian's python3 comes without `ensurepip`; a pip that the system already has
does as well. Runs on any Python 3, so that an old one hears what is wrong.
"""

import subprocess
import sys
import venv
from pathlib import Path

NO_PIP = """This Python can make no virtual environment with pip in it: it lacks `ensurepip`.
On Debian and Ubuntu: apt-get install python3-venv"""


def main(folder):
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever starts this may well have an older one)
        return f"Assay needs Python 3.11 or newer, not {sys.version.split()[0]}. Try: make PYTHON=python3.12"
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return with_the_systems_pip(folder)
    return venv.create(folder, with_pip=True, symlinks=True)


def with_the_systems_pip(folder):
    """Let the pip of this Python install itself into an environment that has none."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = Path(folder) / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "pip"]
    if subprocess.call(install):
        python.unlink()  # so that the next `make` tries again
        return NO_PIP
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
