"""The sections of a scenario: frozen dataclasses whose field names are the YAML keys, with their units and defaults.

Money is counted in credits; one credit is a thousandth of a US dollar.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic.dataclasses import dataclass
from typing_extensions import dataclass_transform

# No quantity in these units is beyond these bounds, and all products of the kernel stay finite within them.
LEAST, MOST = 1e-9, 1e12
T = TypeVar("T")


def _no_flag(value: object) -> object:
    """Python takes `True` for 1, which nobody means."""
    if isinstance(value, bool):
        raise ValueError("give a number")
    return value


NoFlag: BeforeValidator = BeforeValidator(_no_flag)
Flag = Annotated[bool, Field(strict=True)]
Positive = Annotated[float, NoFlag, Field(ge=LEAST, le=MOST)]
NonNegative = Annotated[float, NoFlag, Field(ge=0, le=MOST)]
Decibels = Annotated[float, NoFlag, Field(ge=-300, le=300)]
Share = Annotated[float, NoFlag, Field(ge=0, le=1)]
Count = Annotated[int, NoFlag, Field(ge=1, le=1_000_000)]
Index = Annotated[int, NoFlag, Field(ge=0, le=1_000_000)]
Parts = Annotated[int, NoFlag, Field(ge=1, le=64)]


def _taste(value: object) -> float | str:
    """A concentration, or `own`: one line for whatever is neither."""
    if value == "own":
        return "own"
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST <= value <= MOST:
        raise ValueError(f"give a concentration from {LEAST:g} to {MOST:g}, or own")
    return float(value)


Taste = Annotated[float | str, PlainValidator(_taste)]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def strict(kind: type[T]) -> type[T]:
    """A frozen dataclass that is checked when it is made, and knows no other fields."""
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    checked: Any = dataclass(frozen=True, kw_only=True, config=config)(kind)
    return checked  # type: ignore[no-any-return]


@strict
class Episode:
    """When an episode ends."""

    slots: Count = 100
    """Time limit in slots; reaching it truncates."""
    slot_s: Positive = 5.0
    """Length of a slot, seconds."""
    requests_per_user: Index = 0
    """A user leaves after so many requests (terminated); 0: never."""


@strict
class Tables:
    """Which recorded figures decide what a choice is worth."""

    quality: str | tuple[str, ...] = "text"
    """Quality table: a shipped name or a path to CSV or Parquet; or several, of which requests are drawn by `kinds`."""
    experts: str = "experts"
    """Expert table: a shipped name or a path."""
    split: Literal["train", "heldout", "all"] = "train"
    """Prompts that requests are drawn from."""
    prompts: Index = 0
    """Use only so many prompts of each table's split, spread evenly over it; 0: all."""


@strict
class Requests:
    """What users ask for."""

    rule: str = "auto"
    """Quality rule of a composed request: `text`, `video`, `object3d`, `ensemble`, a registered one, or
    `module:function`; `auto` goes by the table's modality."""
    value_low: NonNegative = 1.0
    """Lowest value of a perfect answer, credits; values are uniform."""
    value_high: NonNegative = 1.0
    """Highest value of a perfect answer, credits."""
    subtasks: Parts = 3
    """Parts of a request (segments, scenes, geometry and texture, or the k answers of an ensemble); each goes to one
    expert."""
    parts: Literal["auto", "own", "shared"] = "auto"
    """`own`: every part is a task of its own, with its own prompt; `shared`: all parts are of one prompt; `auto`: own
    for the rules `text` and `video` and for tables with a column `part`."""
    topic_share: Share = 0.0
    """How often a part of its own keeps the category of the first part."""
    dispatch: Literal["sequential", "parallel"] = "sequential"
    """`sequential`: a part a slot; `parallel`: all k experts of an ensemble are asked in one slot."""
    split_work: Flag = True
    """Whether a part is an equal share of its prompt's work; otherwise every expert does all of it (top-k)."""
    distinct: Flag = False
    """Whether every part must go to another expert (top-k)."""
    deadline_slots: Count = 4
    """Slots from arrival until a request expires."""
    context_tokens: Positive = 1155.0
    """Mean context uploaded with every part, tokens (Azure LLM inference trace 2023, conversation: 1,155)."""
    context_spread: NonNegative = 0.0
    """Standard deviation of the logarithm of the context length."""
    coherence: Share = 0.98
    """Quality factor of each change of expert between neighbouring parts (modelled for text and 3D; for video from the
    recorded temporal consistency, `python -m edge_experts.envs.tables.agreement`)."""
    temperature: Positive = 0.1
    """Softness of the gate's weights over a request's experts (rule `ensemble`)."""
    strict_share: Share = 0.0
    """Share of requests that only experts of a low hallucination rate may serve."""
    max_hallucination: Share = 0.1
    """The highest hallucination rate that such a request allows."""


