"""Carries events into one generation of one read model: in order, in batches, each batch whole or not at all."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from itertools import islice
from typing import Any, Final, Generic
from uuid import UUID

import msgspec
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from domain.kernel import Event, Recorded, tag_of
from projections.cancelling import obey_cancellation
from projections.idling import Idling, gathering_after
from projections.ports import (
    Batch,
    Change,
    Checkpoint,
    DeadLetter,
    Feed,
    Log,
    MovedByAnotherError,
    Part,
    Passed,
    RefusedRowsError,
    S,
    Sink,
)
from projections.projection import Doc, Projection, Rows, erased_person

LIVE_BATCH: Final = 500
CATCH_UP_BATCH: Final = 5_000
LIVE_DOCUMENTS: Final = 10_000
CATCH_UP_DOCUMENTS: Final = 100_000
FEED_TIMEOUT: Final = 0.5
LOG_POLL: Final = 0.05
RATE_WINDOW: Final = 5.0
MOST_NAMED: Final = 1_000
"""Documents of a batch that are told one by one; of more it is only told that they are many."""

log = structlog.get_logger()


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """A read model has moved on from ``after``; ``position`` is visible to readers.

    ``changed`` are the documents that are not what they were, each with what its projection's ``effects`` says of the
    change; ``None`` where any may be another.
    """

    name: str
    generation: int
    position: int
    after: int
    events: int = 0
    changes: int = 0
    changed: Mapping[UUID, Collection[str]] | None = None


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
        idling: Idling,
        outages: tuple[type[Exception], ...],
        advanced: Callable[[Advanced], None] = lambda advanced: None,
        erased: Callable[[UUID], None] = lambda person: None,
        batch: int = CATCH_UP_BATCH,
    ) -> None:
        """``erased`` is told of each person whom the generation has forgotten."""
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
        self._idling = idling
        self._advanced = advanced
        self._erased = erased
        self._batch = batch
        self._documents: OrderedDict[UUID, tuple[Doc | None, int]] = OrderedDict()
        self._checkpoint = Checkpoint(position=0)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._ahead: tuple[int, int, asyncio.Task[_Fetched]] | None = None
        self._pace: deque[tuple[float, int]] = deque()
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(projection.document)
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(outages),
            wait=wait_exponential(multiplier=0.05, max=2.0),
            before_sleep=self._tell_outage,
        )

    async def run(self) -> None:
        """Until cancelled, or until the generation retires (``RetiredError``). Outages are waited out."""
        try:
            await self._through_outages(self._reload)
            while True:
                obey_cancellation()
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
                concerned=await self._concerned(recorded),
                again=parked,
            )
            for each in parked:
                folding.take(by_position[each.position], None if each.whole else each.key)
            try:
                await self._save(folding, self.position, self.position)
                self._tell(folding, self.position, self.position)
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
                folding = await self._advance(recorded, to)
            except MovedByAnotherError:
                log.warning("checkpoint moved by another", projection=self.projection.name, position=position)
                await self._reload()
                return
        await self._now_live(fetched.live)
        self._tell(folding, position, to, changes=len(recorded))
        if self.throttle:
            await asyncio.sleep(max(0.0, (to - position) / self.throttle - (time.monotonic() - started)))
        elif fetched.live:
            # The first event after a pause is carried at once. While they keep coming, a few are gathered.
            passed = to - position
            await (asyncio.sleep(gathering_after(passed)) if recorded else self._idling.rest(passed))

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

    def _tell(self, folding: _Folding[Doc], after: int, to: int, *, changes: int = 0) -> None:
        self._advanced(
            Advanced(
                name=self.projection.name,
                generation=self.generation,
                position=to,
                after=after,
                events=to - after,
                changes=changes,
                changed=folding.changed,
            )
        )

    async def _advance(self, recorded: Sequence[Recorded[Any]], to: int) -> _Folding[Doc]:
        folding = _Folding(
            self,
            parked_keys=set(self._checkpoint.parked_keys),
            parked_streams=set(self._checkpoint.parked_streams),
            concerned=await self._concerned(recorded),
        )
        for each in recorded:
            folding.take(each)
        if folding.is_work or folding.erased or not await self._pass(to):
            await self._save(folding, self.position, to)
        if folding.letters:
            await self._reload()
        else:
            await self._moved_to(to)
        return folding

    async def _pass(self, to: int) -> bool:
        """Nothing of a batch is for us: whether the checkpoint could be moved together with those of the others."""
        return await self._idling.move(
            Passed(
                name=self.projection.name,
                generation=self.generation,
                after=self.position,
                to=to,
                rate=self._rate(to),
            )
        )

    async def _concerned(self, recorded: Sequence[Recorded[Any]]) -> Mapping[UUID, Sequence[UUID]]:
        """The documents that depend on those whom the events concern, as they were before the batch."""
        subjects: set[UUID] = set()
        for each in recorded:
            with suppress(Exception):  # found again when the event is taken, and parked there
                if (subject := self.projection.subject_of(each)) is not None:
                    subjects.add(subject)
        return await self.sink.concerned(subjects) if subjects else {}

    async def _save(self, folding: _Folding[Doc], after: int, to: int) -> None:
        room = LIVE_BATCH if self.live else self._batch
        first = folding.portion(0, room)
        await self._load(first)
        batch = Batch(
            after=after,
            to=to,
            rate=self._rate(to),
            erased=list(folding.erased),
            erased_to=max(folding.erased.values(), default=0),
        )
        while True:
            folding.begin()
            try:
                async with aclosing(self._parts(folding, room)) as parts:
                    await self.sink.save(batch, parts if folding.is_work else None)
                break
            except RefusedRowsError as refusal:
                if not folding.refuse(refusal.refused):
                    raise RuntimeError("the engine refuses documents that it took before") from refusal
        for key in first:
            if key in folding.results and not self.projection.append_only:
                self._remember(key, *folding.results[key])
        self._forget()
        for person in folding.erased:
            self._erased(person)

    async def _parts(self, folding: _Folding[Doc], room: int) -> AsyncGenerator[Part, None]:
        """An event that concerns a great seller changes more documents than are good to hold at once."""
        start, handed = 0, 0
        while start == 0 or start < len(folding.queues):
            keys = folding.portion(start, room)
            await self._load(keys)
            changes = folding.fold(keys)
            yield Part(changes=changes, letters=folding.letters[handed:])
            handed = len(folding.letters)
            if start:
                for key in keys:
                    self._documents.pop(key, None)
                    folding.results.pop(key, None)
            start += room
        if folding.settled:
            yield Part(settled=folding.settled)

    async def _load(self, keys: Sequence[UUID]) -> None:
        missing = [key for key in keys if key not in self._documents]
        if not missing or self.projection.append_only:
            return
        loaded = await self.sink.load(missing)
        for key in missing:
            state, position = loaded.get(key, (None, 0))
            self._remember(key, None if state is None else self._decoder.decode(state), position)

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
        return Change(
            key=key,
            position=position,
            document=state,
            columns=dict(columns),
            subjects=sorted(set(self.projection.subjects_of(document))),
        )

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

    async def _through_outages(self, step: Callable[[], Awaitable[None]]) -> None:
        async for attempt in self._retrying:
            with attempt:
                await step()

    def _tell_outage(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("projection waits", projection=self.projection.name, error=str(error))


class _Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """``to`` is 0 when there was nothing."""

    to: int
    recorded: list[Recorded[Any]]
    live: bool = False


class _Folding(Generic[Doc]):
    """One batch on its way: which document takes which events, and what that comes to.

    An event that cannot be folded parks the document that it belongs to, and the events after it wait behind it in
    order; a bug in one document's history stops that document only.

    Whether an event that concerns somebody is for a document is seen when it is its turn, because what comes before
    it may change whom the document depends on. So it queues for all that may: those ``concerned`` before the batch,
    those touched in it, and, for who knows what they will turn out to be, all that are parked.
    """

    def __init__(
        self,
        runner: Runner[Doc, Any],
        *,
        parked_keys: set[UUID],
        parked_streams: set[UUID],
        concerned: Mapping[UUID, Sequence[UUID]],
        again: Sequence[DeadLetter] = (),
    ) -> None:
        self._runner = runner
        self._projection = runner.projection
        self._parked_keys = parked_keys
        self._parked_streams = parked_streams
        self._concerned = concerned
        self._again = again
        self._waiting: list[DeadLetter] = []
        self._refused: dict[UUID, str] = {}
        self._eager: set[UUID] = set()
        self.queues: dict[UUID, list[Recorded[Any]]] = {}
        self.erased: dict[UUID, int] = {}
        self.results: dict[UUID, tuple[Doc | None, int]] = {}
        self.letters: list[DeadLetter] = []
        self.changed: dict[UUID, Collection[str]] | None = None
        self._name_changed()

    @property
    def is_work(self) -> bool:
        return bool(self.queues or self._waiting or self._again)

    @property
    def settled(self) -> list[int]:
        """The dead letters that were folded again and are parked no more."""
        parked = {(each.key, each.position, each.whole) for each in self.letters}
        return [
            each.id
            for each in self._again
            if each.id is not None and (each.key, each.position, each.whole) not in parked
        ]

    def portion(self, start: int, size: int) -> list[UUID]:
        return list(islice(self.queues, start, start + size))

    def take(self, recorded: Recorded[Any], key: UUID | None = None) -> None:
        """Queue an event for ``key``, or for all documents that it touches."""
        person = erased_person(recorded)
        if person is not None:
            self.erased[person] = recorded.position
        if key is not None:
            self._queue(recorded, (key,))
            return
        is_parked = recorded.stream in self._parked_streams
        if is_parked:
            self._park(recorded.stream, recorded, whole=True)
            if person is None:
                return
        try:
            keys = self._projection.touched(recorded)
            subject = self._projection.subject_of(recorded)
        except Exception:  # noqa: BLE001  # any bug in the projection's code parks the event's stream
            if not (is_parked or self._runner.was_skipped(recorded.position, recorded.stream)):
                self._parked_streams.add(recorded.stream)
                self._park(recorded.stream, recorded, whole=True, error=traceback.format_exc())
            return
        if is_parked:
            # As in `_queue`: what is shown of somebody takes it now, and once more in its turn.
            self._eager.update(keys)
        if subject is None:
            self._queue(recorded, keys, at_once=person is not None)
            return
        known = dict.fromkeys((*keys, *self._concerned.get(subject, ())))
        others = [each for each in {**self.queues, **dict.fromkeys(self._parked_keys)} if each not in known]
        self._queue(recorded, known, at_once=person is not None)
        self._queue(recorded, others)

    def _queue(self, recorded: Recorded[Any], keys: Iterable[UUID], *, at_once: bool = False) -> None:
        """``at_once``: nobody may be remembered because of a bug. What a parked document shows until that is
        repaired takes the event now, and once more in its turn.
        """
        for each in keys:
            if self._runner.was_skipped(recorded.position, each):
                continue
            is_parked = each in self._parked_keys
            if is_parked:
                self._park(each, recorded)
            if at_once or not is_parked:
                self.queues.setdefault(each, []).append(recorded)

    def begin(self) -> None:
        """Before the first part is folded; again when the engine has refused one."""
        self.results = {}
        self.letters = list(self._waiting)
        self._name_changed()

    def _name_changed(self) -> None:
        self.changed = None if self._projection.effects is None else {}

    def _note(self, key: UUID, before: Doc | None, after: Doc | None) -> None:
        if self.changed is None or self._projection.effects is None:
            return
        self.changed[key] = self._projection.effects(before, after)
        if len(self.changed) > MOST_NAMED:
            self.changed = None

    def fold(self, keys: Sequence[UUID]) -> list[Change]:
        changes: list[Change] = []
        for key in keys:
            events, before = self.queues[key], self._runner.known(key)
            is_eager = key in self._eager and all(erased_person(each) is not None for each in events)
            if before[0] is None and (key in self._parked_keys or is_eager):
                continue  # there is nothing to be forgotten yet
            if key in self._refused:
                self._park_all(key, events, self._refused[key], before)
                continue
            try:
                after = self._folded(key, before, events)
                if after is not before:
                    changes.append(self._runner.change(key, *after))
                    self._note(key, before[0], after[0])
                    self.results[key] = after
            except Exception:  # noqa: BLE001  # any bug in the projection's code: found again below, event by event
                changes += self._fold_slowly(key, before, events)
        return changes

    def refuse(self, refused: Mapping[UUID, str]) -> bool:
        """The engine cannot hold these documents: what this batch brings them is parked. Whether that is news."""
        known = len(self._refused)
        self._refused.update(refused)
        return len(self._refused) > known

    def _folded(
        self, key: UUID, before: tuple[Doc | None, int], events: Sequence[Recorded[Any]]
    ) -> tuple[Doc | None, int]:
        """``before`` itself when none of the events is for this document."""
        projection = self._projection
        concerning, fold = projection.concerning, projection.fold
        document, position = before
        is_taken = False
        for recorded in events:
            if type(recorded.event) in concerning and not projection.takes(document, recorded, key):
                continue
            is_taken = True
            document = fold(document, recorded, key)
            position = max(position, recorded.position)
        return (document, position) if is_taken else before

    def _fold_slowly(
        self, key: UUID, before: tuple[Doc | None, int], events: Sequence[Recorded[Any]]
    ) -> list[Change]:
        """Up to the event that makes the trouble; it and those after it are parked."""
        reached: list[Change] = []
        first = before
        for index, recorded in enumerate(events):
            try:
                after = self._folded(key, before, [recorded])
                if after is not before:
                    reached = [self._runner.change(key, *after)]
                    self._note(key, first[0], after[0])
            except Exception:  # noqa: BLE001  # as above
                self._park_all(key, events[index:], traceback.format_exc(), before)
                break
            before = self.results[key] = after
        return reached

    def _park_all(
        self, key: UUID, events: Sequence[Recorded[Any]], error: str, before: tuple[Doc | None, int]
    ) -> None:
        """The engine's own words may quote what it could not hold, so they are about everybody in the document."""
        subjects = set(self._projection.subjects_of(before[0])).union(*map(_persons_in, events))
        for index, recorded in enumerate(events):
            letter = self._letter(key, recorded, error=error if index == 0 else "")
            self.letters.append(msgspec.structs.replace(letter, subjects=sorted(subjects)))

    def _park(self, key: UUID, recorded: Recorded[Any], *, whole: bool = False, error: str = "") -> None:
        self._waiting.append(self._letter(key, recorded, whole=whole, error=error))

    def _letter(
        self, key: UUID, recorded: Recorded[Any], *, whole: bool = False, error: str = ""
    ) -> DeadLetter:
        return DeadLetter(
            key=key,
            stream=recorded.stream,
            version=recorded.version,
            position=recorded.position,
            tag=tag_of(type(recorded.event)),
            whole=whole,
            error=error,
            subjects=sorted(_persons_in(recorded)),
        )


def _persons_in(recorded: Recorded[Any]) -> set[UUID]:
    """Whose personal fields the event has."""
    event: Event = recorded.event
    person = None if event.subject is None else getattr(event, event.subject)
    return set() if person is None else {person}
