"""What was recorded of a prompt: its parts, every expert's answers, the fusions, and what judges say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .calls.store import Reply
from .prompts import Prompt


@dataclass
class Answer:
    """An answer and its scores.

    Attributes:
        reply: As it came back.
        scores: By judge, from 0 to 10; None where a judge gave none.
        ratings: How many ratings are behind all of them.
    """

    reply: Reply
    scores: dict[str, float | None] = field(default_factory=dict)
    ratings: int = 0

    @property
    def text(self) -> str:
        """What the model wrote."""
        return self.reply.text

    @property
    def words(self) -> int:
        """Words, as white space divides them."""
        return len(self.text.split())

    @property
    def quality(self) -> float | None:
        """Mean of the judges' scores, in [0, 1]; None if none of them gave one."""
        given = [score for score in self.scores.values() if score is not None]
        return float(np.mean(given)) / 10 if given else None


@dataclass
class Part:
    """A sub-prompt.

    Attributes:
        index: Counted from 0.
        text: What experts were asked.
        readings: What the gate says of every expert, in [0, 1]; None where it never said it in the form asked for.
        answers: By expert, one a replica; a replica without a usable answer is not there.
    """

    index: int
    text: str
    readings: dict[str, float] | None = None
    answers: dict[str, list[Answer]] = field(default_factory=dict)


@dataclass
class Fusion:
    """A joined answer.

    Attributes:
        experts: Who wrote each part.
        how: `single`, `gate` or `random`.
        answer: What the fuser wrote.
    """

    experts: tuple[str, ...]
    how: str
    answer: Answer

    @property
    def changes(self) -> int:
        """Changes of expert between neighbouring parts."""
        return sum(a != b for a, b in zip(self.experts, self.experts[1:], strict=False))


@dataclass
class Record:
    """All that was recorded of a prompt."""

    prompt: Prompt
    parts: list[Part]
    fusions: list[Fusion] = field(default_factory=list)

    def answers(self) -> Iterator[tuple[Part, str, Answer]]:
        """Every expert's answers."""
        for part in self.parts:
            for expert, answers in part.answers.items():
                yield from ((part, expert, answer) for answer in answers)
