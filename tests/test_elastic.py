"""A machine that is lost and one that comes back: run with `python -m pytest -m long`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from test_kills import ROOT, children_of
from test_long import make_data
from test_serve_process import free_port

from utils.synth.captcha import CaptchaRecipe

pytestmark = pytest.mark.long
FLAGS = ["--img_width", "80", "--img_height", "32", "--fresh", "1", "--epoch_size", "1600"]
FLAGS += ["--num_epochs", "12", "--batch_size", "16", "--early_stop", "0", "--device", "cpu"]
FLAGS += ["--num_workers", "0", "--num_threads", "1", "--save_every_steps", "20"]

EPOCH = r".*^epoch \d"


class Machine:
    """torchrun of one of up to two, on this one."""

    def __init__(self, log: Path, port: int, is_host: bool, flags: list[str]):
        launch = ["--nnodes", "1:2", "--nproc_per_node", "1", "--max_restarts", "20",
                  "--rdzv_backend", "c10d", "--rdzv_id", "elastic", "--local_addr", "127.0.0.1",
                  "--rdzv_endpoint", f"127.0.0.1:{port}",
                  "--rdzv_conf", f"is_host={is_host:d},last_call_timeout=5"]  # fmt: skip
        self.log = log
        with log.open("w") as file:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", *launch, "train.py", *flags],
                cwd=ROOT, stdout=file, stderr=subprocess.STDOUT,
                env=os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
            )  # fmt: skip

    def told(self) -> str:
        return self.log.read_text("utf-8")

    def lose(self) -> None:
        for process in (self.agent.pid, *children_of(self.agent.pid)):
            with suppress(ProcessLookupError):  # a rank ends by itself, when another has
                os.kill(process, signal.SIGKILL)
        self.agent.wait()


def wait_for(pattern: str, *machines: Machine) -> None:
    """Until one of them tells it: rank 0 does, which may be any."""
    deadline = time.monotonic() + 240
    while not any(re.search(pattern, each.told(), re.DOTALL | re.MULTILINE) for each in machines):
        assert all(each.agent.poll() is None for each in machines)
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_machine_goes_and_another_comes(tmp_path: Path) -> None:
    recipe = CaptchaRecipe("0123456789", "digits", 2, 3, 80, 32)
    data = make_data(tmp_path / "data", recipe, train=64, val=64)
    flags = [*FLAGS, "--data_root", str(data), "--save_dir", str(tmp_path / "run")]
    flags += ["--resume", "auto"]
    port = free_port()
    stays = Machine(tmp_path / "stays.log", port, True, flags)
    goes = Machine(tmp_path / "goes.log", port, False, flags)
    machines = [stays, goes]
    try:
        wait_for(f"16 on each of 2 ranks{EPOCH}", stays, goes)
        goes.lose()
        wait_for(f"have 16 now{EPOCH}", stays)
        machines.append(comes := Machine(tmp_path / "comes.log", port, False, flags))
        wait_for(f"have 32 now{EPOCH}", stays, comes)
        assert [stays.agent.wait(240), comes.agent.wait(240)] == [0, 0]
    finally:
        for each in machines:
            each.agent.terminate()  # it ends its rank too
            each.agent.wait()
    told = "".join(each.told() for each in machines)
    epochs = re.findall(r"^epoch (\d+)/12 ", told, re.MULTILINE)
    assert set(map(int, epochs)) == set(range(1, 13))
