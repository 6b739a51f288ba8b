"""Messages, and what they cost: a row a message, seconds and joules by the radio of a scenario."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge_experts.envs import Scenario
from edge_experts.envs.physics import radio

from ..plan import Plan
from ..random import stream

PRIVATE_KINDS = ("features", "answers", "update", "correlation", "size")
"""All that leaves a client under a federated method."""
NUMBER_BITS = 32
SERVER = -1


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        stage: What it belongs to, as `features` or `gate`.
        round: In that stage, from 0.
        client: Who sends or receives.
        direction: `up` leaves the client, `down` reaches it.
        kind: What it holds: `update`, `correlation`, `features`, `answers`, `size`, `weights`; `images` go up only
            to train centrally.
        bits: Its size.
        peer: The client at the other end; -1: the server.
    """

    stage: str
    round: int
    client: int
    direction: str
    kind: str
    bits: int
    peer: int = SERVER


@dataclass
class Recorder:
    """Every message of a run, with the seconds and joules of each round."""

    messages: list[Message] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)

    def send(self, message: Message, payload: list[Tensor]) -> None:
        """Note a message; `payload` is what it carries, for those who look at it."""
        self.messages.append(message)

    def bits(self, direction: str) -> int:
        """Bits of all messages up or down."""
        return sum(message.bits for message in self.messages if message.direction == direction)

    def then(self, other: Recorder) -> Recorder:
        """The messages and rounds of both, this one's first."""
        return Recorder(self.messages + other.messages, self.seconds + other.seconds, self.joules + other.joules)


@dataclass(frozen=True)
class Layout:
    """Where clients stand and how they hear one another.

    Attributes:
        scenario: Whose radio it is.
        plan: Whose devices they are.
        seed: Of places and fading.
        places: (clients + 1, 2) metres; the last is the server's, in the middle of the area.
        reach: (clients, clients) bool, which experts a client reaches: its own, and those within `radio.range_m`, or
            all, as `Plan.reach` says.
        slow: (clients,) factor on the time to compute.
    """

    scenario: Scenario
    plan: Plan
    seed: int
    places: NDArray[np.float64]
    reach: NDArray[np.bool_]
    slow: NDArray[np.float64]

    def rates_bps(self, stage: str, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(clients + 1, clients + 1) rate of the whole band in a round, by a client's and by a server's power.

        Shadowing stays, Rayleigh fading is drawn anew each round; both ways of a link are alike.
        """
        settings, count = self.scenario.radio, len(self.places)
        fixed, fading = stream(self.seed, "shadowing"), stream(self.seed, f"fading {stage}", number)
        noise = radio.linear(settings.noise_dbm_hz + settings.noise_figure_db - 30.0)
        up, down = np.full((count, count), math.inf), np.full((count, count), math.inf)
        for a in range(count):
            for b in range(a):
                distance = float(np.hypot(*(self.places[a] - self.places[b])))
                sight = bool(fixed.random() < radio.los_probability(distance))
                loss = radio.path_loss_db(distance, settings.carrier_hz, sight)
                re, im = fading.normal(size=2)
                gain = radio.linear(radio.gain_db(loss, fixed.normal(), sight, re, im))
                for rates, power in ((up, self.power_w), (down, settings.provider_power_w)):
                    rates[a, b] = rates[b, a] = radio.shannon_bps(settings.bandwidth_hz, power, gain, noise)
        return up, down

    @property
    def power_w(self) -> float:
        """Transmit power of a client: the highest level."""
        return max(self.scenario.devices.power_levels_w)

    def settle(self, recorder: Recorder, stage: str, number: int, macs: dict[int, float]) -> None:
        """Add the seconds and joules of a round, which is as long as its slowest client.

        Those who send share the band equally. A client downloads, computes, then uploads, one message after another.

        Args:
            recorder: Holds the messages of the round and takes the sums.
            stage: Of the round.
            number: Of the round in the stage.
            macs: Multiply-accumulates of each client that computes.
        """
        up, down = self.rates_bps(stage, number)
        here = [m for m in recorder.messages if m.stage == stage and m.round == number]
        sharing = {way: max(1, len({m.client for m in here if m.direction == way})) for way in ("up", "down")}
        clients = sorted({m.client for m in here} | set(macs))
        seconds, joules = dict.fromkeys(clients, 0.0), 0.0
        for message in here:
            if message.direction == "up":
                time_s = message.bits * sharing["up"] / up[message.client, message.peer]
                joules += time_s * self.power_w
            else:
                rates, power = (down, self.scenario.radio.provider_power_w) if message.peer == SERVER else (up, 0.0)
                time_s = message.bits * sharing["down"] / rates[message.peer, message.client]
                joules += time_s * power / sharing["down"]  # a peer's energy is counted where it sends
            seconds[message.client] += time_s
        for client, work in macs.items():
            time_s = work / self.plan.hardware.macs_per_s * self.slow[client]
            seconds[client] += time_s
            joules += time_s * self.plan.hardware.power_w
        recorder.seconds.append(max(seconds.values(), default=0.0))
        recorder.joules.append(joules)


def lay_out(plan: Plan, scenario: Scenario, seed: int) -> Layout:
    """Draw places and slow devices.

    Raises:
        ValueError: if a client reaches fewer experts than `top_k`.
    """
    area = scenario.mobility.area_m
    places = np.vstack([stream(seed, "places").random((plan.clients, 2)) * area, [[area / 2, area / 2]]])
    apart = np.hypot(*(places[:-1, None] - places[None, :-1]).transpose(2, 0, 1))
    reach = apart <= (math.inf if plan.reach == "all" else scenario.radio.range_m or math.inf)
    fewest = int(reach.sum(axis=1).min())
    if plan.top_k > fewest:
        raise ValueError(
            f"top_k: {plan.top_k} exceeds the {fewest} experts that client {int(reach.sum(axis=1).argmin())} reaches "
            f"with seed {seed}; set a lower one, or reach to all"
        )
    slow = np.where(
        stream(seed, "stragglers").random(plan.clients) < plan.hardware.stragglers, plan.hardware.slowdown, 1.0
    )
    return Layout(scenario, plan, seed, places, reach, slow)
