"""Imports point one way, nothing happens at import, and what needs no torch works without it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(path.stem for path in ROOT.glob("*.py"))
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for package in ("models", "utils")
    for path in (ROOT / package).rglob("*.py")
)


def imported(path: Path) -> set[str]:
    """Top-level names of all that a file imports, at its top or inside a function.

    What stands under `if TYPE_CHECKING:` is no import: only a type checker follows it.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not is_for_types(node)]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import, which hides where it points"
            names.add((node.module or "").split(".")[0])
    return names


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports_of(package: str) -> set[tuple[str, str]]:
    """(file, what it imports) of a package's files."""
    return {(p.name, name) for p in (ROOT / package).rglob("*.py") for name in imported(p)}


def python(*argv: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the project's root, without its warnings."""
    arguments = [sys.executable, "-W", "ignore", *(["-c", code] if code else []), *argv]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=120
    )


def test_models_import_torch_and_themselves_only():
    found = imports_of("models")
    assert ("crnn.py", "torch") in found  # the reading of imports sees something
    assert {name for _, name in found} <= {
        "models",
        "torch",
        "torchvision",
    } | sys.stdlib_module_names


def test_utils_import_no_script_and_no_test():
    found = imports_of("utils")
    assert ("checkpoint.py", "models") in found
    assert {(file, name) for file, name in found if name in {*SCRIPTS, "tests"}} == set()


def test_importing_a_module_prints_nothing():
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = python(*MODULES, code=code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


BLOCK_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        first, _, rest = name.partition(".")
        if first in ("torch", "torchvision") or first == "models" and rest not in ("", "config"):
            raise ModuleNotFoundError(f"{name} is blocked", name=first)

sys.meta_path.insert(0, NoTorch())
"""

WORK_WITHOUT_TORCH = """
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.config import ModelConfig
from utils.text.charset import preset_charset
from utils.checkpoint import Header
from utils.dataset import BadRows, check_pictures, open_dataset
from utils.text.alignment import text_log_probs
from utils.text.constraints import Constraints
from utils.text.decoding import greedy_decode
from utils.text.asked import Decoding
from utils.text.reading import Decoder
from utils.files import find_pictures, write_text
from utils.metrics import score_texts
from utils.options import option, parse
from utils.picture import ImageSpec, prepare, stack
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer

charset = preset_charset("digits")
folder = Path(tempfile.mkdtemp())
image, label = CaptchaRenderer(CaptchaRecipe("0123456789", "digits", 2, 2, 80, 32)).draw(0, 1)
image.save(folder / "1.png")
write_text(folder / "labels.txt", f"1.png\\t{label}\\n")
bad_rows = BadRows(0)
(row,) = check_pictures(open_dataset(folder, bad_rows).split("train"), bad_rows)
assert find_pictures(folder) == [row.path] and not bad_rows.sentences

images, widths = stack([prepare(row.path, ImageSpec(height=32, width=80))])
assert images.shape == (1, 1, 32, 80)
path = np.array([[0, *charset.encode(row.label[0]), 0, *charset.encode(row.label[1])]])
log_probs = np.log(np.eye(11)[path] * 0.9 + 0.1 / 11)
(ids,) = greedy_decode(log_probs, np.array([4]))
assert charset.decode(ids) == label
beam = Decoding("beam", constraints=Constraints(length="2"))
(reading,) = Decoder(charset, beam).read(log_probs, np.array([4]), characters=True)
assert reading.text == label and len(reading.characters) == 2
assert text_log_probs(log_probs, np.array([4]), [ids])[0] < 0
assert score_texts([(label, charset.decode(ids))]).exact == 1

@dataclass(frozen=True)
class Options:
    size: int = option(1, "a size")

assert parse(Options, ["--size", "2"], "").options.size == 2
header = Header(ModelConfig(num_classes=11), ImageSpec(), charset)
assert Header.from_json(header.to_json(), "name") == header
try:
    import torch
except ImportError as error:
    print(error)
"""


def test_what_a_deployed_reader_needs_works_without_torch():
    done = python(code=BLOCK_TORCH + WORK_WITHOUT_TORCH)
    assert (done.stdout, done.stderr) == ("torch is blocked\n", "")


RUN_HELP = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("heavy:", sorted({"torch", "torchvision", "matplotlib"} & set(sys.modules)))
"""


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_no_torch(script):
    done = python(f"{script}.py", code=RUN_HELP)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {script}.py")
    assert done.stdout.endswith("heavy: []\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_have_one_shape(script):
    """`main(argv=None) -> int`, called once at the end, through what prints a UserError."""
    tree = ast.parse((ROOT / f"{script}.py").read_text(encoding="utf-8"))
    (main,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main"]
    assert [argument.arg for argument in main.args.args] == ["argv"]
    assert [ast.unparse(default) for default in main.args.defaults] == ["None"]
    assert main.returns is not None
    assert ast.unparse(main.returns) == "int"
    assert ast.unparse(tree.body[-1]) == (
        "if __name__ == '__main__':\n    sys.exit(run_script(main))"
    )
