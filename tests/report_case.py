"""Four readings, their evaluation, and what is on a page."""

from __future__ import annotations

from html.parser import HTMLParser

from utils.show.cases import Case
from utils.show.evaluation import Evaluation
from utils.text.alike import Alike

READ = [  # label, text, confidence
    ("abc", "abc", 0.9),
    ("abd", "abD", 0.8),
    ("<b>&", "<b>", 0.7),
    ("京x", "京", 0.2),
]


def evaluation_of(read: list[tuple[str, str, float]], **more) -> Evaluation:
    cases = [
        Case(f"test/{i}.png", text, confidence, label=label, guess=text)
        for i, (label, text, confidence) in enumerate(read)
    ]
    values = {"left_out": [], "outside_charset": {}, "alike": Alike()} | more
    return Evaluation("a <model>.pth", "data", cases, **values)


class Page(HTMLParser):
    """What a page shows and asks for; refuses one whose tags do not close."""

    EMPTY = {"meta", "img", "br"}

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if "style" not in self.open else ""
