"""What other sites say, gathered by a service."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import structlog

from api.bus.connection import Link
from api.bus.messages import ROOT
from asic_reservoir.store.facts import now_ns

SITES, BOARDS, EVENTS = 100, 1000, 200
"""Kept of what others say, at most: sites, boards of a site, events of a site."""
WANTED = (
    (f"{ROOT}.*.boards.*.live", "last_per_subject"),
    (f"{ROOT}.*.boards.*.lease", "last_per_subject"),
    (f"{ROOT}.*.tasks.>", "new"),
)

log = structlog.get_logger("bus")


@dataclass(slots=True)
class Site:
    """What is known of one site."""

    name: str
    heard_utc_ns: int = 0
    boards: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: live, live_utc_ns, lease."""
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=EVENTS))
    """Events of its tasks, the newest last."""


class FanIn:
    """Listens to all sites but its own. Bounded: a stranger cannot fill the memory of this service.

    Attributes:
        heard: messages taken.
        refused: messages that are none of ours, or did not fit.
    """

    def __init__(self, url: str, own: str) -> None:
        self._own = own
        self._gate = threading.Lock()
        self._sites: dict[str, Site] = {}
        self.heard = self.refused = 0
        self._link = Link(url, f"{own} hears", self._work)

    @property
    def connected(self) -> bool:
        return self._link.connected

    def start(self) -> None:
        self._link.start()

    def stop(self) -> None:
        self._link.stop()

    def sites(self) -> list[dict[str, Any]]:
        """A copy of what is known, by name."""
        with self._gate:
            return [
                {
                    "name": site.name,
                    "heard_utc_ns": site.heard_utc_ns,
                    "boards": [{"name": name, **board} for name, board in sorted(site.boards.items())],
                    "events": list(site.events),
                }
                for _, site in sorted(self._sites.items())
            ]

    def take(self, payload: bytes) -> None:
        """One message, whoever it is from."""
        try:
            content = json.loads(payload)
            site, own = str(content["site"])[:64], content["site"] == self._own
            if own:
                return
            with self._gate:
                known = self._sites.get(site)
                if known is None:
                    if len(self._sites) >= SITES:
                        raise ValueError("too many sites")
                    known = self._sites[site] = Site(site)
                self._note(known, content)
                known.heard_utc_ns = now_ns()
            self.heard += 1
        except (ValueError, KeyError, TypeError, AttributeError):
            self.refused += 1

    def _note(self, site: Site, content: dict[str, Any]) -> None:
        if "task_id" in content:
            wanted = ("task_id", "board", "task_kind", "sequence", "kind", "created_utc_ns", "data")
            site.events.append({key: content[key] for key in wanted})
            return
        name = str(content["board"])[:64]
        if name not in site.boards and len(site.boards) >= BOARDS:
            raise ValueError("too many boards")
        board = site.boards.setdefault(name, {"live": None, "live_utc_ns": None, "lease": None})
        if "live" in content:
            board["live"], board["live_utc_ns"] = dict(content["live"]), int(content["utc_ns"])
        else:
            board["lease"] = {key: content[key] for key in ("state", "token", "holder", "utc_ns")}

    async def _work(self, connection: Any, stream: Any) -> None:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        async def take(message: Any) -> None:
            self.take(message.data)

        for subject, since in WANTED:
            config = ConsumerConfig(
                deliver_policy=DeliverPolicy(since), ack_policy=AckPolicy.NONE, inactive_threshold=30.0
            )
            await stream.subscribe(subject, cb=take, config=config)
        while not connection.is_closed:
            await asyncio.sleep(5.0)


def age_s(utc_ns: int) -> float:
    """Seconds since that time of day."""
    return max(0.0, time.time() - utc_ns * 1e-9)
