"""Read pictures with the model beside this file: python reader.pyz PICTURE [PICTURE ...]

Prints a line for each: its name, the text, and the probability of the text. From Python:

    import sys; sys.path.insert(0, "reader.pyz")
    from utils.recognizer import Recognizer
    print(Recognizer.load("model.onnx").read(["picture.png"])[0].text)
"""

from __future__ import annotations

import sys
from pathlib import Path

from utils.errors import UserError, run_script
from utils.recognizer import Recognizer


def main() -> int:
    """0; 1 where a picture cannot be read; 2 for what is told in a sentence."""
    pictures = sys.argv[1:]
    if not pictures or pictures[0] in ("-h", "--help"):
        print((__doc__ or "").strip())
        return 0 if pictures else 2
    model = Path(sys.argv[0]).resolve().parent / "model.onnx"
    if not model.is_file():
        raise UserError(f"{model}: the model is gone; keep it beside this file")
    found = Recognizer.load(model).read(pictures)
    for name, prediction in zip(pictures, found, strict=True):
        if prediction.error:
            print(f"{name}: {prediction.error}", file=sys.stderr)
        else:
            print(f"{name}\t{prediction.text}\t{prediction.confidence:.4f}")
    return int(any(prediction.error for prediction in found))


if __name__ == "__main__":
    sys.exit(run_script(main))
