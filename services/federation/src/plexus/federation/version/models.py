"""What ``getVersion`` answers."""

from __future__ import annotations

from pydantic import BaseModel


class Server(BaseModel):
    name: str
    version: str


class Version(BaseModel):
    server: Server
