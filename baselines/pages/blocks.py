"""Blocks of a page that a command writes: what stands between two marks is replaced, the rest is left alone."""

from __future__ import annotations


def marks(name: str) -> tuple[str, str]:
    """The lines before and after the block of a name."""
    return f"<!-- {name}: made by `make pages` -->", f"<!-- end of {name} -->"


def with_block(text: str, name: str, block: str) -> str:
    """A text whose block of a name is replaced.

    Raises:
        ValueError: if the text does not have both marks.
    """
    begin, end = marks(name)
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"has no lines '{begin}' and '{end}' to put the block between")
    before, rest = text.split(begin)
    gap = "\n\n" if block else ""  # nothing was measured: nothing stands there
    return f"{before}{begin}\n\n{block}{gap}{end}{rest.split(end)[1]}"
