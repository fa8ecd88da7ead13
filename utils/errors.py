"""The error that a user can act on, and the one place where scripts print it."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

FULL_PACKAGES = ("torch", "torchvision", "captcha", "safetensors", "matplotlib")
"""Which an environment that only reads .onnx files may lack."""

FULL = (errno.ENOSPC, errno.EDQUOT)
MAKE_ROOM = (
    "make room there, and run it again (train.py with --resume auto, generate_data.py and "
    "inference.py with --resume)"
)
MEMORY_FULL = (
    "{} memory is full; give a smaller --batch_size, where the script has one (train.py goes on "
    "with --resume auto, and --accumulate keeps a step as large; inference.py --mode batch with "
    "--resume)"
)
CPU_FULL = "DefaultCPUAllocator: "
"""How torch begins to say that memory is full."""

DISK_ERRORS = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM)


class UserError(Exception):
    """One sentence: the value, what was expected, the fix. Scripts print it and exit with 2."""


def need(packages: Sequence[str], requirements: str) -> None:
    """UserError that names the line which installs what is missing."""
    for name in packages:
        try:
            importlib.import_module(name)
        except ImportError:
            raise UserError(
                f"the package {name} is missing; run pip install -r {requirements}"
            ) from None


def first_line(error: Exception) -> str:
    """What an error of others says, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def script_name() -> str:
    return Path(sys.argv[0]).name or "python"


def tell(sentence: str) -> None:
    """An error, on stderr, under the name of the script."""
    print(f"{script_name()}: error: {sentence}", file=sys.stderr)


def run_script(main: Callable[[], int]) -> int:
    """Run a script's body; a UserError becomes its sentence on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console in cp1252 lacks most of the texts,
            stream.reconfigure(errors="backslashreplace", line_buffering=True)  # and logs are live
    try:
        return main()
    except UserError as error:
        for sentence in str(error).splitlines():
            tell(sentence)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in FULL_PACKAGES:
            raise
        tell(
            f"the package {error.name} is missing, and this needs it; run pip install -r "
            "requirements.txt"
        )
        return 2
    except KeyboardInterrupt:
        print(f"\n{script_name()}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in DISK_ERRORS and error.filename is None:
            raise
        where = f"cannot use {error.filename}" if error.filename else "cannot write"
        tell(f"{where}: {error.strerror}{f'; {MAKE_ROOM}' if error.errno in FULL else ''}")
        return 2
    except (MemoryError, RuntimeError) as error:
        on_gpu = type(error).__name__ == "OutOfMemoryError"  # torch's, which is not imported here
        if not on_gpu and not isinstance(error, MemoryError) and CPU_FULL not in str(error):
            raise
        tell(MEMORY_FULL.format("the GPU's" if on_gpu else "the machine's"))
        return 2
