"""Rows of compact experts: quantised, pruned and distilled variants of experts whose scores are recorded.

What compression leaves of the quality is modelled from published figures of other models: the ratio of perplexities
before and after quantisation, the ratio of benchmark scores before and after pruning with distillation.
"""

from __future__ import annotations

from dataclasses import dataclass

PHONE = ("phone, LPDDR5 of 51.2 GB/s", 51.2, 5.0)  # memory bandwidth GB/s; power while computing W
PHONE_POWER = "modelled: 5 W, what a phone can shed for minutes"


@dataclass(frozen=True)
class Method:
    """A way to compress: what it leaves of size and quality, and where that comes from."""

    size: float
    quality: float
    source: str


_LLAMA_8B = "perplexity and size of Llama-3-8B against f16, llama.cpp pull request 6936"
_LLAMA_70B = "perplexity and size of Llama-3-70B against F16, llama.cpp pull request 6745"
_MINITRON = "MMLU and weights of Llama-3.1-Minitron-4B against Llama-3.1-8B, arXiv 2408.11796 (pruned, then distilled)"
QUANTISED = {
    "q8_0": Method(7.96 / 14.97, 6.2332 / 6.2343, _LLAMA_8B),
    "q5_K_M": Method(5.33 / 14.97, 6.2332 / 6.2886, _LLAMA_8B),
    "Q4_K_M": Method(39.60 / 131.43, 2.8308 / 2.9674, _LLAMA_70B),
    "Q2_K": Method(24.56 / 131.43, 2.8308 / 4.7763, _LLAMA_70B),
}
PRUNED = {
    "width-pruned": Method(4.5 / 8.0, 60.5 / 65.3, _MINITRON),
    "depth-pruned": Method(4.5 / 8.0, 58.7 / 65.3, _MINITRON),
}
# base expert: the methods of each of its variants on devices
ON_DEVICES: dict[str, tuple[tuple[str, ...], ...]] = {
    "gemma-2b-it": (("q8_0",), ("Q4_K_M",)),
    "phi-3-mini-128k": (("q8_0",), ("Q4_K_M",), ("Q2_K",)),
    "gemma-7b-it": (("q5_K_M",), ("width-pruned", "q5_K_M"), ("depth-pruned", "q5_K_M")),
}
# share of summaries with a claim that the document does not bear (model HHEM-2.1, leaderboard of Vectara before its
# change of data in November 2025)
HALLUCINATION = {
    "gpt-3.5-turbo-0125": (0.019, "Vectara hallucination leaderboard, HHEM-2.1: GPT-3.5-Turbo 1.9 %"),
    "phi-3-mini-128k": (0.031, "Vectara hallucination leaderboard, HHEM-2.1: Phi-3-mini-128k-instruct 3.1 %"),
    "gemma-7b-it": (0.148, "Vectara hallucination leaderboard, HHEM-2.1: Gemma-7B-it 14.8 %"),
    "gemma-2b-it": (0.278, "Vectara hallucination leaderboard, HHEM-2.1: Gemma-1.1-2B-it 27.8 %, the nearest version"),
}


def compress(names: tuple[str, ...]) -> Method:
    """Several methods one after another."""
    size, quality, sources = 1.0, 1.0, []
    for name in names:
        method = (QUANTISED | PRUNED)[name]
        size, quality = size * method.size, quality * method.quality
        sources.append(method.source)
    return Method(size, quality, "modelled from " + "; ".join(sources))


def kept_faith(rate: float, method: Method) -> float:
    """Hallucination rate of a variant: faithful answers shrink like the quality (modelled)."""
    return 1.0 - (1.0 - rate) * method.quality
