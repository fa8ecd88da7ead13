"""Reading with an .onnx file: without torch, and what is wrong with a file or a wish."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lively import scribble, write_checkpoint
from test_architecture import BLOCK_TORCH, python

import inference
from utils.checkpoint import METADATA_KEY, load_checkpoint
from utils.errors import UserError
from utils.export.onnx_file import add_header, write_onnx
from utils.networks import OnnxNetwork
from utils.recognizer import Recognizer
from utils.text.asked import Decoding
from utils.text.charset import preset_charset
from utils.text.reading import Decoder


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """best.onnx beside the best.pth that it was made from."""
    folder = tmp_path / "a folder"
    checkpoint = load_checkpoint(write_checkpoint(folder / "best.pth", spread=3))
    write_onnx(checkpoint, folder / "best.onnx", [scribble(0)])
    return folder / "best.onnx"


READ_ALL = """
import sys
import inference
from utils.errors import run_script
words = ["--model_path", sys.argv[1]]
assert inference.main([*words, "--image_path", sys.argv[2], "--length", "3"]) == 0
folder, output = sys.argv[3:]
assert inference.main([*words, "--mode", "batch", "--image_dir", folder, "--output_path", output,
                       "--decoder", "beam"]) == 0
assert inference.main([*words, "--mode", "evaluate", "--data_root", folder]) == 0
assert "torch" not in sys.modules
sys.argv = ["inference.py", "--model_path", sys.argv[1].replace(".onnx", ".pth"), *words[2:]]
assert run_script(lambda: inference.main([*sys.argv[1:], "--image_path", folder + "/000.png"])) == 2
"""


def test_inference_reads_without_torch(exported: Path, tiny_data: Path, tmp_path: Path):
    """Also under constraints and with the beam; a checkpoint is told to need torch."""
    folder, output = tiny_data / "test", tmp_path / "read.tsv"
    done = python(str(exported), str(folder / "000.png"), str(folder), str(output),
                  code=BLOCK_TORCH + READ_ALL)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the package torch is missing" in done.stderr
    pictures = sorted(folder.glob("*.png"))
    decoder = Decoder(preset_charset("digits"), Decoding("beam"))
    wanted = Recognizer.load(exported, "cpu", 1).read(pictures, decoder=decoder)
    rows = [line.split("\t") for line in output.read_text("utf-8").splitlines()]
    texts = [row[1] for row in rows if row[0].endswith(".png")]
    assert texts == [prediction.text for prediction in wanted]


def test_the_command_line_reads_an_onnx_file_as_its_checkpoint(
    exported: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
):
    printed = []
    for path in (exported, exported.with_suffix(".pth")):
        picture = tiny_data / "test" / "001.png"
        words = ["--model_path", str(path), "--image_path", str(picture)]
        assert inference.main([*words, "--device", "cpu", "--num_threads", "1"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_threads_reach_the_session(exported: Path):
    network = OnnxNetwork(exported, "cpu", 3)
    assert network._session.get_session_options().intra_op_num_threads == 3


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file(exported: Path, share: float):
    data = exported.read_bytes()
    exported.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        UserError, match=r"best\.onnx: (truncated or damaged|an ONNX file, but not)"
    ):
        Recognizer.load(exported, "cpu")


def test_a_foreign_file_and_a_damaged_header(exported: Path):
    import onnx

    model = onnx.load(str(exported))
    del model.metadata_props[:]
    onnx.save(model, str(exported))
    with pytest.raises(UserError, match=r"an ONNX file, but not one that export\.py"):
        Recognizer.load(exported, "cpu")
    onnx.helper.set_model_props(model, {METADATA_KEY: "{}"})
    onnx.save(model, str(exported))
    with pytest.raises(UserError, match="its header is damaged or foreign"):
        Recognizer.load(exported, "cpu")
    add_header(exported, load_checkpoint(exported.with_suffix(".pth")).header)
    assert Recognizer.load(exported, "cpu").read([scribble(1)])


def test_devices_and_providers_that_are_not_there(exported: Path, capsys):
    with pytest.raises(UserError, match="--device mps: an .onnx file runs on cpu or cuda"):
        Recognizer.load(exported, "mps")
    with pytest.raises(UserError, match="this onnxruntime has .*CPUExecutionProvider"):
        Recognizer.load(exported, "cpu", provider="TensorrtExecutionProvider")
    with pytest.raises(UserError, match="--device cuda: this onnxruntime has"):
        Recognizer.load(exported, "cuda")
    picture = exported.with_name("picture.png")
    scribble(1).save(picture)
    words = ["--image_path", str(picture), "--provider", "CPUExecutionProvider"]
    assert inference.main(["--model_path", str(exported), *words]) == 0
    assert capsys.readouterr().err == ""
    assert inference.main(["--model_path", str(exported.with_suffix(".pth")), *words]) == 0
    assert "--provider has no effect without an .onnx model" in capsys.readouterr().err


def test_without_onnxruntime(exported: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-deploy\.txt"):
        Recognizer.load(exported, "cpu")
