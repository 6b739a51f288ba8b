"""Build `experts.csv`: sizes, speeds, power and prices of the edge experts, each value with its source.

Run `python -m edge_experts.envs.tables.build_experts [OUT]`. A source that begins with `modelled` marks a value that
was computed or assumed here, with the rule behind it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .build import write_table
from .compact import HALLUCINATION, ON_DEVICES, PHONE, PHONE_POWER, compress, kept_faith

# name: (device, memory bandwidth GB/s, board power W); figures of NVIDIA's data sheets, summed over the devices
DEVICES = {
    "edge": ("NVIDIA RTX 4000 Ada, 20 GB", 360, 130),
    "a100": ("NVIDIA A100 SXM 80 GB", 2039, 400),
    "4xa100": ("4x NVIDIA A100 SXM 80 GB", 4 * 2039, 4 * 400),
}
BYTES_PER_WEIGHT = 2  # FP16 or BF16
RENTAL_USD_PER_HOUR = 2.0  # of an A100: the order of public cloud list prices
PRICE_TIERS = ((4e9, 0.1), (9e9, 0.2), (21e9, 0.3), (80e9, 0.9))  # up to so many weights: USD per million tokens
RENTAL = "modelled: seconds x A100 rental at 2 USD/h"
BOARD_POWER = "NVIDIA data sheet: board power of the reference device"
CLOUD_MEMORY = "modelled: a cloud expert occupies no edge memory"

# open-weight text experts: weights, where they run, source of the size
TEXT = {
    "gemma-2b-it": (2.5e9, "edge", "Gemma model card"),
    "phi-3-mini-128k": (3.8e9, "edge", "Phi-3 model card"),
    "reka-edge": (7e9, "edge", "Reka technical report, arXiv 2404.12387"),
    "gemma-7b-it": (8.5e9, "edge", "Gemma model card"),
    "reka-flash": (21e9, "a100", "Reka technical report, arXiv 2404.12387"),
    "qwen1.5-72b-chat": (72e9, "4xa100", "Qwen1.5 model card"),
}
# video and 3D: weights ("" = not published), memory GB, seconds, host class, sources of weights, memory and seconds
COGVIDEO = "CogVideoX model card (THUDM): 6 s clip, 720x480, 50 steps, A100"
CLOSED = "not published (closed service)"
CLOSED_SECONDS = "modelled: as CogVideoX-5B on an H100 (90 s); the service publishes none"
UNET = "modelled: 60 s on an A100 for a latent video model of this size; no published time found"
SDS = "modelled: 60 min of score distillation per asset; no published time found"
SDS_MEMORY = "modelled: 16 GB, one diffusion model with a radiance field"
DIFFUSION = "modelled: 1.0 B weights of the diffusion model it distils or samples"
MEDIA: dict[str, dict[str, tuple[float | str, float, float, str, str, str, str]]] = {
    "video": {
        "cogvideox5b": (5e9, 26, 180, "edge", COGVIDEO, COGVIDEO + ", BF16 (SAT)", COGVIDEO),
        "lavie": (
            3e9,
            12,
            60,
            "edge",
            "LaVie, arXiv 2309.15103",
            "modelled: FP16 weights doubled for activations",
            UNET,
        ),
        "show1": (
            "",
            15,
            120,
            "edge",
            "not published",
            "Show-1, arXiv 2309.15818: 15 GB at inference",
            "modelled: 120 s, pixel stages before the latent one; no published time found",
        ),
        "videocrafter2": (
            1.4e9,
            10,
            60,
            "edge",
            "VideoCrafter2 model card",
            "modelled: FP16 weights and activations",
            UNET,
        ),
        "gen3": ("", 0, 90, "cloud", CLOSED, CLOUD_MEMORY, CLOSED_SECONDS),
        "kling": ("", 0, 90, "cloud", CLOSED, CLOUD_MEMORY, CLOSED_SECONDS),
        "pika": ("", 0, 90, "cloud", CLOSED, CLOUD_MEMORY, CLOSED_SECONDS),
    },
    "object3d": {
        "dreamfusion": (
            1e9,
            16,
            5400,
            "edge",
            DIFFUSION,
            SDS_MEMORY,
            "Magic3D abstract, arXiv 2211.10440: 1.5 h on average",
        ),
        "magic3d": (1e9, 16, 2400, "edge", DIFFUSION, SDS_MEMORY, "Magic3D abstract, arXiv 2211.10440: 40 min"),
        "sjc": (1e9, 16, 3600, "edge", DIFFUSION, SDS_MEMORY, SDS),
        "textmesh": (1e9, 16, 3600, "edge", DIFFUSION, SDS_MEMORY, SDS),
        "consistent3d": (1e9, 16, 3600, "edge", DIFFUSION, SDS_MEMORY, SDS),
        "latentnerf": (
            1e9,
            16,
            900,
            "edge",
            DIFFUSION,
            SDS_MEMORY,
            "modelled: 15 min, optimising in latent space avoids decoding",
        ),
        "3dtopia": (1e9, 16, 300, "edge", DIFFUSION, SDS_MEMORY, "3DTopia abstract, arXiv 2403.02234: within 5 min"),
        "one2345++": (
            1e9,
            18,
            60,
            "edge",
            DIFFUSION,
            "modelled: 18 GB, multi-view and 3D diffusion models",
            "One-2-3-45++ abstract, arXiv 2311.07885: about one minute",
        ),
    },
}
COLUMNS = ("parameters", "memory_gb", "seconds_per_unit", "power_w", "price_usd_per_unit")
# compressed until it fits an edge card: base, methods
ON_THE_EDGE = (("reka-flash", ("Q4_K_M",)),)
INT8 = "CogVideoX-5B model card (THUDM): 11.4 GB with INT8 weights"


def text_rows() -> list[dict[str, Any]]:
    """Open-weight text experts from their size, and the two closed ones."""
    rows = []
    for name, (weights, where, source) in TEXT.items():
        device, bandwidth, power = DEVICES[where]
        cloud = where != "edge"
        price = next(usd for limit, usd in PRICE_TIERS if weights <= limit)
        rows.append(
            _row(
                name,
                "text",
                "token",
                "cloud" if cloud else "edge",
                device,
                (weights, source),
                (0, CLOUD_MEMORY) if cloud else (weights * BYTES_PER_WEIGHT / 1e9, "modelled: weights x 2 bytes"),
                (
                    weights * BYTES_PER_WEIGHT / (bandwidth * 1e9),
                    f"modelled: every token reads all weights, {weights / 1e9:g} B x 2 bytes / {bandwidth} GB/s",
                ),
                (power, BOARD_POWER),
                (price * 1e-6, f"modelled: {price} USD per million tokens, the size tier of serverless hosts in 2024"),
            )
        )
    device, _, power = DEVICES["a100"]
    rows.append(
        _row(
            "gpt-3.5-turbo-0125",
            "text",
            "token",
            "cloud",
            device,
            ("", CLOSED),
            (0, CLOUD_MEMORY),
            (1 / 74, "Vercel AI Gateway, live median throughput of gpt-3.5-turbo: 74 tokens/s"),
            (power, "modelled: one A100; the service publishes none"),
            (1.5e-6, "OpenAI price list: 1.50 USD per million output tokens"),
        )
    )
    device, bandwidth, power = DEVICES["4xa100"]
    rows.append(
        _row(
            "reka-core",
            "text",
            "token",
            "cloud",
            device,
            ("", CLOSED),
            (0, CLOUD_MEMORY),
            (72e9 * BYTES_PER_WEIGHT / (bandwidth * 1e9), "modelled: as qwen1.5-72b-chat; size not published"),
            (power, "modelled: as qwen1.5-72b-chat; size not published"),
            (1.5e-6, "modelled: as the other closed expert, gpt-3.5-turbo-0125"),
        )
    )
    return rows


def media_rows() -> list[dict[str, Any]]:
    """Video and 3D experts."""
    device, _, power = DEVICES["a100"]
    return [
        _row(
            name,
            modality,
            {"video": "clip", "object3d": "asset"}[modality],
            host,
            device,
            (weights, weights_source),
            (memory, memory_source),
            (seconds, seconds_source),
            (power, BOARD_POWER),
            (round(seconds * RENTAL_USD_PER_HOUR / 3600, 6), RENTAL),
        )
        for modality, experts in MEDIA.items()
        for name, (weights, memory, seconds, host, weights_source, memory_source, seconds_source) in experts.items()
    ]


def compact_rows() -> list[dict[str, Any]]:
    """Variants for phones and for edge cards, and the INT8 form of CogVideoX."""
    phone, phone_bandwidth, phone_w = PHONE
    edge, edge_bandwidth, edge_w = DEVICES["edge"]
    rows = [
        _variant(base, methods, "device", phone, phone_bandwidth, (phone_w, PHONE_POWER), 0.0)
        for base, variants in ON_DEVICES.items()
        for methods in variants
    ]
    for base, methods in ON_THE_EDGE:
        price = next(usd for limit, usd in PRICE_TIERS if TEXT[base][0] <= limit)
        rows.append(_variant(base, methods, "edge", edge, edge_bandwidth, (edge_w, BOARD_POWER), price))
    weights, _, seconds, _, weights_source, _, seconds_source = MEDIA["video"]["cogvideox5b"]
    device, _, power = DEVICES["a100"]
    cells = (
        (weights, weights_source),
        (11.4, INT8),
        (seconds, seconds_source),
        (power, BOARD_POWER),
        (round(seconds * RENTAL_USD_PER_HOUR / 3600, 6), RENTAL),
    )
    compression = {
        "base": "cogvideox5b",
        "quality_factor": 1.0,
        "quality_factor_source": "modelled: 8-bit weights are taken to cost no quality, as for language models",
    }
    return [*rows, {**_row("cogvideox5b-int8", "video", "clip", "edge", device, *cells), **compression}]


def _variant(
    base: str,
    methods: tuple[str, ...],
    host: str,
    device: str,
    bandwidth: float,
    power: tuple[float, str],
    usd_per_million: float,
) -> dict[str, Any]:
    """A compressed text expert: smaller, so each token reads less memory."""
    weights, _, source = TEXT[base]
    method = compress(methods)
    memory_gb = weights * BYTES_PER_WEIGHT / 1e9 * method.size
    price = f"modelled: {usd_per_million} USD per million tokens, the size tier of its base" if usd_per_million else ""
    row = _row(
        f"{base}-{'-'.join(methods)}",
        "text",
        "token",
        host,
        device,
        (weights, f"{source} (before compression)"),
        (memory_gb, f"{method.source}: {method.size:.4f} of the 16-bit weights"),
        (memory_gb / bandwidth, f"modelled: every token reads all weights, {memory_gb:.2f} GB / {bandwidth:g} GB/s"),
        power,
        (usd_per_million * 1e-6, price or "modelled: a device's own expert is not sold"),
    )
    row |= {"base": base, "quality_factor": float(f"{method.quality:.6g}"), "quality_factor_source": method.source}
    if base in HALLUCINATION:
        rate, rate_source = HALLUCINATION[base]
        row["hallucination_rate"] = float(f"{kept_faith(rate, method):.6g}")
        row["hallucination_rate_source"] = (
            f"modelled: faithful answers of the base ({rate_source}) times quality_factor"
        )
    return row


def _row(name: str, modality: str, unit: str, host: str, device: str, *cells: tuple[Any, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "expert": name,
        "modality": modality,
        "unit": unit,
        "host_class": host,
        "reference_device": device,
    }
    for column, (value, source) in zip(COLUMNS, cells, strict=True):
        row[column] = float(f"{value:.6g}") if value != "" else ""
        row[f"{column}_source"] = source
    rate, rate_source = HALLUCINATION.get(name, ("", ""))
    row |= {"base": "", "quality_factor": "", "quality_factor_source": ""}
    row |= {"hallucination_rate": rate, "hallucination_rate_source": rate_source}
    return row


def all_rows() -> list[dict[str, Any]]:
    """The whole table."""
    return sorted(text_rows() + media_rows() + compact_rows(), key=lambda row: (row["modality"], row["expert"]))


def main() -> None:
    """Write the table of experts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parent, help="where the table goes")
    args = parser.parse_args()
    meta = {"title": "edge experts", "status": "each value has a source column beside it"}
    write_table(args.out / "experts.csv", all_rows(), meta)


if __name__ == "__main__":
    main()
