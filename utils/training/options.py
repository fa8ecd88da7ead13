"""The flags of train.py: what they mean, and what does not go together."""

from __future__ import annotations

from dataclasses import dataclass

from models.registry import BACKBONES, NECKS
from utils.changes import LEVELS
from utils.device import DEVICES
from utils.options import option
from utils.picture import DIRECTIONS
from utils.synth.captcha import RENDERERS
from utils.text.charset import PRESETS
from utils.training.clashes import IMAGENET, clashes
from utils.training.schedule import MONITORS, OPTIMIZERS, SCHEDULERS

NAMES = tuple(BACKBONES)
GRAD_COMMS = ("fp32", "bf16", "powersgd", "local_sgd")
SCENE_TEXT = ", ".join(name for name in NAMES if "img_height" in BACKBONES[name].defaults)


@dataclass(frozen=True)
class TrainOptions:
    config: str | None = option(
        None, "TOML recipe that presets flags, such as recipes/classic.toml"
    )
    data_root: str = option(
        "./data",
        "data set with train/ and val/, each with labels.txt, an LMDB, or several of these",
    )
    select: str | None = option(
        None, "train on the sets in these folders below train/ only, such as MJ-ST"
    )
    batch_ratio: str | None = option(
        None, "how much of each batch comes from each of --select, such as 0.5-0.5 (default: equal)"
    )
    save_dir: str = option("./checkpoints", "where checkpoints, history and pictures go")
    save_format: str = option(
        "pth", "format of best.*; last is always .pth", ("pth", "safetensors")
    )
    backbone: str = option("light", "network that looks at the picture", NAMES)
    hidden_size: int = option(
        None, "the neck's units a direction (default: 256; light: 96)", above=0
    )
    num_layers: int = option(None, "the neck's layers (default: 2; light: 1)", above=0)
    dropout: float = option(0.1, "dropout between the neck's layers", least=0, most=1)
    neck: str = option("bilstm", "what looks at the columns together", tuple(NECKS))
    head_size: int = option(
        0,
        "features that the head reads (0: all of the neck's); fewer make files of large charsets "
        "small",
        least=0,
    )
    img_height: int = option(
        None,
        f"height that pictures are scaled to (default: 60; {SCENE_TEXT}, lines: 32)",
        least=16,
    )
    img_width: int = option(
        None,
        f"width that pictures are scaled to (default: 160; {SCENE_TEXT}: 100; lines: the set's)",
        least=16,
    )
    keep_ratio: bool | None = option(
        None,
        "pictures keep their ratio, up to --img_width, in batches of like widths where they come "
        "from one set (default: off, or as --init_from has it)",
    )
    direction: str = option(
        None,
        "of the text; vertical: upright characters, top to bottom (default: as --init_from, or the "
        "set of lines, has it; else horizontal)",
        DIRECTIONS,
    )
    img_channels: int = option(None, "1 grey, 3 RGB (default: 1; networks of torchvision: 3)")
    charset: str | None = option(
        None, "preset charset (default: the data set's own, or what occurs)", tuple(PRESETS)
    )
    charset_file: str | None = option(None, "charset from a file, one character a line")
    alike: str | None = option(
        None, "characters that count as one: groups such as 0oO,1lI,cC; the first stands for all"
    )
    label_case: str = option(
        "keep", "both cases of a letter count as one, written so", ("keep", "lower", "upper")
    )
    label_drop: bool | None = option(
        None,
        "labels lose the characters that the charset has not got, counted and told (default: off, "
        "or as --init_from has it)",
    )
    label_nfc: bool | None = option(
        None,
        "labels in Unicode's form NFC, in which é is always one character (default: off, or as "
        "--init_from has it)",
    )
    pretrained: bool = option(True, f"ImageNet weights, for backbones that have them ({IMAGENET})")
    pretrained_path: str | None = option(
        None, "backbone weights from a torchvision state_dict file"
    )
    init_from: str | None = option(None, "start from the weights of this checkpoint (fine-tuning)")
    charset_change: str = option(
        "fail", "when labels need characters that --init_from lacks", ("fail", "extend", "replace")
    )
    freeze_backbone: str = option(
        "none", "stages that keep their weights", ("none", "early", "partial", "all")
    )
    unfreeze_every: int | None = option(
        None, "epochs after which one more stage of --freeze_backbone learns, the last one first",
        above=0,
    )  # fmt: skip
    old_root: str | None = option(
        None, "set that --init_from was trained on: scored before and after, and for --replay"
    )
    replay: float = option(
        0.0, "share of each batch that comes from --old_root, so that less is forgotten", least=0,
        most=0.9,
    )  # fmt: skip
    backbone_lr_ratio: float = option(
        0.1, "learning rate of loaded backbone stages, times --lr", least=0, most=1
    )
    lr: float = option(None, "peak learning rate (default: 1e-3; light: 3e-3)", above=0)
    batch_size: int = option(
        None, "pictures that go through the network together, on each rank (default: 32)", above=0
    )
    accumulate: int = option(1, "such batches of a step, whose gradients are added up", above=0)
    scale_lr: str = option(
        "none", "--lr grows with the batches of a step, over all ranks", ("none", "sqrt", "linear")
    )
    sync_batchnorm: bool = option(
        False, "BatchNorm's means over the pictures of all ranks, on GPUs under torchrun"
    )
    grad_comm: str = option(
        "fp32",
        "how ranks under torchrun share gradients: whole, in 16 bits, as small matrices, or hardly "
        "(docs/distributed.md)",
        GRAD_COMMS,
    )
    powersgd_rank: int = option(2, "of the matrices of --grad_comm powersgd", above=0)
    average_every: int = option(8, "steps between two means of --grad_comm local_sgd", above=0)
    save_every_steps: int | None = option(
        None, "also write last.pth after so many steps (default: after each epoch)", above=0
    )
    num_epochs: int = option(100, "passes over the training split", above=0)
    optimizer: str = option(
        None,
        "muon: orthogonal steps for all but the head (default: adamw; light: muon)",
        OPTIMIZERS,
    )
    weight_decay: float = option(0.01, "of matrices and convolutions", least=0)
    scheduler: str = option("onecycle", "course of the learning rate", SCHEDULERS)
    warmup: float = option(0.1, "share of all steps in which the rate rises", least=0, most=1)
    step_size: int = option(20, "epochs between two drops of --scheduler step", above=0)
    patience: int = option(5, "epochs without a better one before a drop of plateau", above=0)
    gamma: float = option(0.5, "factor of each drop of step and plateau", least=0, most=1)
    clip_norm: float = option(5.0, "largest norm of the gradient", above=0)
    aux_weight: float = option(
        0.5, "weight of a second CTC loss on the backbone's own columns", least=0
    )
    ctc: str = option(
        "auto",
        "the CTC loss: full holds all logits of a batch, chunked a part of them at a time; auto: "
        "chunked for large charsets",
        ("auto", "full", "chunked"),
    )
    fresh: float = option(
        0.0, "share of each epoch that is drawn anew instead of read from disk", least=0, most=1
    )
    fresh_root: str | None = option(
        None, "set whose dataset.json says what is drawn anew (default: --data_root)"
    )
    renderer: str = option(
        "fast", "what draws --fresh pictures: the captcha package, or torch, several times as fast",
        RENDERERS,
    )  # fmt: skip
    epoch_size: int = option(
        None,
        "pictures of an epoch (default: as many as there are to train on)",
        above=0,
    )
    hard_characters: str | None = option(
        None, "characters that fresh pictures hold more often, such as vV0O"
    )
    hard_weight: int = option(3, "how many times as often as the others", least=1, most=100)
    first_characters: int = option(
        0,
        "a first lesson of so many characters of a large charset, on lines that are drawn anew; "
        "without it, thousands are hard to begin with",
        least=0,
    )
    first_epochs: int = option(1, "how long that lasts", above=0)
    color_jitter: float = option(
        0.2,
        "brightness, contrast and colour of pictures from disk vary by this much",
        least=0,
        most=1,
    )
    augment: str = option(
        "none",
        "pictures from disk are turned, slanted, bent, blurred and so on: python -m utils.augment "
        "shows it",
        tuple(LEVELS),
    )
    monitor: str = option(
        "sequence_accuracy", "by which best.*, --early_stop and plateau choose", MONITORS
    )
    early_stop: int = option(
        15, "epochs without a better validation that end the run; 0: never", least=0
    )
    overfit_batch: bool = option(False, "learn one batch by heart: proves that a set-up can learn")
    max_bad_rows: int = option(
        0, "rows that cannot be read and may be skipped; each is named", least=0
    )
    num_workers: int | None = option(
        None, "processes that prepare pictures (default: a third of the cores; 0: none)", least=0
    )
    num_threads: int | None = option(
        None, "torch's CPU threads (default: the other cores, at most 8)", above=0
    )
    amp: bool = option(True, "half precision where the hardware has it")
    compile: bool = option(False, "torch.compile the backbone; slower on a CPU, see docs")
    deterministic: bool = option(False, "only kernels that give the same bits every time")
    tensorboard: bool = option(False, "also write the curves for TensorBoard, into --save_dir")
    seed: int = option(0, "everything is drawn from it", least=0)
    device: str = option("auto", "where to train", DEVICES)
    resume: str | None = option(
        None, "last.pth of a run to go on with; auto: the one in --save_dir"
    )

    def problems(self) -> list[str]:
        """Flags that do not go together, a sentence each."""
        return clashes(self)
