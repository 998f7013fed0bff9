"""Read your writes: a reader waits for what it has been told already, and never gets anything older."""

from __future__ import annotations

from typing import Final, Protocol

from api.authentication import Connection, actor_of
from api.commands import Acknowledged, remembered
from domain.kernel import InvalidInputError

PATIENCE: Final = 2.0


class Positions(Protocol):
    """How far each read model is."""

    def known(self, projection: str) -> int: ...

    async def wait(self, projection: str, min_position: int, timeout: float) -> None: ...


class Reading:
    def __init__(
        self, positions: Positions, acknowledged: Acknowledged, *, patience: float = PATIENCE
    ) -> None:
        self._positions = positions
        self._acknowledged = acknowledged
        self._patience = patience

    def known(self, projection: str) -> int:
        return self._positions.known(projection)

    async def fresh(self, connection: Connection, *projections: str) -> int:
        """Wait until the read models hold what this client must see; the position to answer with, which all include."""
        wanted = self.wanted(connection)
        for projection in projections:
            if wanted > self._positions.known(projection):
                await self._positions.wait(projection, wanted, self._patience)
        return min(map(self._positions.known, projections))

    def wanted(self, connection: Connection) -> int:
        """The position that this client must see: what it asks for, or has been told."""
        header = connection.headers.get("x-min-log-position")
        if header is not None:
            if not header.isascii() or not header.isdigit() or len(header) > 18:
                raise InvalidInputError({"X-Min-Log-Position": ["Must be a log position"]})
            return int(header)
        return max(remembered(connection), self._acknowledged.of(actor_of(connection)))
