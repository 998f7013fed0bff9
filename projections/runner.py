"""Carries events into one generation of one read model: in order, in batches, each batch whole or not at all."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic
from uuid import UUID

import msgspec
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from domain.kernel import Recorded, tag_of
from projections.ports import (
    Batch,
    Change,
    Checkpoint,
    DeadLetter,
    Feed,
    Log,
    MovedByAnotherError,
    RefusedRowsError,
    S,
    Sink,
)
from projections.projection import Doc, Projection, Rows

LIVE_BATCH: Final = 500
CATCH_UP_BATCH: Final = 5_000
LIVE_DOCUMENTS: Final = 10_000
CATCH_UP_DOCUMENTS: Final = 100_000
FEED_TIMEOUT: Final = 0.5
LIVE_INTERVAL: Final = 0.01
QUIET_INTERVAL: Final = 0.02
LOG_POLL: Final = 0.05
RATE_WINDOW: Final = 5.0

log = structlog.get_logger()


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """A read model has moved on; ``position`` is visible to readers."""

    name: str
    generation: int
    position: int
    events: int = 0
    changes: int = 0


class Runner(Generic[Doc, S]):
    """One at a time per generation: what else changes the generation (retry, skip) takes its turn with the batches."""

    def __init__(
        self,
        projection: Projection[Doc],
        generation: int,
        *,
        sink: Sink,
        log: Log[S],
        feed: Feed[S],
        outages: tuple[type[Exception], ...],
        advanced: Callable[[Advanced], None] = lambda advanced: None,
        batch: int = CATCH_UP_BATCH,
    ) -> None:
        self.projection = projection
        self.generation = generation
        self.sink = sink
        self.position = 0
        self.paused = False
        self.throttle: int | None = None
        self.live = False
        self._ceiling: int | None = None
        self._log = log
        self._feed = feed
        self._outages = outages
        self._advanced = advanced
        self._batch = batch
        self._documents: OrderedDict[UUID, tuple[Doc | None, int]] = OrderedDict()
        self._checkpoint = Checkpoint(position=0)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._ahead: tuple[int, int, asyncio.Task[_Fetched]] | None = None
        self._pace: deque[tuple[float, int]] = deque()
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(projection.document)

    async def run(self) -> None:
        """Until cancelled, or until the generation retires (``RetiredError``). Outages are waited out."""
        try:
            await self._through_outages(self._reload)
            while True:
                await self._gate()
                await self._through_outages(self._step)
        finally:
            if self._ahead is not None:
                self._ahead[2].cancel()

    def control(self, *, paused: bool, throttle: int | None) -> None:
        self.paused, self.throttle = paused, throttle

    async def hold_at(self, ceiling: int | None) -> int:
        """Go no further than ``ceiling`` (0: than now), or on again with ``None``; returns where it stands."""
        async with self._turn:
            self._ceiling = None if ceiling is None else max(ceiling, self.position)
            return self.position

    async def reaches(self, position: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.position >= position)

    async def catches_up(self) -> None:
        """Until the feed can carry it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.live)

    async def finish(self) -> None:
        """Between two batches, so that what the sink does differently afterwards holds for whole batches."""
        async with self._turn:
            await self.sink.finish()

    async def settle(self, letter: int, *, skip: bool) -> int:
        """Fold again what is parked with a dead letter, in order, up to the next failure; tells how many remain."""
        async with self._turn:
            if skip:
                await self.sink.skip(letter)
                await self._reload()
            parked = await self.sink.letters(letter)
            recorded = await self._log.at_positions(sorted({each.position for each in parked}))
            by_position = {each.position: each for each in recorded}
            keys, streams = self._checkpoint.parked_keys, self._checkpoint.parked_streams
            folding = _Folding(
                self,
                parked_keys=set(keys) - {each.key for each in parked if not each.whole},
                parked_streams=set(streams) - {each.key for each in parked if each.whole},
                again=parked,
            )
            for each in parked:
                folding.take(by_position[each.position], None if each.whole else each.key)
            try:
                await self._save(folding, self.position, self.position)
            finally:
                await self._reload()
            return len(folding.letters)

    async def _reload(self) -> None:
        self._documents.clear()
        self._checkpoint = await self.sink.open()
        await self._moved_to(self._checkpoint.position)

    async def _gate(self) -> None:
        """Waits while nothing may be done; looks often enough for a switch to be a matter of milliseconds."""
        while self.paused or (self._ceiling is not None and self.position >= self._ceiling):
            await asyncio.sleep(0.005 if not self.paused else 0.05)

    async def _step(self) -> None:
        started = time.monotonic()
        position = self.position
        fetched = await self._fetch(position)
        if not fetched.to:
            await self._now_live(fetched.live)
            if not fetched.live:
                await asyncio.sleep(LOG_POLL)
            return
        async with self._turn:
            to = fetched.to if self._ceiling is None else min(fetched.to, self._ceiling)
            if self.position != position or to <= position or self.paused:
                return
            recorded = [each for each in fetched.recorded if each.position <= to]
            try:
                await self._advance(recorded, to)
            except MovedByAnotherError:
                log.warning("checkpoint moved by another", projection=self.projection.name, position=position)
                await self._reload()
                return
        await self._now_live(fetched.live)
        self._advanced(
            Advanced(
                name=self.projection.name,
                generation=self.generation,
                position=to,
                events=to - position,
                changes=len(recorded),
            )
        )
        if self.throttle:
            await asyncio.sleep(max(0.0, (to - position) / self.throttle - (time.monotonic() - started)))
        elif fetched.live:
            # The first event after a pause is carried at once. While they keep coming, gather a few: a transaction
            # costs the same for one as for many. And nobody waits for what is nothing to this read model.
            await asyncio.sleep(LIVE_INTERVAL if recorded else QUIET_INTERVAL)

    async def _fetch(self, position: int) -> _Fetched:
        limit = min(LIVE_BATCH if self.live else self._batch, self.throttle or self._batch)
        fresh = await self._feed.after(position, limit, FEED_TIMEOUT)
        if fresh is not None:
            wanted = [each for each in fresh if each.tag in self.projection.tags]
            return _Fetched(
                to=fresh[-1].position if fresh else 0,
                recorded=await self._feed.decode(wanted) if wanted else [],
                live=True,
            )
        if self._ahead is None or self._ahead[:2] != (position, limit):
            if self._ahead is not None:
                self._ahead[2].cancel()
            self._ahead = (position, limit, asyncio.create_task(self._read(position, limit)))
        task, self._ahead = self._ahead[2], None
        fetched = await task
        if fetched.to == position + limit:
            # While this batch is folded and saved, Postgres already hands over the next one.
            self._ahead = (fetched.to, limit, asyncio.create_task(self._read(fetched.to, limit)))
        return fetched

    async def _read(self, position: int, limit: int) -> _Fetched:
        stored = await self._log.read(position, limit)
        wanted = [each for each in stored if each.tag in self.projection.tags]
        return _Fetched(to=stored[-1].position if stored else 0, recorded=await self._log.decode(wanted))

    async def _advance(self, recorded: Sequence[Recorded[Any]], to: int) -> None:
        folding = _Folding(
            self,
            parked_keys=set(self._checkpoint.parked_keys),
            parked_streams=set(self._checkpoint.parked_streams),
        )
        for each in recorded:
            folding.take(each)
        await self._save(folding, self.position, to)
        if folding.letters:
            await self._reload()
        else:
            await self._moved_to(to)

    async def _save(self, folding: _Folding[Doc], after: int, to: int) -> None:
        if not self.projection.append_only:
            missing = [key for key in folding.queues if key not in self._documents]
            if missing:
                loaded = await self.sink.load(missing)
                for key in missing:
                    state, position = loaded.get(key, (None, 0))
                    self._remember(key, None if state is None else self._decoder.decode(state), position)
        folding.fold()
        for _ in range(2):
            try:
                await self.sink.save(
                    Batch(
                        after=after,
                        to=to,
                        changes=folding.changes,
                        letters=folding.letters,
                        settled=folding.settled,
                        rate=self._rate(to),
                    )
                )
                break
            except RefusedRowsError as refusal:
                folding.refuse(refusal.refused)
        else:
            raise RuntimeError("the engine refuses documents that it took before")
        for key, (document, position) in folding.results.items():
            if not self.projection.append_only:
                self._remember(key, document, position)
        self._forget()

    def _remember(self, key: UUID, document: Doc | None, position: int) -> None:
        self._documents[key] = (document, position)
        self._documents.move_to_end(key)

    def _forget(self) -> None:
        room = LIVE_DOCUMENTS if self.live else CATCH_UP_DOCUMENTS
        while len(self._documents) > room:
            self._documents.popitem(last=False)

    def known(self, key: UUID) -> tuple[Doc | None, int]:
        return (None, 0) if self.projection.append_only else self._documents[key]

    def was_skipped(self, position: int, key: UUID) -> bool:
        return (position, key) in self._checkpoint.skipped

    def change(self, key: UUID, document: Doc | None, position: int) -> Change:
        if document is None:
            return Change(key=key, position=position)
        into = self.projection.into
        columns = into.row(document) if isinstance(into, Rows) else into.source(document) or {}
        state = None if self.projection.append_only else self._encoder.encode(document)
        return Change(key=key, position=position, document=state, columns=dict(columns))

    async def _moved_to(self, position: int) -> None:
        async with self._changed:
            self.position = position
            self._changed.notify_all()

    async def _now_live(self, live: bool) -> None:
        if live != self.live:
            async with self._changed:
                self.live = live
                self._changed.notify_all()

    def _rate(self, to: int) -> float:
        now = time.monotonic()
        while len(self._pace) > 1 and self._pace[0][0] < now - RATE_WINDOW:
            self._pace.popleft()
        self._pace.append((now, to))
        (since, start) = self._pace[0]
        return (to - start) / (now - since) if now > since else 0.0

    async def _through_outages(self, step: Callable[[], Any]) -> None:
        def tell(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            log.warning("projection waits", projection=self.projection.name, error=str(error))

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(self._outages),
            wait=wait_exponential(multiplier=0.05, max=2.0),
            before_sleep=tell,
        ):
            with attempt:
                await step()


