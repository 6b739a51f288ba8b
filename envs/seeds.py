"""Every stream of random numbers that is set apart from the others, in one place.

The episodes of a `World` are keyed by a number. What users call a seed is small and the same for all purposes; each
purpose that must not share its episodes with another adds the first key of its own stream, so that a policy is never
measured on episodes that it was trained on, whatever the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

SEEDS = 2**32  # seeds that a stream holds


@dataclass(frozen=True)
class Stream:
    """A range of keys for one purpose.

    Attributes:
        name: The purpose.
        first: Key of seed 0.
    """

    name: str
    first: int

    def key(self, seed: int) -> int:
        """The key of a seed in this stream.

        Raises:
            ValueError: for a seed that would run into another stream.
        """
        if not 0 <= seed < SEEDS:
            raise ValueError(f"seed: {seed} of {self.name} must be 0 or more and below {SEEDS}")
        return self.first + seed


TRAINING = Stream("training", 0)
ROUTERS = Stream("what routers do", 2**39)
EVALUATION_RUNNERS = Stream("evaluation during training", 2**40)
TEST = Stream("evaluation", 2**41)
STREAMS = (TRAINING, ROUTERS, EVALUATION_RUNNERS, TEST)

# seeds within a stream
REPORTED = 0  # of `TEST`: what leaderboards and calibrations report
CHOICE = 1  # of `TEST`: where the best of several deviators is chosen
VALIDATION = 1_000  # of `TEST`: where a run chooses between likeliest and drawn actions
TEACHER = 10_000  # of `TRAINING`: demonstrations; no preset trains on these episodes

GENERIC_FIRST = 2**31  # of environments that are not markets, whose generators often take 32 bits


def generic_test_seed(seed: int, episode: int) -> int:
    """The seed of an evaluation episode in an environment that is not a market, apart from small training seeds."""
    return (seed + episode + GENERIC_FIRST) % 2**32
