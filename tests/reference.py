"""A plain, readable reference of one slot of one world: dictionaries and loops, no compiler.

It shares the formulas of single quantities (radio, rng) with the product but none of the orchestration.
"""

from __future__ import annotations

import math
from typing import Any

from edge_experts.envs import World, radio, rng


def read_world(world: World, b: int = 0) -> dict[str, Any]:
    """One world as plain Python."""
    state = world.state

    def rows(records: Any) -> list[dict[str, Any]]:
        return [{name: record[name].item() for name in record.dtype.names} for record in records]

    U, P = state.links.gain_db.shape[1:]
    links = [
        [{name: getattr(state.links, name)[b, u, p].item() for name in state.links._fields} for p in range(P)]
        for u in range(U)
    ]
    return {
        "clock": rows(state.clock[b : b + 1])[0],
        "providers": rows(state.providers[b]),
        "experts": rows(state.experts[b]),
        "devices": rows(state.devices[b]),
        "links": links,
        "gate": state.gate[b].tolist(),
        "order": state.order[b].tolist(),
    }


class Reference:
    def __init__(self, world: World) -> None:
        self.s, self.f, self.seed = world.scenario, world.figures, world.seed
        self.P, self.U, self.E = world.sizes.P, world.sizes.U, world.sizes.E
        self.noise_w_hz = 10 ** ((self.s.radio.noise_dbm_hz + self.s.radio.noise_figure_db) / 10) / 1000

    # what is legal ----------------------------------------------------------------------------------------------

    def may_place(self, w: dict[str, Any], u: int, e: int) -> bool:
        d = w["devices"][u]
        ready = d["presence"] == 1 and d["open"] and d["battery_j"] > 0
        if e == self.E:
            return ready and bool(self.s.devices.local_expert) and d["local_budget"] > 0
        return ready and w["experts"][e]["loaded"]

    def seconds(self, w: dict[str, Any], e: int) -> float:
        nominal = float(self.f.machines[e].seconds_per_unit)
        return nominal if e == self.E else nominal / self.s.providers.speed_levels[w["providers"][e % self.P]["speed"]]

    # one slot ---------------------------------------------------------------------------------------------------

    def step(self, w: dict[str, Any], device_actions: Any, provider_actions: Any) -> dict[str, Any]:
        """Advance `w` in place and return what happened."""
        out: dict[str, Any] = {
            "placed": [-1] * self.U,
            "refused": [False] * self.U,
            "device_invalid": [False] * self.U,
            "provider_invalid": [False] * self.P,
            "ended": [0] * self.U,
            "quality": [0.0] * self.U,
            "latency_s": [0.0] * self.U,
            "segment_latency_s": [0.0] * self.U,
            "earned": [0.0] * self.U,
            "payment": [0.0] * self.U,
            "energy": [0.0] * self.U,
            "latency": [0.0] * self.U,
            "revenue": [0.0] * self.P,
            "electricity": [0.0] * self.P,
            "loading_cost": [0.0] * self.P,
            "late_cost": [0.0] * self.P,
        }
        acted = [d["presence"] == 1 for d in w["devices"]]
        self.place(w, out, device_actions)
        shares = self.shares(w, out, device_actions)
        for u in w["order"]:
            if out["placed"][u] >= 0:
                self.serve(w, out, u, int(device_actions[u][1]), shares[u])
        self.expire(w, out)
        self.drain(w, out)
        self.finish_loading(w)
        self.steer(w, out, provider_actions)
        self.reward(out, acted)
        self.move_on(w, out)
        return out

    def steer(self, w: dict[str, Any], out: dict[str, Any], actions: Any) -> None:
        providers = self.s.providers
        for p, provider in enumerate(w["providers"]):
            provider["price"], provider["speed"], provider["bandwidth"] = (int(a) for a in actions[p][:3])
            place = int(actions[p][3])
            if place == 0:
                continue
            own = list(range(p, self.E, self.P))
            wanted = own[place - 1] if place <= len(own) else None
            if wanted is None or provider["loading"] >= 0 or w["experts"][wanted]["loaded"]:
                out["provider_invalid"][p] = True
                continue
            size = float(self.f.machines[wanted].memory_gb)
            while (
                sum(self.f.machines[e].memory_gb for e in own if w["experts"][e]["loaded"]) + size > providers.memory_gb
            ):
                candidates = [e for e in own if w["experts"][e]["loaded"] and self.f.machines[e].memory_gb > 0]
                w["experts"][min(candidates, key=lambda e: (w["experts"][e]["last_used"], e))]["loaded"] = False
            provider["loading"], provider["loading_s"] = wanted, size / providers.load_gb_per_s
            w["experts"][wanted]["last_used"] = w["clock"]["slot"]
            out["loading_cost"][p] = -providers.load_cost_per_gb * size

    def place(self, w: dict[str, Any], out: dict[str, Any], actions: Any) -> None:
        for u, d in enumerate(w["devices"]):
            if d["presence"] != 1:
                continue
            e, power = int(actions[u][0]), int(actions[u][1])
            if e <= self.E:
                if self.may_place(w, u, e):
                    out["placed"][u] = e
                else:
                    out["device_invalid"][u] = True
            else:
                could = any(self.may_place(w, u, x) for x in range(self.E + 1))
                out["device_invalid"][u] = (power > 0 and not d["open"]) or (could and not self.s.devices.may_wait)

    def shares(self, w: dict[str, Any], out: dict[str, Any], actions: Any) -> list[float]:
        weights = [0.0] * self.U
        for u, d in enumerate(w["devices"]):
            e = out["placed"][u]
            if 0 <= e < self.E:
                link, policy = w["links"][u][e % self.P], w["providers"][e % self.P]["bandwidth"]
                snr = (
                    self.s.devices.power_levels_w[int(actions[u][1])]
                    * 10 ** (link["gain_db"] / 10)
                    / (self.noise_w_hz * self.s.radio.bandwidth_hz)
                )
                weights[u] = [1.0, d["context_bits"], math.log2(1 + snr)][policy]
        total = [
            sum(weights[u] for u in range(self.U) if 0 <= out["placed"][u] < self.E and out["placed"][u] % self.P == p)
            for p in range(self.P)
        ]
        return [
            weights[u] / total[out["placed"][u] % self.P] if 0 <= out["placed"][u] < self.E else 0.0
            for u in range(self.U)
        ]

    def serve(self, w: dict[str, Any], out: dict[str, Any], u: int, power: int, share: float) -> None:
        s, d, e = self.s, w["devices"][u], out["placed"][u]
        score, seconds = self.f.scores[d["prompt"], e], self.seconds(w, e)
        work, bits = float(score.work), float(score.bits)
        if e == self.E:
            d["local_backlog"] += work
            d["local_budget"] -= work
            latency = d["local_backlog"] * seconds
            energy = s.devices.local_power_w * work * seconds
        else:
            expert, p = w["experts"][e], e % self.P
            wait = expert["backlog"] * seconds
            if wait > s.queue_limit_s:
                out["refused"][u], out["placed"][u] = True, -1
                return
            band, gain = share * s.radio.bandwidth_hz, 10 ** (w["links"][u][p]["gain_db"] / 10)
            up_power, down_power = s.devices.power_levels_w[power], s.radio.provider_power_w * share
            up_rate = band * math.log2(1 + up_power * gain / (self.noise_w_hz * band))
            down_rate = band * math.log2(1 + down_power * gain / (self.noise_w_hz * band))
            up, down = min(s.radio.max_tx_s, d["context_bits"] / up_rate), min(s.radio.max_tx_s, bits / down_rate)
            hop = 0.0
            if self.f.machines[e].is_cloud:
                hop += s.radio.cloud_rtt_s + (d["context_bits"] + bits) / s.radio.backhaul_bps
            if 0 <= d["last_expert"] < self.E and d["last_expert"] % self.P != p:
                hop += d["text_bits"] / s.radio.backhaul_bps
            latency = up + wait + work * seconds + hop + down
            energy = up_power * up
            expert["backlog"] += work
            expert["last_used"] = w["clock"]["slot"]
            price = s.providers.price_levels[w["providers"][p]["price"]] * float(self.f.machines[e].price) * work
            out["payment"][u] = -price
            out["revenue"][p] += price
            if d["age"] * s.episode.slot_s + latency > s.requests.deadline_slots * s.episode.slot_s:
                out["late_cost"][p] -= s.providers.late_penalty
        d["battery_j"] = max(0.0, d["battery_j"] - energy)
        out["energy"][u] = -s.rewards.energy_weight * energy
        self.note_segment(w, out, u, e, latency)

    def note_segment(self, w: dict[str, Any], out: dict[str, Any], u: int, e: int, latency: float) -> None:
        s, d = self.s, w["devices"][u]
        score = self.f.scores[d["prompt"], e]
        out["segment_latency_s"][u] = latency
        out["latency"][u] = -s.rewards.latency_weight * latency / s.requests.subtasks
        d["score_sum"] += float(score.quality) * float(score.work)
        d["work_sum"] += float(score.work)
        d["text_bits"] += float(score.bits)
        d["finish_s"] = max(d["finish_s"], d["age"] * s.episode.slot_s + latency)
        d["switches"] += d["last_expert"] not in (-1, e)
        d["last_expert"] = e
        d["done"] += 1
        if d["done"] < s.requests.subtasks:
            return
        in_time = d["finish_s"] <= s.requests.deadline_slots * s.episode.slot_s
        out["quality"][u] = (
            d["score_sum"] / d["work_sum"] * s.requests.coherence ** d["switches"] if d["work_sum"] > 0 else 0.0
        )
        out["latency_s"][u] = d["last_latency_s"] = d["finish_s"]
        out["earned"][u] = d["value"] * out["quality"][u] if in_time else 0.0
        self.end(d, out, u, 1 if in_time else 2)

    @staticmethod
    def end(d: dict[str, Any], out: dict[str, Any], u: int, how: int) -> None:
        out["ended"][u], d["open"] = how, False
        d["requests"] += 1

    def expire(self, w: dict[str, Any], out: dict[str, Any]) -> None:
        for u, d in enumerate(w["devices"]):
            if d["open"]:
                d["age"] += 1
                if d["age"] >= self.s.requests.deadline_slots:
                    self.end(d, out, u, 3)

    def drain(self, w: dict[str, Any], out: dict[str, Any]) -> None:
        slot_s, providers = self.s.episode.slot_s, self.s.providers
        for p, provider in enumerate(w["providers"]):
            joules = providers.idle_power_w * slot_s
            for e in range(p, self.E, self.P):
                speed = providers.speed_levels[provider["speed"]]
                needed = w["experts"][e]["backlog"] * self.seconds(w, e)
                joules += float(self.f.machines[e].power_w) * speed**3 * min(slot_s, needed)
                w["experts"][e]["backlog"] = max(0.0, needed - slot_s) / self.seconds(w, e)
            out["electricity"][p] = -joules / 3.6e6 * providers.usd_per_kwh * 1000
        for d in w["devices"]:
            d["local_backlog"] = max(0.0, d["local_backlog"] - slot_s / self.seconds(w, self.E))

    def finish_loading(self, w: dict[str, Any]) -> None:
        for provider in w["providers"]:
            if provider["loading"] >= 0:
                provider["loading_s"] -= self.s.episode.slot_s
                if provider["loading_s"] <= 0:
                    w["experts"][provider["loading"]]["loaded"] = True
                    provider["loading"], provider["loading_s"] = -1, 0.0

    def reward(self, out: dict[str, Any], acted: list[bool]) -> None:
        devices = [sum(out[name][u] for name in ("earned", "payment", "energy", "latency")) for u in range(self.U)]
        providers = [
            sum(out[name][p] for name in ("revenue", "electricity", "loading_cost", "late_cost")) for p in range(self.P)
        ]
        mean = (sum(devices) + sum(providers)) / (sum(acted) + self.P)
        team = self.s.rewards.team
        out["device_reward"] = [
            (1 - team) * r + team * mean if here else 0.0 for r, here in zip(devices, acted, strict=True)
        ]
        out["provider_reward"] = [(1 - team) * r + team * mean for r in providers]

    # the random part --------------------------------------------------------------------------------------------

    def move_on(self, w: dict[str, Any], out: dict[str, Any]) -> None:
        clock, s = w["clock"], self.s
        clock["slot"] += 1
        key = rng.stream(self.seed, clock["world"], clock["episode"], clock["slot"])
        out["terminated"], out["joined"], out["arrived"] = [False] * self.U, [False] * self.U, [False] * self.U
        for u, d in enumerate(w["devices"]):
            draw = rng.uniforms(key, rng.CHURN, u)[0]
            full = s.episode.requests_per_device
            if d["presence"] == 1 and (draw < s.devices.churn or (full and d["requests"] >= full)):
                d["presence"], out["terminated"][u] = 2, True
                if d["open"]:
                    self.end(d, out, u, 4)
            elif d["presence"] == 0 and draw < s.devices.churn:
                d["presence"], out["joined"][u] = 1, True
        if s.mobility.model != "static":
            for u in range(self.U):
                self.move(w, u, key)
        self.arrive(w, out, key)
        left, order = list(range(self.U)), [0] * self.U
        for i in range(self.U - 1, -1, -1):  # draw the last place first
            j = int(rng.uniforms(key, rng.ORDER, i)[0] * (i + 1)) if i else 0
            order[i] = left[j]
            left[j] = left[-1]
            left.pop()
        w["order"] = order

    def move(self, w: dict[str, Any], u: int, key: Any) -> None:
        s, d = self.s, w["devices"][u]
        step, side = s.mobility.speed_mps * s.episode.slot_s, s.mobility.area_m
        if s.mobility.model == "highway":
            d["x_m"] = (d["x_m"] + d["heading"] * step) % side
        else:
            way = math.hypot(d["target_x_m"] - d["x_m"], d["target_y_m"] - d["y_m"])
            if way <= step:
                d["x_m"], d["y_m"] = d["target_x_m"], d["target_y_m"]
                x, y, _, _ = rng.uniforms(key, rng.WAYPOINT, u)
                d["target_x_m"], d["target_y_m"] = x * side, y * side
            else:
                d["x_m"] += (d["target_x_m"] - d["x_m"]) / way * step
                d["y_m"] += (d["target_y_m"] - d["y_m"]) / way * step
        rho = radio.jakes_correlation(s.mobility.speed_mps, s.radio.carrier_hz, s.episode.slot_s)
        for p, provider in enumerate(w["providers"]):
            link = w["links"][u][p]
            re, im, shade, _ = rng.normals(key, rng.FADING, u * self.P + p)
            kept = math.exp(-step / (10.0 if link["line_of_sight"] else 13.0))
            link["shadow"] = kept * link["shadow"] + math.sqrt(1 - kept**2) * shade
            link["fading_re"] = rho * link["fading_re"] + math.sqrt(1 - rho**2) * re
            link["fading_im"] = rho * link["fading_im"] + math.sqrt(1 - rho**2) * im
            link["distance_m"] = math.hypot(d["x_m"] - provider["x_m"], d["y_m"] - provider["y_m"])
            loss = radio.path_loss_db(link["distance_m"], s.radio.carrier_hz, link["line_of_sight"])
            loss += link["shadow"] * (4.0 if link["line_of_sight"] else 7.82)
            link["gain_db"] = 10 * math.log10((link["fading_re"] ** 2 + link["fading_im"] ** 2) / 2) - loss

    def arrive(self, w: dict[str, Any], out: dict[str, Any], key: Any) -> None:
        s, clock = self.s, w["clock"]
        rate, process = s.arrivals.rate_per_s, s.arrivals.process
        if process == "bursty":
            if rng.uniforms(key, rng.BURST, 0)[0] < 1 / s.arrivals.burst_slots:
                clock["busy_period"] = 1 - clock["busy_period"]
            rate *= 2 / (1 + s.arrivals.burst_ratio) * (s.arrivals.burst_ratio if clock["busy_period"] else 1)
        elif process.startswith("trace"):
            rate *= self.f.trace[(clock["trace_start"] + clock["slot"]) % len(self.f.trace)]
        chance = 1.0 if process == "saturated" else 1 - math.exp(-rate * s.episode.slot_s)
        for u, d in enumerate(w["devices"]):
            if d["presence"] == 1 and not d["open"] and rng.uniforms(key, rng.ARRIVAL, u)[0] < chance:
                out["arrived"][u] = True
                self.open(w, d, u, key)

    def open(self, w: dict[str, Any], d: dict[str, Any], u: int, key: Any) -> None:
        s = self.s
        pick, worth, _, _ = rng.uniforms(key, rng.REQUEST, u)
        length = rng.normals(key, rng.REQUEST, self.U + u)[0]
        spread = s.requests.context_spread
        d.update(
            open=True,
            prompt=int(pick * len(self.f.category)),
            age=0,
            done=0,
            last_expert=-1,
            switches=0,
            value=s.requests.value_low + worth * (s.requests.value_high - s.requests.value_low),
            context_bits=s.requests.context_tokens * 32 * math.exp(spread * length - spread**2 / 2),
            local_budget=s.devices.local_budget_units,
            score_sum=0.0,
            work_sum=0.0,
            text_bits=0.0,
            finish_s=0.0,
        )
        blocks = -(-(self.E + 1) // 4)
        errors = [z for block in range(blocks) for z in rng.normals(key, rng.GATE, u * blocks + block)]
        for e in range(self.E + bool(s.devices.local_expert)):
            prior, true = (
                float(table[e].quality)
                for table in (self.f.priors[self.f.category[d["prompt"]]], self.f.scores[d["prompt"]])
            )
            w["gate"][u][e] = min(1.0, max(0.0, prior + s.gate.skill * (true - prior) + s.gate.noise * errors[e]))
