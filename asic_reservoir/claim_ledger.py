"""The whole list of claims tried on one board, here, without a service: the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asic_reservoir.claims import CATALOGUE, PublishedClaim, claim_of
from asic_reservoir.errors import AsicReservoirError, SafetyError
from asic_reservoir.kept import KeptClaim
from asic_reservoir.kinds import TaskContext, task_kind

Told = Callable[[str, int, int, str], None]
"""Told the claim, steps done, steps in all, a word."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger."""

    claim: PublishedClaim
    standing: str
    """Verdict, or ``not tested``."""
    sentence: str
    origin: str | None
    measured: dict[str, Any]
    """Effect with its interval, controls; empty where nothing was tried."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        claim = self.claim
        return {
            "claim": claim.id,
            "title": claim.title,
            "published": claim.published,
            "where": claim.where,
            "standing": self.standing,
            "sentence": self.sentence,
            "origin": self.origin,
            "measured": self.measured,
        }


def try_claims(board: str, folder: Path, only: Iterable[str] = (), told: Told = lambda *_: None) -> list[Entry]:
    """Try the claims on a board, one after the other; each leaves its report in a folder of its own.

    Args:
        board: URI.
        folder: for the reports, a subfolder a claim.
        only: identifiers; all of them where empty.
        told: of the progress.

    Raises:
        NotFoundError: a claim of that name does not exist.
        SafetyError: the board had to be made safe: nothing more is tried on it.
    """
    wanted = [claim_of(name) for name in only] or list(CATALOGUE)
    return [_tried(claim, board, folder / claim.id, told) for claim in wanted]


def _tried(claim: PublishedClaim, board: str, folder: Path, told: Told) -> Entry:
    if claim.missing is not None:
        return Entry(claim, "not tested", f"Cannot be tried: {claim.missing}.", None, {})
    if claim.kind is None:
        return Entry(claim, "not tested", f"One board does not decide it. {claim.how}.", None, {})
    kind = task_kind(claim.kind)
    folder.mkdir(parents=True, exist_ok=True)
    context = TaskContext(board, folder, lambda done, total, text: told(claim.id, done, total, text))
    try:
        outcome = kind.run(kind.parse(claim.params), context)
    except SafetyError:
        raise
    except AsicReservoirError as error:
        return Entry(claim, "not tested", f"Not tried on this board: {error}.", None, {})
    for fact in outcome.facts:
        if isinstance(fact, KeptClaim) and fact.claim == claim.id:
            return Entry(claim, fact.verdict, fact.measured["sentence"], outcome.origin.value, fact.measured)
    return Entry(claim, "not tested", "The trial ended without a verdict.", outcome.origin.value, {})