class _Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """``to`` is 0 when there was nothing."""

    to: int
    recorded: list[Recorded[Any]]
    live: bool = False


class _Folding(Generic[Doc]):
    """One batch on its way: which document takes which events, and what that comes to.

    An event that cannot be folded parks the document that it belongs to, and the events after it wait behind it in
    order; a bug in one document's history stops that document only.
    """

    def __init__(
        self,
        runner: Runner[Doc, Any],
        *,
        parked_keys: set[UUID],
        parked_streams: set[UUID],
        again: Sequence[DeadLetter] = (),
    ) -> None:
        self._runner = runner
        self._parked_keys = parked_keys
        self._parked_streams = parked_streams
        self._again = again
        self.queues: dict[UUID, list[Recorded[Any]]] = {}
        self.results: dict[UUID, tuple[Doc | None, int]] = {}
        self.changes: list[Change] = []
        self.letters: list[DeadLetter] = []

    @property
    def settled(self) -> list[int]:
        """The dead letters that were folded again and are parked no more."""
        parked = {(each.key, each.position, each.whole) for each in self.letters}
        return [
            each.id
            for each in self._again
            if each.id is not None and (each.key, each.position, each.whole) not in parked
        ]

    def take(self, recorded: Recorded[Any], key: UUID | None = None) -> None:
        """Queue an event for ``key``, or for all documents that it touches."""
        keys: Iterable[UUID]
        if key is not None:
            keys = (key,)
        elif recorded.stream in self._parked_streams:
            self._park(recorded.stream, recorded, whole=True)
            return
        else:
            try:
                keys = self._runner.projection.keys(recorded)
            except Exception:  # noqa: BLE001  # any bug in the projection's code parks the event's stream
                if self._runner.was_skipped(recorded.position, recorded.stream):
                    return
                self._parked_streams.add(recorded.stream)
                self._park(recorded.stream, recorded, whole=True, error=traceback.format_exc())
                return
        for each in keys:
            if each in self._parked_keys:
                self._park(each, recorded)
            elif not self._runner.was_skipped(recorded.position, each):
                self.queues.setdefault(each, []).append(recorded)

    def fold(self) -> None:
        for key, events in self.queues.items():
            before = self._runner.known(key)
            try:
                document, position = self._folded(key, before, events)
                self.changes.append(self._runner.change(key, document, position))
                self.results[key] = (document, position)
            except Exception:  # noqa: BLE001  # any bug in the projection's code: found again below, event by event
                self._fold_slowly(key, before, events)

    def refuse(self, refused: dict[UUID, str]) -> None:
        """The engine cannot hold these documents: what this batch brought them is parked."""
        self.changes = [each for each in self.changes if each.key not in refused]
        for key, error in refused.items():
            self.results.pop(key, None)
            self._park_all(key, self.queues[key], error)

    def _folded(
        self, key: UUID, before: tuple[Doc | None, int], events: Sequence[Recorded[Any]]
    ) -> tuple[Doc | None, int]:
        document, position = before
        for recorded in events:
            document = self._runner.projection.fold(document, recorded, key)
            position = max(position, recorded.position)
        return document, position

    def _fold_slowly(
        self, key: UUID, before: tuple[Doc | None, int], events: Sequence[Recorded[Any]]
    ) -> None:
        """Up to the event that makes the trouble; it and those after it are parked."""
        reached: Change | None = None
        for index, recorded in enumerate(events):
            try:
                after = self._folded(key, before, [recorded])
                reached = self._runner.change(key, *after)
            except Exception:  # noqa: BLE001  # as above
                self._park_all(key, events[index:], traceback.format_exc())
                break
            before = self.results[key] = after
        if reached is not None:
            self.changes.append(reached)

    def _park_all(self, key: UUID, events: Sequence[Recorded[Any]], error: str) -> None:
        self._parked_keys.add(key)
        for index, recorded in enumerate(events):
            self._park(key, recorded, error=error if index == 0 else "")

    def _park(self, key: UUID, recorded: Recorded[Any], *, whole: bool = False, error: str = "") -> None:
        self.letters.append(
            DeadLetter(
                key=key,
                stream=recorded.stream,
                version=recorded.version,
                position=recorded.position,
                tag=tag_of(type(recorded.event)),
                whole=whole,
                error=error,
            )
        )
