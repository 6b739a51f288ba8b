"""A scripted endpoint: it answers as an OpenAI-compatible one does, counts what it is asked, and fails when told to."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
SKILL = {"alpha": 6, "beta": 8}
FAULTS = ("429", "500", "stall", "cut", "json", "shape")


def fraction(*words: object) -> float:
    """A number in [0, 1) that depends on nothing but the words."""
    return int(hashlib.sha256(repr(words).encode()).hexdigest()[:8], 16) / 2**32


def between(text: str, name: str) -> list[str]:
    """What stands in the fences of a name."""
    return [inner for _, inner in re.findall(rf"<({name}[\w-]*)>\n(.*?)\n</\1>", text, re.DOTALL)]


@dataclass
class Script:
    """What the endpoint does.

    Attributes:
        faults: By call, counted from 0: which of `FAULTS` befalls it; a callable decides from the number and the body.
        logprobs: `digits`, `none`, or `wrong`.
        delay_s: Before every answer.
        word_s: Before every word of an answer that is streamed.
        gate: Makes what the gate says; None: a proper split and readings.
        judge: Makes what a judge says of a body; None: by the skill of who wrote the answer.
        answers: Makes an expert's answer; None: a line with its name.
        echo_key: Whether answers quote the key that came with the question.
        asked: Every body that was answered with 200, by a checksum.
        seen: All bodies.
    """

    faults: Callable[[int, Body], str] = lambda number, body: ""
    logprobs: str = "digits"
    delay_s: float = 0.0
    word_s: float = 0.0
    gate: Callable[[Body], str] | None = None
    judge: Callable[[Body], str] | None = None
    answers: Callable[[Body], str] | None = None
    echo_key: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    seen: list[Body] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: Body) -> str:
        """What the model of a body says."""
        model, text = body["model"], body["messages"][0]["content"]
        if model == "gate":
            return self.gate(body) if self.gate else _gate(text)
        if model == "fuser":
            return "\n".join(between(text, "part-"))
        if model.startswith("judge"):
            return self.judge(body) if self.judge else _judge(model, text)
        return self.answers(body) if self.answers else f"{model} writes about {text}. " * (2 + len(text) % 3)


def _gate(text: str) -> str:
    task = between(text, "task")[0]
    if "To which of these categories" in text:
        return json.dumps({"category": ("letter", "story")[int(re.findall(r"\d+", task)[-1]) % 2]})
    if "Split the task" in text:
        return json.dumps({"parts": [f"first half of {task}", f"second half of {task}"]})
    names = re.findall(r"^- (\w+)", text, re.MULTILINE)
    return json.dumps({name: round(10 * fraction(name, task), 1) for name in names})


def _judge(model: str, text: str) -> str:
    answers = between(text, "answer")
    scores = [min(10, round(_skill(answer) + 2 * fraction(answer))) for answer in answers]
    if len(scores) == 2:
        return "1" if scores[0] >= scores[1] else "2"
    return str(scores[0])


def _skill(answer: str) -> float:
    found = [SKILL[name] for name in re.findall(r"\b(alpha|beta) writes", answer)]
    return sum(found) / len(found) if found else 5.0


def _logprobs(kind: str, text: str) -> Any:
    if kind == "none":
        return None
    tops = [{"token": text, "logprob": math.log(0.75)}, {"token": "0", "logprob": math.log(0.25)}]
    if kind == "wrong":
        tops = [{"token": text, "logprob": 0.4}, {"token": "0", "logprob": -0.1}]
    return {"content": [{"token": text, "logprob": tops[0]["logprob"], "top_logprobs": tops}]}


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # who asked is gone
                super().handle()

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            body = json.loads(raw)
            key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            with script.lock:
                number = len(script.seen)
                script.seen.append(body)
                script.keys.add(key)
            time.sleep(script.delay_s)
            fault = script.faults(number, body)
            text = script.reply(body) + (f" {key}" if script.echo_key and body["model"] in SKILL else "")
            choice: Body = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            if body.get("logprobs"):
                choice["logprobs"] = _logprobs(script.logprobs, text)
            usage = {"prompt_tokens": len(body["messages"][0]["content"]) // 4, "completion_tokens": len(text) // 4}
            if not fault:
                with script.lock:
                    script.asked[hashlib.sha256(raw).hexdigest()] += 1
            if body.get("stream") and not fault.isdigit():
                self.stream(fault, text, usage)
                return
            self.send(
                fault,
                json.dumps(
                    {
                        "id": "scripted",
                        "object": "chat.completion",
                        "created": 0,
                        "model": "scripted",
                        "choices": [choice],
                        "usage": {**usage, "total_tokens": sum(usage.values())},
                    }
                ).encode(),
                key,
            )

        def stream(self, fault: str, text: str, usage: Body) -> None:
            """The answer word by word, as server-sent events."""
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            frame: Body = {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
            for word in re.findall(r"\S+\s*", text)[: 2 if fault == "cut" else None]:
                time.sleep(script.word_s)
                self.event({**frame, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
            if fault != "cut":
                self.event({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                self.event({**frame, "choices": [], "usage": usage})
                self.wfile.write(b"data: [DONE]\n\n")

        def event(self, data: Body) -> None:
            self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()

        def send(self, fault: str, data: bytes, key: str) -> None:
            if fault == "stall":
                time.sleep(3.0)
            if fault == "json":
                data = data[: len(data) // 2]
            if fault == "shape":
                data = b'{"choices": []}'
            code = int(fault) if fault.isdigit() else 200
            if code != 200:
                data = json.dumps({"error": {"message": f"no, {key}"}}).encode()
            self.send_response(code)
            if fault == "429":
                self.send_header("retry-after", "0.05")
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:20] if fault == "cut" else data)
            if fault == "cut":
                self.close_connection = True

    return Handler


@contextmanager
def serving(script: Script) -> Iterator[int]:
    """The port that a script is served at."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
