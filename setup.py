"""What pyproject.toml cannot say: the native core, and the guest kernels that travel in the wheel."""

import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithFirmware(build_py):
    """Builds the guest kernels before the Python files are collected."""

    def run(self) -> None:
        """Run `make -C firmware`; its output lies in the package and is collected as its data."""
        subprocess.run(
            ["make", "--no-print-directory", "-C", str(Path(__file__).parent / "firmware")], check=True
        )
        super().run()


setup(
    cffi_modules=["emulator/native/build.py:ffibuilder"],
    cmdclass={"build_py": BuildWithFirmware},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
