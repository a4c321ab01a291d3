"""What the service is measured against: a bare FastAPI application, and the textbook's way to a database."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

DATABASE = os.environ.get("ASIC_RESERVOIR_BENCH_DB", "sqlite:////tmp/asic-reservoir-bench.db")
engine = sa.create_engine(DATABASE, connect_args={"check_same_thread": False, "timeout": 30})
make_session = sessionmaker(engine)


@sa.event.listens_for(engine, "connect")
def durable(connection: object, record: object) -> None:
    """As durable as the service: write-ahead log, synchronised at every commit."""
    connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
    connection.execute("PRAGMA synchronous=FULL")  # type: ignore[attr-defined]


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    board: Mapped[str]
    n_steps: Mapped[int]


class Wanted(BaseModel):
    kind: str
    board: str
    params: dict[str, int]


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[None]:
    Base.metadata.create_all(engine)
    yield


app = FastAPI(lifespan=life)


def session() -> Iterator[Session]:
    with make_session() as opened:
        yield opened


@app.get("/trivial")
async def trivial() -> dict[str, str]:
    """The least that FastAPI can answer with JSON."""
    return {"status": "ok"}


@app.post("/validated")
async def validated(wanted: Wanted) -> dict[str, str]:
    """A body that is validated and kept nowhere."""
    return {"kind": wanted.kind}


@app.post("/textbook")
def textbook(wanted: Wanted, database: Annotated[Session, Depends(session)]) -> dict[str, int]:
    """A session of the ORM a request, a commit a row."""
    row = Row(kind=wanted.kind, board=wanted.board, n_steps=wanted.params["n_steps"])
    database.add(row)
    database.commit()
    return {"id": row.id}
