"""What reads a picture: one reader, or the one for its shape of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from utils.data.widths import misdirected, squeezed
from utils.dataset import Row
from utils.errors import UserError
from utils.picture import PictureError, Source, picture_size
from utils.recognizer import Prediction, Recognizer
from utils.text.reading import Decoder

With = tuple[Recognizer, Decoder]


@dataclass(frozen=True)
class Reader:
    """A Recognizer and its Decoder; pictures higher than wide go to `down`, where there is one."""

    across: With
    down: With | None = None

    def of(self, picture: Source) -> With:
        """What reads that picture."""
        if self.down is None:
            return self.across
        try:
            width, height = picture_size(picture)
        except PictureError:  # it is told when it is read
            return self.across
        return self.down if height > width else self.across

    def stream(
        self, images: Sequence[Source], batch_size: int, reject_below: float, characters: bool
    ) -> Iterator[Prediction]:
        """As `Recognizer.stream`, in the order of the images whichever reads them."""
        chosen = [self.of(image) for image in images]
        streams = {}
        for one in filter(None, (self.across, self.down)):
            own = [image for image, other in zip(images, chosen, strict=True) if other is one]
            streams[id(one)] = one[0].stream(own, batch_size, one[1], reject_below, characters)
        for one in chosen:
            yield next(streams[id(one)])

    def squeezed(self, rows: Sequence[Row]) -> list[str]:
        """Of one reader: a sentence on pictures that are wider than it takes."""
        return [] if self.down else squeezed(rows, self.across[0].image)

    def misdirected(self, pictures: Sequence[Source]) -> list[str]:
        """Of one reader: a sentence on pictures of the other direction."""
        return [] if self.down else misdirected(pictures, self.across[0].image)

    def check_one_charset(self) -> None:
        """UserError where two readers do not write the same characters: labels are compared with
        what one charset makes of them."""
        charsets = [each[0].charset for each in (self.across, self.down) if each]
        written = {(frozenset(one.characters), one.alike, one.drops, one.nfc) for one in charsets}
        if len(written) > 1:
            one, other = (charset.name for charset in charsets)
            raise UserError(
                f"--horizontal and --vertical: their charsets ({one} and {other}) differ; evaluate "
                "each on its own set"
            )
