"""A machine that is lost and one that comes back: run with `python -m pytest -m long`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_kills import ROOT, children_of
from test_long import make_data

from utils.synth.captcha import CaptchaRecipe

pytestmark = pytest.mark.long
FLAGS = ["--img_width", "80", "--img_height", "32", "--fresh", "1", "--epoch_size", "1600"]
FLAGS += ["--num_epochs", "6", "--batch_size", "16", "--early_stop", "0", "--device", "cpu"]
FLAGS += ["--num_workers", "0", "--num_threads", "1", "--save_every_steps", "20"]


class Machine:
    """torchrun of one of up to two, on this one."""

    def __init__(self, log: Path, is_host: bool, flags: list[str]):
        launch = ["--nnodes", "1:2", "--nproc_per_node", "1", "--max_restarts", "20",
                  "--rdzv_backend", "c10d", "--rdzv_id", "elastic", "--local_addr", "127.0.0.1",
                  "--rdzv_endpoint", "127.0.0.1:29611",
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

    def wait_for(self, is_told: Callable[[str], object]) -> None:
        deadline = time.monotonic() + 240
        while not is_told(self.told()):
            assert self.agent.poll() is None, self.told()
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.2)

    def lose(self) -> None:
        for process in (self.agent.pid, *children_of(self.agent.pid)):
            os.kill(process, signal.SIGKILL)
        self.agent.wait()


def test_a_machine_goes_and_another_comes(tmp_path: Path) -> None:
    recipe = CaptchaRecipe("0123456789", "digits", 2, 3, 80, 32)
    data = make_data(tmp_path / "data", recipe, train=64, val=64)
    flags = [*FLAGS, "--data_root", str(data), "--save_dir", str(tmp_path / "run")]
    flags += ["--resume", "auto"]
    stays = Machine(tmp_path / "stays.log", True, flags)
    goes = Machine(tmp_path / "goes.log", False, flags)
    machines = [stays, goes]
    try:
        stays.wait_for(lambda told: "epoch 1/6 " in told)
        assert "a step: 32 pictures, 16 on each of 2 ranks" in stays.told()
        goes.lose()
        stays.wait_for(lambda told: re.search("have 16 now.*epoch", told, re.DOTALL))
        machines.append(Machine(tmp_path / "comes.log", False, flags))
        stays.wait_for(lambda told: re.search("have 16 now.*have 32 now.*epoch", told, re.DOTALL))
        assert [stays.agent.wait(240), machines[-1].agent.wait(240)] == [0, 0]
    finally:
        for each in machines:
            each.agent.terminate()  # it ends its rank too
            each.agent.wait()
    epochs = re.findall(r"^epoch (\d+)/6 ", stays.told() + machines[-1].told(), re.MULTILINE)
    assert sorted(map(int, epochs)) == list(range(1, 7))
