"""Claims: what was published, and what tasks found of it on which board."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api import schemas
from api.problems import ProblemError
from api.routes.common import json_response, service_of
from api.security import Reader
from asic_reservoir.claim_trials import universality
from asic_reservoir.claim_trials.universality import Found
from asic_reservoir.claims import CATALOGUE, PublishedClaim
from asic_reservoir.store.facts import boards, claims, results, shelf

router = APIRouter(prefix="/claims", tags=["claims"])

_NEWEST = sa.select(sa.func.max(claims.c.id)).group_by(claims.c.claim, claims.c.board_id)
_SELECT = (
    sa.select(
        claims.c.claim, claims.c.origin, claims.c.measured, claims.c.verdict, claims.c.created_utc_ns, boards.c.uri,
        boards.c.family, shelf.c.name, results.c.task_id,
    )
    .join(boards, boards.c.id == claims.c.board_id)
    .outerjoin(shelf, shelf.c.board_id == claims.c.board_id)
    .outerjoin(results, results.c.id == claims.c.result_id)
    .where(claims.c.id.in_(_NEWEST))
    .order_by(claims.c.id.desc())
)  # fmt: skip
_WEIGHT = {"measured": 0, "replayed": 1, "simulated": 2}


def claim_documents(connection: sa.Connection) -> list[dict[str, Any]]:
    """Every claim of the catalogue as :class:`api.schemas.ClaimEntry`."""
    found: dict[str, list[dict[str, Any]]] = {claim.id: [] for claim in CATALOGUE}
    compared: list[Found] = []
    newest_ns = 0
    for row in connection.execute(_SELECT):
        if row.claim in found:  # one that a later catalogue has dropped is kept, and not shown
            board = row.name or row.uri
            compared.append(Found(row.claim, row.family, board, row.origin, row.verdict, row.task_id))
            newest_ns = max(newest_ns, row.created_utc_ns)
            found[row.claim].append(
                {
                    "board": board,
                    "origin": row.origin,
                    "verdict": row.verdict,
                    "measured": row.measured,
                    "task": row.task_id,
                    "created": schemas.time_of(row.created_utc_ns),
                }
            )
    if (over_all := universality.judge(compared)) is not None:
        found["universality"] = [
            {
                "board": ", ".join(universality.FAMILIES),
                "origin": over_all.origin,
                "verdict": over_all.label,
                "measured": over_all.measured,
                "task": None,
                "created": schemas.time_of(newest_ns),
            }
        ]
    return [_document(claim, found[claim.id]) for claim in CATALOGUE]


def _document(claim: PublishedClaim, tried: list[dict[str, Any]]) -> dict[str, Any]:
    # a stable sort of what is newest first: the newest of the weightiest origin comes first
    best = min(tried, key=lambda result: _WEIGHT[result["origin"]], default=None)
    return {
        "id": claim.id,
        "title": claim.title,
        "published": claim.published,
        "where": claim.where,
        "how": claim.how,
        "test": None if claim.kind is None else {"kind": claim.kind, "params": dict(claim.params)},
        "missing": claim.missing,
        "standing": "not tested" if best is None else best["verdict"],
        "origin": None if best is None else best["origin"],
        "results": tried,
    }


@router.get("", response_model=schemas.ClaimList)
async def list_claims(request: Request, key: Reader) -> Response:
    """The published claims, each with what was found of it: no verdict without a control."""
    return json_response({"items": await service_of(request).read(claim_documents)})


@router.get("/{claim_id}", response_model=schemas.ClaimEntry, responses={404: {}})
async def get_claim(
    claim_id: Annotated[str, Path(pattern=schemas.NAME_PATTERN)], request: Request, key: Reader
) -> Response:
    """One claim."""
    for document in await service_of(request).read(claim_documents):
        if document["id"] == claim_id:
            return json_response(document)
    names = ", ".join(claim.id for claim in CATALOGUE)
    raise ProblemError("not-found", f"claim {claim_id!r}: unknown, must be one of {names}")