@strict
class Kind:
    """Where the requests of one of several tables differ from `requests`; what is null does not."""

    share: Positive = 1.0
    """How often it is asked for, in relation to the others."""
    rule: str | None = None
    """As in `requests`; so are those below."""
    value_low: NonNegative | None = None
    value_high: NonNegative | None = None
    subtasks: Parts | None = None
    parts: Literal["auto", "own", "shared"] | None = None
    topic_share: Share | None = None
    deadline_slots: Count | None = None
    context_tokens: Positive | None = None
    coherence: Share | None = None


@strict
class Arrivals:
    """When users ask."""

    process: str = "poisson"
    """`saturated` renews a request at once; `poisson`; `bursty` has a calm and a busy state; `trace_conv`
    and `trace_code` are recorded; or a registered one, or `module:function`."""
    rate_per_s: Positive = 0.1
    """Mean request rate of an idle user, 1/s (not used by `saturated`)."""
    burst_ratio: Annotated[float, NoFlag, Field(ge=1, le=MOST)] = 4.0
    """Rate of the busy state over that of the calm state (`bursty`)."""
    burst_slots: Annotated[float, NoFlag, Field(ge=1, le=MOST)] = 8.0
    """Mean length of either state in slots (`bursty`)."""


@strict
class Gate:
    """What users know of the quality before they choose."""

    source: Literal["auto", "recorded", "modelled"] = "auto"
    """`recorded`: the table's column `gate`; `modelled`: the recorded quality seen through `skill` and `noise`; `auto`:
    recorded where a table has that column."""
    skill: Share = 0.78
    """How much of a prompt's own deviation from the category mean a modelled reading shows."""
    noise: NonNegative = 0.1
    """Standard deviation of a modelled reading's error. With both defaults it agrees with the recorded score as well
    as a second judge does (`python -m edge_experts.envs.tables.agreement`)."""
    length: Flag = False
    """Whether users know before how long the answer of each expert to a part will be; else the mean of its category."""


@strict
class Radio:
    """The air interface, after 3GPP TR 38.901 UMi street canyon."""

    channel: str = "umi"
    """Path loss: `umi`, a registered model, or `module:function`."""
    access: Literal["direct", "serving"] = "direct"
    """`direct`: to an expert's host; `serving`: to the provider that serves the user, and on by backhaul."""
    handover_margin_db: NonNegative = 3.0
    """Another provider takes over when it is stronger by so much (`serving`)."""
    handover_s: NonNegative = 0.0
    """What a handover adds to the latency of a part placed in the slot after it, seconds (`serving`)."""
    min_snr_db: Decibels | None = None
    """A link of a lower signal-to-noise ratio, at highest power over the whole band, is an outage; null: none."""
    range_m: Positive | None = None
    """A provider farther away cannot be reached; null: no limit."""
    carrier_hz: Positive = 3.5e9
    """Carrier frequency."""
    bandwidth_hz: Positive = 5e6
    """Bandwidth of each provider, per direction."""
    noise_dbm_hz: Decibels = -174.0
    """Thermal noise density."""
    noise_figure_db: Decibels = 7.0
    """Receiver noise figure."""
    provider_power_w: Positive = 2.0
    """Nominal downlink transmit power of a provider."""
    max_tx_s: Positive = 30.0
    """A transfer that would take longer counts so much: the link is retried in a later slot."""
    backhaul_bps: Positive = 1e8
    """Rate between providers and to the cloud."""
    cloud_rtt_s: NonNegative = 0.1
    """Round-trip time to a cloud expert."""


@strict
class Mobility:
    """Where users are."""

    model: str = "waypoint"
    """`static`; `waypoint`: random waypoints; `highway`: both ways along a road with providers at equal distances, out
    at one end and in at the other; or a registered one, or `module:function`."""
    speed_mps: NonNegative = 1.4
    """Speed of every user (a walk)."""
    area_m: Positive = 300.0
    """Side of the square area; length of the road."""


