"""Fuzzing the readers of files for long, guided by coverage (Linux; pip install -r
requirements-fuzz.txt):

python tests/fuzz/run.py                     20,000 cases and more of each target, a million in all
python tests/fuzz/run.py --targets labels charset --cases 100000
python tests/fuzz/run.py --targets pth --one FILE         a case that failed, once more

Every target runs in a process of its own, which may hold 2 GB and take 20 s for a case. A case that
fails is kept in output/fuzz/.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from utils.errors import run_script  # noqa: E402
from utils.options import option, parse  # noqa: E402

NAMES = ("picture", "labels", "lmdb", "pth", "safetensors", "header", "onnx", "recipe", "charset",
         "lm", "description")  # fmt: skip
MOST_MB = 2048
CASES = 20_000


@dataclass(frozen=True)
class Options:
    targets: tuple[str, ...] = option(NAMES, "what to fuzz", NAMES)
    cases: int = option(None, f"of each (default: {CASES:,}, and more of quick ones)", above=0)
    seed: int = option(1, "of the mutations", least=1)
    one: str | None = option(None, "a file with one case for the one target")
    inside: bool = option(False, "in this process: how the command calls itself")
    config: str | None = option(None, "TOML recipe that presets flags")


def fuzz(name: str, cases: int, seed: int) -> None:
    """Does not come back: the fuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["utils", "PIL", "zipfile", "json", "tomllib"]):
        import guard
        import targets

    target = targets.TARGETS[name]
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(target.seeds()):
            (corpus / str(number)).write_bytes(data)
        folder = Path(place) / "case"

        def one(data: bytes) -> None:
            folder.mkdir()
            try:
                guard.run(target, data, folder)
            finally:
                shutil.rmtree(folder)

        kept = ROOT / "output" / "fuzz" / f"{name}-"
        kept.parent.mkdir(parents=True, exist_ok=True)
        flags = [f"-runs={cases}", f"-seed={seed}", f"-rss_limit_mb={MOST_MB}", "-timeout=20",
                 f"-artifact_prefix={kept}", "-max_len=40000", "-print_final_stats=1"]  # fmt: skip
        atheris.Setup([sys.argv[0], *flags, str(corpus)], one)
        atheris.Fuzz()


def again(name: str, path: Path) -> int:
    import guard
    import targets

    with tempfile.TemporaryDirectory() as folder:
        guard.run(targets.TARGETS[name], path.read_bytes(), Path(folder))
    print(f"{path}: {name} reads it, or tells what is wrong with it")
    return 0


def main(argv: list[str] | None = None) -> int:
    options: Options = parse(Options, argv, __doc__ or "").options
    if options.one:
        return again(options.targets[0], Path(options.one))
    import targets

    if options.inside:
        fuzz(options.targets[0], options.cases, options.seed)
    print("| target | cases | seconds | most MB | |\n| --- | --- | --- | --- | --- |", flush=True)
    failed = 0
    for name in options.targets:
        cases = options.cases or CASES * targets.TARGETS[name].share
        words = ["--targets", name, "--cases", str(cases), "--seed", str(options.seed), "--inside"]
        started = time.monotonic()
        done = subprocess.run([sys.executable, __file__, *words], stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, encoding="utf-8",
                              errors="replace")  # fmt: skip
        told = dict(line.removeprefix("stat::").split(":", 1) for line in done.stderr.splitlines()
                    if line.startswith("stat::"))  # fmt: skip
        run = int(told.get("number_of_executed_units", 0))
        most = told.get("peak_rss_mb", "?").strip()
        ok = done.returncode == 0 and run >= cases
        failed += not ok
        print(f"| {name} | {run:,} | {time.monotonic() - started:.0f} | {most} | "
              f"{'' if ok else 'FAILED'} |", flush=True)  # fmt: skip
        if not ok:
            print(done.stderr[-3000:], file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_script(main))
