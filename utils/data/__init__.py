"""Data sets beyond folders of pictures."""