@strict
class Devices:
    """Users and the devices they carry."""

    count: Annotated[int, NoFlag, Field(ge=1, le=16_384)] = 16
    """Number of users, each with one device."""
    act: Flag = True
    """Whether users are agents; otherwise they wait."""
    scripted: Index = 0
    """So many of them (the last ones) are no agents: they take the expert of the best gate reading, at full power."""
    at_home: Flag = False
    """Whether user u stands at provider u modulo P and reaches it without radio: both belong to one client."""
    may_wait: Flag = True
    """Whether a user that could place a part may wait instead."""
    power_levels_w: tuple[Positive, ...] = (0.01, 0.05, 0.1, 0.2)
    """Transmit power levels, watts (the highest is that of LTE and NR user equipment, 23 dBm)."""
    churn: Share = 0.0
    """Per slot, the probability that a present user leaves for good and that an absent one arrives; when positive,
    half of the users are present at the start."""
    taste: Taste | None = None
    """Concentration of the Dirichlet distribution that each user's mix of categories is drawn from, about the
    table's own mix: small numbers make specialists; `own`: user u asks only for category u modulo their number, as
    where a table has one for each client; null: everybody has the table's mix."""
    battery_j: Positive = 2000.0
    """Energy a device may spend in an episode, joules; an empty battery leaves only waiting."""
    local_expert: str | tuple[str, ...] = ""
    """Compact expert on every device, or several of which one is loaded at a time; empty: none."""
    local_seconds_per_unit: Positive = 0.05
    """Seconds per unit of work of a local expert that the table does not list as a device's (a phone with 51.2 GB/s
    reads 2.5 B weights of 1 byte in 0.049 s)."""
    local_power_w: NonNegative = 5.0
    """Power drawn while such an expert computes."""
    local_budget_units: NonNegative = 0.0
    """Units of work local experts may do for one request: a part runs locally while the budget lasts."""
    memory_gb: tuple[Positive, ...] = (16.0,)
    """Memory for a local expert; every device draws one of these at the start. Larger experts cannot be loaded."""
    load_gb_per_s: Positive = 1.0
    """Speed of loading another local expert: the part that asks for it waits so long."""


@strict
class Providers:
    """Service providers, each hosting every P-th expert of the list."""

    count: Count = 4
    """Number of providers."""
    act: Flag = True
    """Whether providers are agents; otherwise they keep their defaults."""
    period: Count = 1
    """Slots between a provider's decisions; what it sets holds that long."""
    view_levels: tuple[Count, ...] = (1,)
    """Views of an output that are rendered and sent; what is sent grows with them, up to the output's recorded size."""
    view_angle_deg: Annotated[float, NoFlag, Field(gt=0, le=360)] = 360.0
    """How much of the turn around an object one view shows; what no view shows counts as quality 0."""
    power_factors: tuple[Positive, ...] = (1.0,)
    """Downlink transmit power as a multiple of `radio.provider_power_w`."""
    price_levels: tuple[Positive, ...] = (0.5, 0.75, 1.0, 1.5, 2.0)
    """Price as a multiple of the expert's list price."""
    speed_levels: tuple[Positive, ...] = (0.75, 1.0, 1.25)
    """Compute speed as a multiple of nominal; power grows with its cube."""
    default_price: Index = 2
    """Price level at the start, kept when providers do not act."""
    default_speed: Index = 1
    """Speed level at the start."""
    default_bandwidth: Annotated[int, NoFlag, Field(ge=0, le=2)] = 0
    """Bandwidth policy at the start: 0 equal, 1 by load, 2 by channel."""
    default_views: Index = 0
    """View level at the start."""
    default_power: Index = 0
    """Transmit-power level at the start."""
    machines: tuple[Positive, ...] = (1.0,)
    """How many of an expert's reference devices the edge hosts have (a slower one counts as less), in the order
    of providers and repeated; they work on one part together, at so many times its power."""
    memory_gb: Positive = 18.0
    """Memory for loaded experts (a 20 GB card less 2 GB for the runtime)."""
    load_gb_per_s: Positive = 1.0
    """Speed of loading an expert from disk."""
    load_cost_per_gb: NonNegative = 0.01
    """Cost of loading, credits per gigabyte."""
    usd_per_kwh: NonNegative = 0.08
    """Price of electricity (US industrial average of 2023: 8.0 cents, EIA)."""
    idle_power_w: NonNegative = 60.0
    """Power a provider draws when idle, its radio at nominal transmit power."""
    late_penalty: NonNegative = 0.2
    """Charge for each part served after its request's deadline, credits."""


@strict
class Rewards:
    """Weights of the reward terms."""

    energy_weight: NonNegative = 0.002
    """Credits per joule of a device's battery."""
    latency_weight: NonNegative = 0.02
    """Credits per second of a request's mean part latency."""
    team: Share = 0.0
    """0: private rewards; 1: everybody gets the mean."""
    others: Share = 0.0
    """Above 0, an agent is paid its own outcome and so much of everybody else's; payments between agents are left out,
    as they only move from one to another. Goes with `team` 0."""


@strict
class Events:
    """What befalls a world in the middle of an episode."""

    outage_expert: str = ""
    """An expert that fails; empty: none."""
    outage_slot: Index = 0
    """When it fails."""
    outage_slots: Count = 20
    """For how long."""
    price_factor: Positive = 1.0
    """All list prices are multiplied by it ..."""
    price_slot: Index = 0
    """... from this slot on."""
