"""A plain, readable reference of one slot of one world: dictionaries and loops, no compiler.

It shares the formulas of single quantities (radio, rng) with the product but none of the orchestration.
"""

from __future__ import annotations

import math
from typing import Any

from edge_experts.envs import World
from edge_experts.envs.physics import radio, rng


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
        "users": rows(state.users[b]),
        "links": links,
        "gate": state.gate[b].tolist(),
        "parts": {name: getattr(state.parts, name)[b].tolist() for name in state.parts._fields},
        "taste": state.taste[b].tolist(),
        "order": state.order[b].tolist(),
    }


class Reference:
    def __init__(self, world: World) -> None:
        self.s, self.f, self.seed = world.scenario, world.params, world.seed
        self.P, self.U, self.E, self.X = world.sizes.P, world.sizes.U, world.sizes.E, world.sizes.X
        self.kinds = [self.s.kind(name) for name in self.s.quality_tables]
        self.modality = [table.modality for table in world.tables]
        self.pools = self.read_pools(world)
        self.parallel = self.s.requests.dispatch == "parallel"
        self.recorded = [
            self.s.gate.source == "recorded" or (self.s.gate.source == "auto" and "gate" in table.dimensions)
            for table in world.tables
        ]
        self.J = self.s.requests.subtasks if self.parallel else 1
        self.scripted = range(self.U - self.s.devices.scripted, self.U)
        self.noise_w_hz = 10 ** ((self.s.radio.noise_dbm_hz + self.s.radio.noise_figure_db) / 10) / 1000

    def read_pools(self, world: World) -> list[dict[str, list[tuple[int, int]]]]:
        """By kind and category: row and part (-1: any) of every prompt in use, in the order of the table."""
        pools, row = [], 0
        for table in world.tables:
            rows = table.split(self.s.tables.split)
            if self.s.tables.prompts:
                picks = self.s.tables.prompts
                rows = [rows[round(i * (len(rows) - 1) / max(1, picks - 1))] for i in range(picks)]
            pool: dict[str, list[tuple[int, int]]] = {name: [] for name in table.categories}
            for n in rows:
                part = -1 if table.part is None else int(table.part[n])
                pool[table.categories[table.category[n]]].append((row, part))
                row += 1
            pools.append(pool)
        return pools

    def own(self, k: int) -> bool:
        """Whether every part of a kind has a prompt of its own."""
        if self.kinds[k].parts != "auto":
            return self.kinds[k].parts == "own"
        return self.rule(k) in ("text", "video") or any(
            part >= 0 for pool in self.pools[k].values() for _, part in pool
        )

    def rule(self, k: int) -> str:
        known = self.modality[k] if self.modality[k] in ("video", "object3d") else "text"
        return known if self.kinds[k].rule == "auto" else self.kinds[k].rule

    # what is legal ----------------------------------------------------------------------------------------------

    def access(self, w: dict[str, Any], u: int, e: int) -> int:
        return w["users"][u]["serving"] if self.s.radio.access == "serving" else e % self.P

    def home(self, u: int, p: int) -> bool:
        return self.s.devices.at_home and u % self.P == p

    def reaches(self, w: dict[str, Any], u: int, p: int) -> bool:
        radio, link = self.s.radio, w["links"][u][p]
        if self.home(u, p):
            return True
        if radio.range_m is not None and link["distance_m"] > radio.range_m:
            return False
        noise_db = 10 * math.log10(self.noise_w_hz * radio.bandwidth_hz / max(self.s.devices.power_levels_w))
        return radio.min_snr_db is None or link["gain_db"] - noise_db >= radio.min_snr_db

    def works(self, w: dict[str, Any], e: int) -> bool:
        events = self.s.events
        failed = events.outage_expert == self.s.experts[e] and (
            events.outage_slot <= w["clock"]["slot"] < events.outage_slot + events.outage_slots
        )
        return w["experts"][e]["loaded"] and not failed

    def may_place(self, w: dict[str, Any], u: int, e: int) -> bool:
        d, s = w["users"][u], self.s
        if not (d["presence"] == 1 and d["open"] and d["battery_j"] > 0 and self.f.serves[d["kind"], e]):
            return False
        if d["strict"] and self.f.machines[e].hallucination > s.requests.max_hallucination:
            return False
        if s.requests.distinct and e in w["parts"]["expert"][u][: d["done"]]:
            return False
        if e >= self.E:
            return d["local_budget"] > 0 and float(self.f.machines[e].memory_gb) <= d["memory_gb"]
        return self.works(w, e) and self.reaches(w, u, self.access(w, u, e))

    def seconds(self, w: dict[str, Any], e: int) -> float:
        nominal = float(self.f.machines[e].seconds_per_unit)
        return nominal if e >= self.E else nominal / self.s.providers.speed_levels[w["providers"][e % self.P]["speed"]]

    def price(self, w: dict[str, Any], e: int) -> float:
        events = self.s.events
        shock = events.price_factor if w["clock"]["slot"] >= events.price_slot else 1.0
        return (
            self.s.providers.price_levels[w["providers"][e % self.P]["price"]] * float(self.f.machines[e].price) * shock
        )

    def worth(self, w: dict[str, Any], u: int) -> float:
        """What a request's answers are worth together, by its kind's rule."""
        d, kind = w["users"][u], self.kinds[w["users"][u]["kind"]]
        prompts, experts, gate = (w["parts"][name][u][: d["done"]] for name in ("prompt", "expert", "gate"))
        scores = [self.f.scores[n, e] for n, e in zip(prompts, experts, strict=True)]
        aspects = [self.f.aspects[n, e] for n, e in zip(prompts, experts, strict=True)]
        rule, quality = self.rule(d["kind"]), [float(score.quality) for score in scores]
        changes = [i for i in range(1, len(experts)) if experts[i] != experts[i - 1]]
        if rule == "video":
            return sum(quality) / len(quality) * kind.coherence ** len(changes)
        if rule == "object3d":
            mean = (aspects[0][1] + aspects[-1][2] + (aspects[0][0] + aspects[-1][0]) / 2) / 3
            return mean * (kind.coherence if experts[0] != experts[-1] else 1.0)
        if rule == "ensemble":
            weights = [math.exp(reading / kind.temperature) for reading in gate]
            return sum(a * b for a, b in zip(weights, quality, strict=True)) / sum(weights)
        words = [float(score.units) for score in scores]
        if sum(words) == 0:
            return 0.0
        return sum(a * b for a, b in zip(words, quality, strict=True)) / sum(words) * kind.coherence ** len(changes)

    # one slot ---------------------------------------------------------------------------------------------------

    def step(self, w: dict[str, Any], user_actions: Any, provider_actions: Any) -> dict[str, Any]:
        """Advance `w` in place and return what happened."""
        out: dict[str, Any] = {
            "asked": [[-1] * self.J for _ in range(self.U)],
            "share": [[0.0] * self.J for _ in range(self.U)],
            "placed": [-1] * self.U,
            "refused": [False] * self.U,
            "user_invalid": [False] * self.U,
            "provider_invalid": [False] * self.P,
            "ended": [0] * self.U,
            "quality": [0.0] * self.U,
            "latency_s": [0.0] * self.U,
            "part_latency_s": [0.0] * self.U,
            "hallucination": [0.0] * self.U,
            "handover": [False] * self.U,
            "earned": [0.0] * self.U,
            "payment": [0.0] * self.U,
            "energy": [0.0] * self.U,
            "latency": [0.0] * self.U,
            "revenue": [0.0] * self.P,
            "electricity": [0.0] * self.P,
            "loading_cost": [0.0] * self.P,
            "late_cost": [0.0] * self.P,
        }
        acted = [d["presence"] == 1 for d in w["users"]]
        user_actions = self.script(w, [[int(a) for a in action] for action in user_actions])
        self.place(w, out, user_actions)
        self.share(w, out, user_actions)
        w["unread"] = set()
        for u in w["order"]:
            for j in range(self.J):
                if out["asked"][u][j] >= 0:
                    self.serve(w, out, u, j, int(user_actions[u][-1]))
            if self.parallel and out["placed"][u] >= 0:
                self.compose(w, out, u)
        self.expire(w, out)
        self.drain(w, out)
        self.finish_loading(w)
        self.steer(w, out, provider_actions)
        self.reward(out, acted)
        self.move_on(w, out)
        return out

    def script(self, w: dict[str, Any], actions: list[list[int]]) -> list[list[int]]:
        for u in self.scripted:
            legal = [e for e in range(self.X) if self.may_place(w, u, e)]
            best = sorted(legal, key=lambda e: (-w["gate"][u][e], e))[: self.J]
            nobody = [self.X] * (self.J - len(best))
            actions[u] = [*best, *nobody, len(self.s.devices.power_levels_w) - 1 if legal else 0]
        return actions

    def steer(self, w: dict[str, Any], out: dict[str, Any], actions: Any) -> None:
        providers = self.s.providers
        for p, provider in enumerate(w["providers"]):
            if w["clock"]["slot"] % providers.period:
                now = [provider["price"], provider["speed"], provider["bandwidth"], 0]
                now += [provider["views"], provider["power"]]
                out["provider_invalid"][p] = [int(a) for a in actions[p]] != now
                continue
            provider["price"], provider["speed"], provider["bandwidth"] = (int(a) for a in actions[p][:3])
            provider["views"], provider["power"] = int(actions[p][4]), int(actions[p][5])
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
        for u, d in enumerate(w["users"]):
            if d["presence"] != 1:
                continue
            *named, power = actions[u]
            if any(e < self.X and not self.may_place(w, u, e) for e in named):
                out["user_invalid"][u] = True
            if all(e == self.X for e in named):
                could = any(self.may_place(w, u, x) for x in range(self.X))
                out["user_invalid"][u] = (power > 0 and not d["open"]) or (could and not self.s.devices.may_wait)
            for j, e in enumerate(named):
                if e < self.X and e not in named[:j] and self.may_place(w, u, e):
                    out["asked"][u][j] = e

    def share(self, w: dict[str, Any], out: dict[str, Any], actions: Any) -> None:
        total = [0.0] * self.P
        sent = []
        for u, d in enumerate(w["users"]):
            for j, e in enumerate(out["asked"][u]):
                if not 0 <= e < self.E or self.home(u, self.access(w, u, e)):
                    continue
                p = self.access(w, u, e)
                link, policy = w["links"][u][p], w["providers"][p]["bandwidth"]
                power_w, noise_w = (
                    self.s.devices.power_levels_w[actions[u][-1]],
                    self.noise_w_hz * self.s.radio.bandwidth_hz,
                )
                snr = power_w * 10 ** (link["gain_db"] / 10) / noise_w
                weight = [1.0, d["context_bits"], math.log2(1 + snr)][policy]
                total[p] += weight
                sent.append((u, j, p, weight))
        for u, j, p, weight in sent:
            out["share"][u][j] = weight / total[p]

    def serve(self, w: dict[str, Any], out: dict[str, Any], u: int, j: int, power: int) -> None:
        s, d, e, share = self.s, w["users"][u], out["asked"][u][j], out["share"][u][j]
        score, seconds = self.f.scores[d["prompt"], e], self.seconds(w, e)
        work, bits, shown = float(score.work), float(score.bits), 1.0
        if e >= self.E:
            machine = self.f.machines[e]
            if d["loaded"] != e:
                d["local_backlog_s"] += float(machine.memory_gb) / s.devices.load_gb_per_s
            d["loaded"] = e
            d["local_backlog_s"] += work * seconds
            d["local_budget"] -= work
            latency = d["local_backlog_s"]
            energy = float(machine.power_w) * work * seconds
        else:
            expert, host, p = w["experts"][e], e % self.P, self.access(w, u, e)
            wait = expert["backlog"] * seconds
            if wait > s.queue_limit_s:
                out["refused"][u] = True
                return
            up_power, views = s.devices.power_levels_w[power], s.providers.view_levels[w["providers"][host]["views"]]
            if self.home(u, p):
                up = down = 0.0
            else:
                band, gain = share * s.radio.bandwidth_hz, 10 ** (w["links"][u][p]["gain_db"] / 10)
                down_power = s.radio.provider_power_w * share * s.providers.power_factors[w["providers"][p]["power"]]
                up_rate = band * math.log2(1 + up_power * gain / (self.noise_w_hz * band))
                down_rate = band * math.log2(1 + down_power * gain / (self.noise_w_hz * band))
                sent = bits * views / max(s.providers.view_levels)
                up, down = min(s.radio.max_tx_s, d["context_bits"] / up_rate), min(s.radio.max_tx_s, sent / down_rate)
            hop = s.radio.handover_s if d["handover"] else 0.0
            if self.f.machines[e].is_cloud:
                hop += s.radio.cloud_rtt_s + (d["context_bits"] + bits) / s.radio.backhaul_bps
            if s.radio.access == "serving" and p != host:
                hop += (d["context_bits"] + bits) / s.radio.backhaul_bps
            if 0 <= d["last_expert"] < self.E and d["last_expert"] % self.P != host:
                hop += d["output_bits"] / s.radio.backhaul_bps
            latency = up + wait + work * seconds + hop + down
            energy = up_power * up
            shown = min(1.0, views * s.providers.view_angle_deg / 360)
            expert["backlog"] += work
            expert["last_used"] = w["clock"]["slot"]
            price = self.price(w, e) * float(score.billed)
            out["payment"][u] -= price
            out["revenue"][host] += price
            if d["age"] * s.episode.slot_s + latency > self.kinds[d["kind"]].deadline_slots * s.episode.slot_s:
                out["late_cost"][host] -= s.providers.late_penalty
        d["battery_j"] = max(0.0, d["battery_j"] - energy)
        out["energy"][u] -= s.rewards.energy_weight * energy
        out["placed"][u] = e
        self.note_part(w, out, u, e, latency, shown)

    def note_part(self, w: dict[str, Any], out: dict[str, Any], u: int, e: int, latency: float, shown: float) -> None:
        s, d = self.s, w["users"][u]
        kind, parts = self.kinds[d["kind"]], w["parts"]
        parts["expert"][u][d["done"]], parts["gate"][u][d["done"]] = e, w["gate"][u][e]
        d["output_bits"] += float(self.f.scores[d["prompt"], e].bits)
        d["coverage_sum"] += shown
        d["finish_s"] = max(d["finish_s"], d["age"] * s.episode.slot_s + latency)
        d["done"] += 1
        if self.parallel:  # the slowest answer counts
            out["part_latency_s"][u] = max(out["part_latency_s"][u], latency)
            out["latency"][u] = -s.rewards.latency_weight * out["part_latency_s"][u]
            return
        out["part_latency_s"][u] = latency
        out["latency"][u] = -s.rewards.latency_weight * latency / kind.subtasks
        d["last_expert"] = e
        if d["done"] == kind.subtasks:
            self.compose(w, out, u)
        elif parts["prompt"][u][d["done"]] != d["prompt"]:
            self.turn_to(w, u)

    def turn_to(self, w: dict[str, Any], u: int) -> None:
        """Turn to the prompt of the part that is next, which the gate has yet to read."""
        d = w["users"][u]
        d["prompt"] = w["parts"]["prompt"][u][d["done"]]
        w["unread"].add(u)
        if self.f.context_bits[d["prompt"]] > 0:
            d["context_bits"] = float(self.f.context_bits[d["prompt"]])

    def compose(self, w: dict[str, Any], out: dict[str, Any], u: int) -> None:
        s, d = self.s, w["users"][u]
        kind, n = self.kinds[d["kind"]], d["done"]
        in_time = d["finish_s"] <= kind.deadline_slots * s.episode.slot_s
        answers = list(zip(*(w["parts"][name][u][:n] for name in ("prompt", "expert")), strict=True))
        words = [float(self.f.scores[prompt, e].units) for prompt, e in answers]
        rates = [float(self.f.machines[e].hallucination) for _, e in answers]
        if sum(words) > 0:
            out["hallucination"][u] = sum(a * b for a, b in zip(words, rates, strict=True)) / sum(words)
        out["quality"][u] = self.worth(w, u) * d["coverage_sum"] / n
        out["latency_s"][u] = d["last_latency_s"] = d["finish_s"]
        out["earned"][u] = d["value"] * out["quality"][u] if in_time else 0.0
        self.end(d, out, u, 1 if in_time else 2)

    @staticmethod
    def end(d: dict[str, Any], out: dict[str, Any], u: int, how: int) -> None:
        out["ended"][u], d["open"] = how, False
        d["requests"] += 1

    def expire(self, w: dict[str, Any], out: dict[str, Any]) -> None:
        for u, d in enumerate(w["users"]):
            if d["open"]:
                d["age"] += 1
                if d["age"] >= self.kinds[d["kind"]].deadline_slots:
                    self.end(d, out, u, 3)

    def drain(self, w: dict[str, Any], out: dict[str, Any]) -> None:
        slot_s, providers = self.s.episode.slot_s, self.s.providers
        for p, provider in enumerate(w["providers"]):
            extra_w = 2.6 * (providers.power_factors[provider["power"]] - 1) * self.s.radio.provider_power_w
            joules = (providers.idle_power_w + extra_w) * slot_s
            for e in range(p, self.E, self.P):
                speed = providers.speed_levels[provider["speed"]]
                needed = w["experts"][e]["backlog"] * self.seconds(w, e)
                joules += float(self.f.machines[e].power_w) * speed**3 * min(slot_s, needed)
                w["experts"][e]["backlog"] = max(0.0, needed - slot_s) / self.seconds(w, e)
            out["electricity"][p] = -joules / 3.6e6 * providers.usd_per_kwh * 1000
        for d in w["users"]:
            d["local_backlog_s"] = max(0.0, d["local_backlog_s"] - slot_s)

    def finish_loading(self, w: dict[str, Any]) -> None:
        for provider in w["providers"]:
            if provider["loading"] >= 0:
                provider["loading_s"] -= self.s.episode.slot_s
                if provider["loading_s"] <= 0:
                    w["experts"][provider["loading"]]["loaded"] = True
                    provider["loading"], provider["loading_s"] = -1, 0.0

    def reward(self, out: dict[str, Any], acted: list[bool]) -> None:
        users = [sum(out[name][u] for name in ("earned", "payment", "energy", "latency")) for u in range(self.U)]
        providers = [
            sum(out[name][p] for name in ("revenue", "electricity", "loading_cost", "late_cost")) for p in range(self.P)
        ]
        others = self.s.rewards.others
        if others > 0:
            free = ("revenue", "payment") if self.s.providers.act else ()
            kept = [n for n in ("earned", "payment", "energy", "latency") if n not in free]
            users = [sum(out[name][u] for name in kept) for u in range(self.U)]
            acting = self.s.providers.act
            costs = ("electricity", "loading_cost", "late_cost") if acting else ()
            providers = [sum(out[name][p] for name in costs) for p in range(self.P)]
            total = sum(users) + sum(providers)
            out["user_reward"] = [
                r + others * (total - r) if here else 0.0 for r, here in zip(users, acted, strict=True)
            ]
            out["provider_reward"] = [r + others * (total - r) for r in providers]
            return
        mean = (sum(users) + sum(providers)) / (sum(acted) + self.P)
        team = self.s.rewards.team
        out["user_reward"] = [
            (1 - team) * r + team * mean if here else 0.0 for r, here in zip(users, acted, strict=True)
        ]
        out["provider_reward"] = [(1 - team) * r + team * mean for r in providers]

    # the random part --------------------------------------------------------------------------------------------

    def move_on(self, w: dict[str, Any], out: dict[str, Any]) -> None:
        clock, s = w["clock"], self.s
        clock["slot"] += 1
        key = rng.stream(self.seed, clock["world"], clock["episode"], clock["slot"])
        out["terminated"], out["joined"], out["arrived"] = [False] * self.U, [False] * self.U, [False] * self.U
        for u, d in enumerate(w["users"]):
            draw = rng.uniforms(key, rng.CHURN, u)[0]
            full = s.episode.requests_per_user
            if d["presence"] == 1 and (draw < s.devices.churn or (full and d["requests"] >= full)):
                d["presence"], out["terminated"][u] = 2, True
                if d["open"]:
                    self.end(d, out, u, 4)
            elif d["presence"] == 0 and draw < s.devices.churn:
                d["presence"], out["joined"][u] = 1, True
        if s.mobility.model != "static":
            for u in range(self.U):
                self.move(w, u, key)
            if s.radio.access == "serving":
                for u in range(self.U):
                    out["handover"][u] = self.hand_over(w, u)
        self.arrive(w, out, key)
        for u, d in enumerate(w["users"]):
            if d["open"] and u in w["unread"]:
                self.read(w, u, key)
        left, order = list(range(self.U)), [0] * self.U
        for i in range(self.U - 1, -1, -1):  # draw the last place first
            j = int(rng.uniforms(key, rng.ORDER, i)[0] * (i + 1)) if i else 0
            order[i] = left[j]
            left[j] = left[-1]
            left.pop()
        w["order"] = order

    def move(self, w: dict[str, Any], u: int, key: Any) -> None:
        s, d = self.s, w["users"][u]
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

    def hand_over(self, w: dict[str, Any], u: int) -> bool:
        d, gains = w["users"][u], [link["gain_db"] for link in w["links"][u]]
        best, lost = gains.index(max(gains)), not self.reaches(w, u, d["serving"])
        d["handover"] = best != d["serving"] and (
            lost or gains[best] - gains[d["serving"]] >= self.s.radio.handover_margin_db
        )
        if d["handover"]:
            d["serving"] = best
        return d["handover"]

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
        for u, d in enumerate(w["users"]):
            if d["presence"] == 1 and not d["open"] and rng.uniforms(key, rng.ARRIVAL, u)[0] < chance:
                out["arrived"][u] = True
                self.open(w, d, u, key)

    def draw(self, w: dict[str, Any], u: int, k: int, i: int, where: float, topic: str = "") -> int:
        """A prompt for part i, of a user's own mix of categories or of a given one."""
        own, parted = {}, {}
        for g, (name, pool) in enumerate(self.pools[k].items()):
            parted[name] = [row for row, part in pool if part in (-1, i)]
            share = len(parted[name]) / max(1, len(pool))
            own[name] = w["taste"][u][self.first_category(k) + g] * share
        if topic and parted[topic]:
            return parted[topic][int(where * len(parted[topic]))]
        target, passed = where * sum(own.values()), 0.0
        for name, share in own.items():
            if parted[name] and target < passed + share:
                return parted[name][int((target - passed) / share * len(parted[name]))]
            passed += share
        raise AssertionError("a number below 1 falls into some category")

    def first_category(self, k: int) -> int:
        return sum(len(pool) for pool in self.pools[:k])

    def prompts(self, w: dict[str, Any], u: int, k: int, where: float, key: Any) -> list[int]:
        """The prompts of all parts of a new request."""
        first, count = self.draw(w, u, k, 0, where), self.kinds[k].subtasks
        most = max(kind.subtasks for kind in self.kinds)
        prompts = [first] * most
        topic = next(name for name, pool in self.pools[k].items() if first in [row for row, _ in pool])
        for i in range(1, count if self.own(k) else 1):
            keep, where, _, _ = rng.uniforms(key, rng.PART, u * most + i)
            prompts[i] = self.draw(w, u, k, i, where, topic if keep < self.kinds[k].topic_share else "")
        return prompts

    def open(self, w: dict[str, Any], d: dict[str, Any], u: int, key: Any) -> None:
        s = self.s
        pick, worth, care, _ = rng.uniforms(key, rng.REQUEST, u)
        length = rng.normals(key, rng.REQUEST, self.U + u)[0]
        shares = [s.kinds[name].share if name in s.kinds else 1.0 for name in s.quality_tables]
        start, k = 0.0, 0
        while k + 1 < len(shares) and pick >= start + shares[k] / sum(shares):
            start += shares[k] / sum(shares)
            k += 1
        kind = self.kinds[k]
        spread = s.requests.context_spread
        d.update(
            open=True,
            kind=k,
            strict=care < s.requests.strict_share,
            age=0,
            done=0,
            last_expert=-1,
            value=kind.value_low + worth * (kind.value_high - kind.value_low),
            context_bits=kind.context_tokens * 32 * math.exp(spread * length - spread**2 / 2),
            local_budget=s.devices.local_budget_units,
            coverage_sum=0.0,
            output_bits=0.0,
            finish_s=0.0,
        )
        w["parts"]["prompt"][u] = self.prompts(w, u, k, (pick - start) / (shares[k] / sum(shares)), key)
        self.turn_to(w, u)

    def read(self, w: dict[str, Any], u: int, key: Any) -> None:
        """What the gate says of every expert for the part that is next."""
        k, prompt, gate = w["users"][u]["kind"], w["users"][u]["prompt"], self.s.gate
        blocks = -(-self.X // 4)
        errors = [z for block in range(blocks) for z in rng.normals(key, rng.GATE, u * blocks + block)]
        for e in range(self.X):
            if not self.f.serves[k, e]:
                continue
            score, prior = self.f.scores[prompt, e], self.f.priors[self.f.category[prompt], e]
            shown = float(prior.quality + gate.skill * (score.quality - prior.quality) + gate.noise * errors[e])
            w["gate"][u][e] = float(score.gate) if self.recorded[k] else min(1.0, max(0.0, shown))
