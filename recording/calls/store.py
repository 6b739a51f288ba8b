"""Every call as a row of an SQLite file, so that a killed run goes on without paying twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from ..plan import PlanError

FILE = "calls.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS plan (digest TEXT NOT NULL, offline INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY,       -- SHA-256 of role, model, parameters, messages and replica
    role TEXT NOT NULL, model TEXT NOT NULL, prompt TEXT NOT NULL, part INTEGER NOT NULL, replica TEXT NOT NULL,
    status TEXT NOT NULL,       -- sent: not answered yet; answered; refused or malformed: marked, and not asked again
    unread INTEGER NOT NULL DEFAULT 0,  -- 1: an answer that did not have the form asked for
    request TEXT NOT NULL,      -- parameters and messages, JSON
    text TEXT, finish TEXT, logprobs TEXT,
    tokens_in INTEGER, tokens_out INTEGER, seconds REAL,
    usd REAL NOT NULL DEFAULT 0,        -- of the answer
    usd_lost REAL NOT NULL DEFAULT 0,   -- at most, of calls that were sent and whose answer never arrived
    sent_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE VIEW IF NOT EXISTS spent AS
    SELECT role, model, prompt, count(*) AS calls, sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out,
           sum(usd) AS usd, sum(usd_lost) AS usd_lost FROM calls GROUP BY role, model, prompt;
"""


@dataclass(frozen=True)
class Call:
    """A question to a model.

    Attributes:
        role: `gate`, `expert/NAME`, `fuser` or `judge/NAME`.
        model: Its name at the endpoint.
        parameters: Of the request, besides model and messages.
        messages: As the interface takes them.
        replica: Which of several answers to the same question this is.
        prompt: Id of the prompt it belongs to.
        part: Index of its part, -1 for the whole.
    """

    role: str
    model: str
    parameters: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]]
    replica: str
    prompt: str
    part: int

    @property
    def key(self) -> str:
        """SHA-256 of role, model, parameters, messages and replica."""
        whole = [self.role, self.model, dict(self.parameters), list(self.messages), self.replica]
        return hashlib.sha256(json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Reply(NamedTuple):
    """What came back; what it cost is `usd` dollars, and `logprobs` is as the endpoint gave it."""

    text: str
    finish: str
    logprobs: Any
    tokens_in: int
    tokens_out: int
    seconds: float
    usd: float


class Store:
    """The file of calls of one plan. It survives the death of the process at any moment.

    Args:
        folder: Where the file lies.
        digest: Of the plan.
        offline: Whether the small local model answers.
        resume: Go on where there is a file; otherwise there must be none.

    Raises:
        PlanError: if the file is there and `resume` is false, is of another plan, or is in use.
    """

    def __init__(self, folder: Path, digest: str, offline: bool = False, resume: bool = False) -> None:
        path = folder / FILE
        if path.exists() and not resume:
            raise PlanError(f"--save: '{folder}' holds a recording: go on with --resume, or take another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / f".{FILE}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise PlanError(f"--save: another recording is writing to '{folder}': wait for it to end") from None
        self._db = sqlite3.connect(path, isolation_level=None)
        try:
            self._open(path, digest, offline)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, digest: str, offline: bool) -> None:
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
            known = self._db.execute("SELECT digest, offline FROM plan").fetchone()
        except sqlite3.DatabaseError as error:
            raise PlanError(f"{path}: is not a store of calls ({error}): take another folder") from None
        if known is None:
            self._db.execute("INSERT INTO plan VALUES (?, ?)", (digest, int(offline)))
        elif known != (digest, int(offline)):
            raise PlanError(
                f"{path}: is of another plan, or of other prompts: restore them, or save to another folder "
                f"(limits, prices and names of keys may change)"
            )

    def find(self, call: Call) -> tuple[str, Reply | None] | None:
        """Status and answer of a call, if it was ever sent."""
        names = ", ".join(Reply._fields)
        row = self._db.execute(f"SELECT status, {names} FROM calls WHERE key = ?", (call.key,)).fetchone()
        if row is None:
            return None
        status, *values = row
        if status != "answered":
            return status, None
        reply = Reply(*values)
        return status, reply._replace(logprobs=json.loads(reply.logprobs) if reply.logprobs else None)

    def send(self, call: Call, usd_at_risk: float) -> None:
        """Write down that a call is about to be sent, and what it may cost if no answer arrives."""
        request = json.dumps({**call.parameters, "messages": list(call.messages)}, ensure_ascii=False)
        self._db.execute(
            "INSERT INTO calls (key, role, model, prompt, part, replica, status, request, usd_lost) "
            "VALUES (?, ?, ?, ?, ?, ?, 'sent', ?, ?) ON CONFLICT (key) DO UPDATE SET usd_lost = usd_lost + ?",
            (call.key, call.role, call.model, call.prompt, call.part, call.replica, request, usd_at_risk, usd_at_risk),
        )

    def settle(self, call: Call, usd_at_risk: float) -> None:
        """Take back what was at risk: the endpoint said that it did not do the work."""
        self._db.execute("UPDATE calls SET usd_lost = max(0, usd_lost - ?) WHERE key = ?", (usd_at_risk, call.key))

    def answer(self, call: Call, reply: Reply, usd_at_risk: float) -> None:
        """Keep an answer."""
        names = ", ".join(f"{name} = ?" for name in Reply._fields)
        values = reply._replace(logprobs=None if reply.logprobs is None else json.dumps(reply.logprobs))
        self._db.execute(
            f"UPDATE calls SET status = 'answered', {names}, usd_lost = max(0, usd_lost - ?) WHERE key = ?",
            (*values, usd_at_risk, call.key),
        )

    def mark(self, call: Call, status: str) -> None:
        """Mark a call that has no usable answer: `refused` or `malformed`."""
        self._db.execute("UPDATE calls SET status = ? WHERE key = ?", (status, call.key))

    def mark_unread(self, call: Call) -> None:
        """Mark an answer that did not have the form that was asked for."""
        self._db.execute("UPDATE calls SET unread = 1 WHERE key = ?", (call.key,))

    def count(self) -> int:
        """Calls that were answered."""
        return int(self._db.execute("SELECT count(*) FROM calls WHERE status = 'answered'").fetchone()[0])

    def usd(self) -> float:
        """Dollars spent, with those of calls whose answer never arrived."""
        return float(self._db.execute("SELECT coalesce(sum(usd + usd_lost), 0) FROM calls").fetchone()[0])

    def spent(self) -> list[dict[str, Any]]:
        """Calls, tokens and dollars by role and model; by prompt they are in the view `spent` of the file."""
        rows = self._db.execute(
            "SELECT role, model, sum(calls), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), sum(usd), "
            "sum(usd_lost) FROM spent GROUP BY role, model ORDER BY role, model"
        )
        names = ("role", "model", "calls", "tokens_in", "tokens_out", "usd", "usd_lost")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
        self._lock.release()
