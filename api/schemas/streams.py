"""Streams: where one is, and the frames of its WebSocket."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api.schemas.words import State


class Stream(BaseModel):
    """Where a stream is."""

    task: str
    board: str
    state: State
    next: int = Field(description="Sequence that the next input must have: as many were taken.")
    answered: int = Field(description="Inputs that the board has answered, from the first on.")
    ended: bool = Field(description="Whether no more inputs are taken.")
    low: float = Field(description="Smallest input.")
    high: float = Field(description="Largest input.")
    window: int = Field(description="Inputs without an answer, at most; beyond it the socket is not read.")
    idle_seconds: float = Field(description="So long without an input, and the board goes to its safe state.")
    connected: bool = Field(description="Whether a client is connected to this service now.")
