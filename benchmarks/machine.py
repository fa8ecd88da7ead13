"""The lines that every table opens with."""

from __future__ import annotations

import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

from utils.device import usable_cores


def machine_line(*packages: str) -> str:
    """Processor, cores in use, versions (torch's, and those of more packages), date."""
    import torch

    info = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (info.read_text(encoding="utf-8").splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    processor = names[0] if names else platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    more = "".join(f", {package} {version(package)}" for package in packages)
    return (
        f"{processor}, {usable_cores()} cores{gpu}; Python {platform.python_version()}, "
        f"torch {torch.__version__}{more}; {date.today()}"
    )
