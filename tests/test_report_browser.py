"""The report in a real browser, without a network: `pytest -m browser`, with Chromium installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from lively import write_checkpoint
from PIL import Image

import inference

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]  # fmt: skip

LOOK = """<script>
const images = [...document.images];
const seen = {
  loaded: images.filter(image => image.complete && image.naturalWidth > 0).length,
  images: images.length,
  cases: document.querySelectorAll(".case").length,
  wide: document.documentElement.scrollWidth > window.innerWidth,
  asked: performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).length,
};
document.title = JSON.stringify(seen);
</script>"""


@pytest.fixture
def page(tiny_data: Path, tmp_path: Path) -> Path:
    model = write_checkpoint(tmp_path / "m.pth")
    words = ["--mode", "evaluate", "--model_path", str(model), "--data_root", str(tiny_data)]
    words += ["--device", "cpu", "--num_threads", "1", "--report", str(tmp_path / "a report")]
    assert inference.main(words) == 0
    return tmp_path / "a report" / "report.html"


def browse(page: Path, profile: Path, *flags: str) -> str:
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert browser, f"none of {', '.join(NAMES)} is installed: apt install chromium"
    result = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("width", [1200, 500])
def test_it_shows_everything_and_asks_for_nothing(page: Path, tmp_path: Path, width: int):
    looked_at = page.with_name("looked at.html")
    text = page.read_text(encoding="utf-8").replace("</body>", f"{LOOK}</body>")
    looked_at.write_text(text, encoding="utf-8")
    shown = browse(looked_at, tmp_path / "profile", f"--window-size={width},900", "--dump-dom")
    found = re.search(r"<title>(.*?)</title>", shown)
    assert found is not None
    assert found[1].replace("&quot;", '"') == (
        '{"loaded":11,"images":11,"cases":6,"wide":false,"asked":0}'
    )


def test_it_is_drawn(page: Path, tmp_path: Path):
    shot = tmp_path / "shot.png"
    browse(page, tmp_path / "profile", "--window-size=1200,2000", f"--screenshot={shot}")
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.shape == (2000, 1200)
    assert pixels.std() > 10
