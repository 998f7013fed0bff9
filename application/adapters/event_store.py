"""The write side's door to the log: load, decide, append, and decide again when somebody else was first."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import cache
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, get_args, get_type_hints
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.adapters.appending import (
    Append,
    CommandLog,
    CommandResult,
    History,
    NewEvent,
    Snapshot,
    Wanted,
)
from application.adapters.codec import EventCodec
from application.adapters.keys import Cipher, PersonKeys
from application.errors import (
    ConcurrentChangeError,
    DuplicateCommandError,
    IdempotencyKeyReusedError,
    NotOurTurnError,
    StreamConflictError,
    UnavailableError,
)
from application.ports import (
    AlreadyAnsweredError,
    Answer,
    Changed,
    Clock,
    Loaded,
    Metadata,
    Once,
    Proposal,
    StreamRef,
)
from domain.kernel import Decider, DomainError, Event, Personal

log = logging.getLogger(__name__)

S = TypeVar("S")
E = TypeVar("E", bound=Event)
T = TypeVar("T")

# A conflict means that somebody else's command on the same stream was recorded, so trying again is never in
# vain for all of them together, and a command that is in the right must not be refused for having been slow.
# Within a process they are decided upon each other; processes that fight for one stream take turns after the second
# conflict, so that more tries are needed only while turns are not to be had.
MOST_TRIES: Final = 50


TURN: Final = 0.03
"""Seconds that a process has a stream to itself that others want too: some orders, and no wait that anybody notices."""

CONTESTED_FOR: Final = 1.0
"""Seconds without a conflict after which a stream is free for all again."""

MOST_CONTESTED: Final = 1000


class _OnItsWay(msgspec.Struct, frozen=True, eq=False):
    """An append that was handed to the log; ``ended`` is done once it is known what has become of it."""

    append: Append
    ended: asyncio.Future[None]


class _Known(msgspec.Struct, frozen=True):
    """An aggregate as this process last saw it, and when, by the process's own clock.

    ``kind`` is the name of the decider that folded it, if there was anything to fold; ``snapshot`` is the
    version at which it was last saved. ``upon`` is what is still on its way to the log and made it so: until that has
    landed, it is only what will be so if nobody else comes first.
    """

    kind: str = ""
    state: Any = None
    version: int = 0
    snapshot: int = 0
    seen_at: float = -inf
    upon: _OnItsWay | None = None


_NOTHING: Final = _Known()

_OF_A_PERSON: Final = b"\0person\0"
"""Stands before what is sealed with the key of whose id follows: an answer, where that is somebody else than who asked,
or who was nobody yet; a snapshot that tells about somebody.
"""


PERSONS: Final = ("account_id", "reviewer_id", "owner_id")
"""How aggregates call the person whom they tell about."""


def _persons_of(state: Any) -> list[UUID]:
    return [person for name in PERSONS if (person := getattr(state, name, None)) is not None]


class _Command(msgspec.Struct, Generic[T, S], frozen=True):
    """What is asked; ``state_of`` makes the caller's state of the outcome and of the first stream."""

    refs: Sequence[StreamRef[Any, Any]]
    decide: Callable[[Sequence[Loaded[Any]]], Proposal[T]]
    state_of: Callable[[T, _Known], S]
    metadata: Metadata


class _Decided(msgspec.Struct, Generic[S], frozen=True):
    """What a decision came to: what to tell the caller, what becomes of which stream, and what to append."""

    changed: Changed[S]
    after: dict[UUID, tuple[Decider[Any, Any], _Known]]
    append: Append


class EventStore:
    """Aggregates are remembered in the process; the log's version check is what makes that safe.

    A decision is made on what is remembered, without asking the log. If it comes to events, the append is
    refused unless *every* stream that was decided upon, written or only read, still is where it was seen. If
    it comes to a refusal or to nothing, the log is asked whether the memory was current before that is final.
    So no command is ever decided on something outdated, and one on remembered aggregates takes a single round
    trip.
    """

    def __init__(
        self,
        log: CommandLog,
        codec: EventCodec,
        keys: PersonKeys,
        clock: Clock,
        *,
        remembered: int = 20_000,
        snapshot_every: int = 200,
        most_tries: int = MOST_TRIES,
    ) -> None:
        self._log = log
        self._codec = codec
        self._keys = keys
        self._clock = clock
        self._remembered = remembered
        self._snapshot_every = snapshot_every
        self._most_tries = most_tries
        self._memory: OrderedDict[UUID, _Known] = OrderedDict()
        self._on_their_way: dict[UUID, _Known] = {}
        self._forgotten = 0
        self._locks: dict[UUID, _StreamLock] = {}
        self._contested: dict[UUID, _Turn] = {}
        self._topics: dict[type[Any], str] = {}
        self._saving: set[asyncio.Task[None]] = set()
        self._turning: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> EventStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let snapshots that are being saved be saved, and turns be given up."""
        await asyncio.gather(*self._saving)
        while self._turning:
            await asyncio.gather(*self._turning)

    def forget(self, stream: UUID) -> None:
        """Drop what is remembered of a stream, now or in a moment: its person was erased.

        So is all that tells about that person elsewhere: what they have bought, say, and where it was sent. From now on
        nothing of it is remembered any more, whatever was read of it before and is still in somebody's hands.
        """
        self._keys.withdraw(stream)
        for kept in (self._memory, self._on_their_way):
            for about in [each for each, known in kept.items() if stream in _persons_of(known.state)]:
                del kept[about]
            kept.pop(stream, None)
        self._forgotten += 1

    async def load(self, decider: Decider[S, E], stream: UUID) -> Loaded[S]:
        (loaded,) = await self.load_many([StreamRef(decider, stream)])
        return loaded

    async def load_many(self, refs: Sequence[StreamRef[Any, Any]]) -> list[Loaded[Any]]:
        """Several aggregates as the log has them now: one query for what is new in all of them."""
        return [Loaded(state=known.state, version=known.version) for known in await self._read_on(refs)]

    async def glance(self, refs: Sequence[StreamRef[Any, Any]], *, within: float = 1.0) -> list[Loaded[Any]]:
        """Several aggregates as they were at most ``within`` seconds ago; asks the log only for older memories.

        For planning and for showing, not for deciding: what is decided on is checked by the append.
        """
        oldest = monotonic() - within
        remembered: list[Loaded[Any]] = []
        for ref in refs:
            known = self._memory.get(ref.id, _NOTHING)
            if known.seen_at < oldest or known.kind not in ("", ref.decider.name):
                break
            remembered.append(Loaded(state=known.state, version=known.version))
        else:
            return remembered
        return await self.load_many(refs)

    async def change(
        self,
        decider: Decider[S, E],
        stream: UUID,
        decide: Callable[[S | None], Sequence[E]],
        metadata: Metadata,
    ) -> Changed[S]:
        ref = StreamRef(decider, stream)

        def propose(loaded: Sequence[Loaded[Any]]) -> Proposal[None]:
            return Proposal(outcome=None, events=[(ref, decide(loaded[0].state))])

        def state_of(_: None, known: _Known) -> S:
            state: S = known.state
            return state

        return await self._carry_out(_Command([ref], propose, state_of, metadata))

    async def change_together(
        self,
        refs: Sequence[StreamRef[Any, Any]],
        decide: Callable[[Sequence[Loaded[Any]]], Proposal[T]],
        metadata: Metadata,
    ) -> Changed[T]:
        def outcome_of(outcome: T, _: _Known) -> T:
            return outcome

        return await self._carry_out(_Command(refs, decide, outcome_of, metadata))

    async def _carry_out(self, command: _Command[T, S]) -> Changed[S]:
        try:
            async with _Holding(self._locks) as holding:
                return await self._decide_and_append(command, holding)
        except (DomainError, DuplicateCommandError) as refusal:
            # What was done at the first try may be just what makes the second one impossible.
            if command.metadata.once is not None and not isinstance(refusal, UnavailableError):
                await self.raise_if_answered(command.metadata.once)
            raise

    async def _decide_and_append(self, command: _Command[T, S], holding: _Holding) -> Changed[S]:
        refs = command.refs
        conflicts = 0
        current = not all(ref.presumed_new or ref.id in self._memory for ref in refs)
        seen = await self._read_on(refs) if current else [self._at_hand(ref) for ref in refs]
        while True:
            before = seen
            decided = await self._decided(command, seen)
            if isinstance(decided, _Decided) and decided.after:
                await self._have(refs, decided, holding)
                seen = self._recall(refs, seen)
                if _moved(before, seen):
                    # Others had the streams while we waited for them, or for what the decision took.
                    current = False
                    continue
                try:
                    return await self._appended(decided, holding)
                except StreamConflictError as conflict:
                    conflicts += 1
                    current, seen = await self._after(
                        conflict, refs, decided, conflicts=conflicts, before=before, holding=holding
                    )
            elif not current:
                # A refusal, or nothing to do, is final only if it was decided on what is there now.
                await _ended(seen)
                current, seen = True, await self._read_on(refs)
                if not _moved(before, seen) and all(known.upon is None for known in before):
                    return await self._final(decided, holding)
            else:
                return await self._final(decided, holding)

    async def _final(self, decided: _Decided[S] | DomainError, holding: _Holding) -> Changed[S]:
        if isinstance(decided, DomainError):
            raise decided
        return await self._appended(decided, holding)

    async def _have(
        self, refs: Sequence[StreamRef[Any, Any]], decided: _Decided[Any], holding: _Holding
    ) -> None:
        """Come back when the streams are the command's: in turns, where other processes want them all the time."""
        if self._contested:
            contested = sorted({ref.id for ref in refs if ref.id in self._contested})
            if contested != [turn.stream for turn in holding.turns]:
                # Always in one order, and waiting for turns with nothing else in hand that somebody could wait for.
                holding.let_go()
                holding.leave_turns()
                by_id = {ref.id: ref for ref in refs}
                for stream in contested:
                    await self._take(by_id[stream], holding)
        await holding.all_of(decided.after)

    async def _after(
        self,
        conflict: StreamConflictError,
        refs: Sequence[StreamRef[Any, Any]],
        lost: _Decided[Any],
        *,
        conflicts: int,
        before: Sequence[_Known],
        holding: _Holding,
    ) -> tuple[bool, list[_Known]]:
        """What to decide on next, and whether that is known to be what is there now."""
        if isinstance(conflict, NotOurTurnError):
            await self._await_turns(conflict, conflicts, holding)
            current, seen = False, [self._at_hand(ref) for ref in refs]
            in_vain = False
        else:
            current, seen = await self._read_again(refs, lost, before, holding)
            # Something exists that ought to be new and that nobody looked at.
            in_vain = not _moved(before, seen) and all(known.upon is None for known in before)
            if conflicts > 1:
                self._contest(
                    [ref.id for ref, *both in zip(refs, before, seen, strict=True) if _differ(*both)]
                )
        if conflicts >= self._most_tries or in_vain:
            raise ConcurrentChangeError("Somebody else changed this at the same time") from conflict
        return current, seen

    async def _await_turns(self, conflict: NotOurTurnError, conflicts: int, holding: _Holding) -> None:
        """Other processes have these in turns: from now on so do we."""
        holding.leave_turns()
        for stream in conflict.streams:
            turn = self._contested.get(stream)
            if turn is not None and turn.is_ours:
                # It was taken from us, as the server may do with sessions; or it is over, and this came too late.
                turn.over.set()
        self._contest(conflict.streams)
        if conflicts > 1:
            # Perhaps there is none to be had: the others are to be through before all our tries are.
            await asyncio.sleep(TURN / 2)

    def _contest(self, streams: Sequence[UUID]) -> None:
        """Others want these too, all the time: from now on for a while they are written to in turns."""
        now = monotonic()
        if len(self._contested) > MOST_CONTESTED:
            self._contested = {
                stream: turn
                for stream, turn in self._contested.items()
                if turn.in_use or now < turn.last_until
            }
        for stream in streams:
            turn = self._contested.get(stream)
            if turn is None:
                turn = self._contested[stream] = _Turn(stream)
            turn.last_until = now + CONTESTED_FOR

    async def _take(self, ref: StreamRef[Any, Any], holding: _Holding) -> None:
        """Use the turn that is ours, or else the next one."""
        turn = self._contested.get(ref.id)
        if turn is None:
            return
        async with turn.asking:
            if not turn.is_ours:
                if self._contested.get(ref.id) is not turn:
                    return
                if monotonic() > turn.last_until:
                    self._contested.pop(ref.id, None)
                    return
                if turn.beginning is None:
                    turn.beginning = self._beside(self._begin(ref, turn, patiently=not holding.turns))
                # Whoever gives up waiting leaves the place in the line to those behind.
                await asyncio.shield(turn.beginning)
                if not turn.is_ours:
                    return
            holding.use(turn)

    async def _begin(self, ref: StreamRef[Any, Any], turn: _Turn, *, patiently: bool) -> None:
        """One asks for all of this process, and reads for them what was written before it."""
        asked = monotonic()
        try:
            if not await self._log.begin_turn(ref.id, patiently=patiently):
                if patiently:
                    # So that those behind us need not find that out as well, one after the other.
                    self._contested.pop(ref.id, None)
                return
            turn.begin()
            self._beside(self._end(turn))
            if monotonic() - asked > TURN / 4:
                turn.last_until = monotonic() + CONTESTED_FOR
            with suppress(UnavailableError):
                await self._read_on([ref])
        finally:
            turn.beginning = None

    def _beside(self, of_turns: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(of_turns)
        self._turning.add(task)
        task.add_done_callback(self._turning.discard)
        return task

    async def _end(self, turn: _Turn) -> None:
        """After a while, once nobody of ours needs it any more: who comes meanwhile waits for the next one."""
        await turn.over.wait()
        async with turn.asking:
            while turn.users:
                await turn.left.wait()
            turn.is_ours = False
            await self._log.end_turn(turn.stream)

    async def _read_again(
        self,
        refs: Sequence[StreamRef[Any, Any]],
        lost: _Decided[Any],
        before: Sequence[_Known],
        holding: _Holding,
    ) -> tuple[bool, list[_Known]]:
        """The same after somebody else was first.

        Of those who were decided upon each other and lost together, one asks for them all.
        """
        lost_at = monotonic()
        await holding.all_of(lost.after)
        seen = [self._at_hand(ref) for ref in refs]
        chained = [now for old, now in zip(before, seen, strict=True) if old.upon is not None]
        if chained and all(now.seen_at > lost_at for now in chained):
            return False, seen
        return True, await self._read_on(refs)

    async def _decided(self, command: _Command[T, S], seen: Sequence[_Known]) -> _Decided[S] | DomainError:
        try:
            _check_version(command.metadata, seen)
            loaded = [Loaded(state=known.state, version=known.version) for known in seen]
            return await self._prepared(command, seen, command.decide(loaded))
        except DomainError as refusal:
            return refusal

    async def _prepared(
        self, command: _Command[T, S], seen: Sequence[_Known], proposal: Proposal[T]
    ) -> _Decided[S]:
        refs, metadata = command.refs, command.metadata
        before = {ref.id: known for ref, known in zip(refs, seen, strict=True)}
        after: dict[UUID, tuple[Decider[Any, Any], _Known]] = {}
        events: list[NewEvent] = []
        now = self._clock.now()
        for ref, proposed in proposal.events:
            if not proposed:
                continue
            known = after[ref.id][1] if ref.id in after else before.get(ref.id, _NOTHING)
            if known.kind not in ("", ref.decider.name):
                raise TypeError(f"{ref.id} is one of the {known.kind}, not of the {ref.decider.name}")
            for version, event in enumerate(proposed, known.version + 1):
                tag, state = await self._codec.encode(event, ref.id, now, metadata)
                events.append(NewEvent(ref.id, version, tag, state))
            # Folded before it is recorded: what cannot be folded must not get into the log.
            folded = ref.decider.fold(known.state, proposed)
            version = known.version + len(proposed)
            after[ref.id] = (
                ref.decider,
                _Known(ref.decider.name, folded, version, known.snapshot, known.seen_at),
            )
        first = proposal.about or (refs[0].id if refs else events[0].stream)
        outcome = after[first][1] if first in after else before[first]
        changed = Changed(state=command.state_of(proposal.outcome, outcome), version=outcome.version)
        result = None
        if metadata.once is not None:
            result = await self._sealed(metadata.once, metadata.once.answer(changed))
        read = {stream: known.version for stream, known in before.items() if events and stream not in after}
        upon = {known.upon.append for known in seen if known.upon is not None}
        return _Decided(changed, after, Append(events=events, read=read, result=result, upon=tuple(upon)))

    async def _appended(self, decided: _Decided[S], holding: _Holding) -> Changed[S]:
        """Hand it to the log. Whoever comes next decides upon it at once, and is refused by the log where it is."""
        append = decided.append
        if not append.events and append.result is None:
            return decided.changed
        on_its_way = _OnItsWay(append, asyncio.get_running_loop().create_future())
        for stream, (_, known) in decided.after.items():
            self._on_their_way[stream] = replace(known, upon=on_its_way)
        holding.let_go()
        forgotten = self._forgotten
        try:
            position = await self._log.append(append)
            if forgotten == self._forgotten:
                for stream, (decider, known) in decided.after.items():
                    self._remember(stream, known)
                    self._save_if_long(decider, stream)
        finally:
            for stream in decided.after:
                newest = self._on_their_way.get(stream)
                if newest is not None and newest.upon is on_its_way:
                    del self._on_their_way[stream]
            on_its_way.ended.set_result(None)
        return replace(decided.changed, position=position)

    def _recall(self, refs: Sequence[StreamRef[Any, Any]], seen: Sequence[_Known]) -> list[_Known]:
        """What is remembered now, at least what was ``seen`` before, unless that has come to nothing."""
        newest = [self._at_hand(ref) for ref in refs]
        return [
            old if old.version > now.version and not (old.upon and old.upon.append.landed is False) else now
            for now, old in zip(newest, seen, strict=True)
        ]

    def _at_hand(self, ref: StreamRef[Any, Any]) -> _Known:
        """What is remembered, and what of ours is on its way, unless that is known to come to nothing."""
        recorded = self._recorded(ref)
        newest = self._on_their_way.get(ref.id)
        if newest is None or newest.version <= recorded.version or newest.kind != ref.decider.name:
            return recorded
        assert newest.upon is not None
        return recorded if newest.upon.append.landed is False else newest

    def _recorded(self, ref: StreamRef[Any, Any]) -> _Known:
        """What is remembered. Of something of another kind, whose id was taken for one of this: no state."""
        known = self._memory.get(ref.id, _NOTHING)
        return known if known.kind in ("", ref.decider.name) else replace(known, state=None)

    async def _read_on(self, refs: Sequence[StreamRef[Any, Any]]) -> list[_Known]:
        """Bring what is remembered up to date, with one query for all."""
        known = {ref.id: self._recorded(ref) for ref in refs}
        deciders: dict[UUID, Decider[Any, Any]] = {ref.id: ref.decider for ref in refs}
        wanted = [
            Wanted(stream, of.version, "" if of.version else self._topic(deciders[stream]))
            for stream, of in known.items()
        ]
        forgotten = self._forgotten
        histories = await self._legible(wanted, await self._log.histories(wanted))
        stored = [event for history in histories for event in history.events]
        recorded = iter(await self._codec.decode(stored) if stored else ())
        for stream, history in zip(list(known), histories, strict=True):
            decider, now = deciders[stream], known[stream]
            if history.snapshot is not None:
                state = msgspec.json.decode(history.snapshot.state, type=decider.snapshot)
                now = _Known(decider.name, state, history.snapshot.version, history.snapshot.version)
            if history.events:
                new = [next(recorded) for _ in history.events]
                kind, version = new[0].aggregate, new[-1].version
                of_this = kind == decider.name
                state = decider.fold(now.state, [each.event for each in new]) if of_this else None
                now = _Known(kind, state, version, now.snapshot)
            if now.kind in ("", decider.name) and forgotten == self._forgotten:
                # Also that there is nothing yet: the append checks that like any other version.
                self._remember(stream, now)
                self._save_if_long(decider, stream)
            known[stream] = now
        return [known[ref.id] for ref in refs]

    async def _legible(self, wanted: Sequence[Wanted], histories: Sequence[History]) -> Sequence[History]:
        """The same with snapshots that can be read: of an erased person nobody can, and all events are read instead."""
        sealed = {
            number: _sealed_for(history.snapshot.state)
            for number, history in enumerate(histories)
            if history.snapshot is not None and history.snapshot.state.startswith(_OF_A_PERSON)
        }
        if not sealed:
            return histories
        ciphers = await self._keys.ciphers({person for person, _ in sealed.values() if person is not None})
        legible = [*histories]
        lost: list[int] = []
        for number, (person, box) in sealed.items():
            snapshot = histories[number].snapshot
            cipher = None if person is None else ciphers[person]
            if snapshot is None or cipher is None:
                lost.append(number)
                continue
            state = cipher.open(box, _place_of(snapshot))
            legible[number] = replace(histories[number], snapshot=replace(snapshot, state=state))
        if lost:
            whole = await self._log.histories([Wanted(wanted[number].stream) for number in lost])
            for number, history in zip(lost, whole, strict=True):
                legible[number] = history
        return legible

    def _remember(self, stream: UUID, known: _Known) -> None:
        if self._tells_of_the_erased(known.state):
            self._memory.pop(stream, None)
            return
        before = self._memory.get(stream)
        if before is None or before.version <= known.version:
            self._memory[stream] = replace(known, seen_at=monotonic(), upon=None)
        self._memory.move_to_end(stream)
        while len(self._memory) > self._remembered:
            self._memory.popitem(last=False)

    def _tells_of_the_erased(self, state: Any) -> bool:
        return any(map(self._keys.is_withdrawn, _persons_of(state)))

    def _save_if_long(self, decider: Decider[Any, Any], stream: UUID) -> None:
        known = self._memory.get(stream)
        if known is None or decider.snapshot is None or known.version - known.snapshot < self._snapshot_every:
            return
        snapshot = Snapshot(
            stream=stream,
            version=known.version,
            topic=self._topic(decider),
            state=msgspec.json.encode(known.state),
        )
        self._memory[stream] = replace(known, snapshot=known.version)
        person = next(iter(_persons_of(known.state)), None) if _is_personal(decider) else None
        saving = asyncio.get_running_loop().create_task(self._save(snapshot, person))
        self._saving.add(saving)
        saving.add_done_callback(self._saving.discard)

    async def _save(self, snapshot: Snapshot, person: UUID | None) -> None:
        """With the key of the person whom it tells about, if it does so; nothing of somebody who is erased."""
        try:
            if person is not None:
                cipher = await self._keys.cipher_for(person)
                if cipher is None:
                    return
                box = cipher.seal(snapshot.state, _place_of(snapshot))
                snapshot = replace(snapshot, state=_OF_A_PERSON + person.bytes + box)
            await self._log.save_snapshot(snapshot)
        except UnavailableError:
            # Nothing is lost but the time to fold the stream from the last one.
            log.warning("snapshot of %s not saved: the log does not answer", snapshot.stream)

    def _topic(self, decider: Decider[Any, Any]) -> str:
        """Kind and shape of a decider's snapshots, so that none of a former shape is read as today's."""
        if decider.snapshot is None:
            return ""
        topic = self._topics.get(decider.snapshot)
        if topic is None:
            if _is_personal(decider) and not any(hasattr(decider.snapshot, name) for name in PERSONS):
                raise TypeError(f"{decider!r}: personal fields get into snapshots only beside whose they are")
            shape = msgspec.json.encode(msgspec.json.schema(decider.snapshot), order="deterministic")
            topic = self._topics[decider.snapshot] = (
                f"{decider.name}:{hashlib.sha256(shape).hexdigest()[:16]}"
            )
        return topic

    async def _sealed(self, once: Once, answer: Answer) -> CommandResult:
        cipher = await self._cipher_of(once, answer.person)
        body = b"" if cipher is None else cipher.seal(answer.body, _place(once))
        if answer.person is not None:
            body = _OF_A_PERSON + answer.person.bytes + body
        return CommandResult(
            scope=once.scope, key=once.key, request_hash=once.request_hash, status=answer.status, body=body
        )

    async def raise_if_answered(self, once: Once) -> None:
        """``AlreadyAnsweredError`` if the command was carried out before, for callers to whom a try is dear."""
        result = await self._log.result_of(once.scope, once.key)
        if result is None:
            return
        if not hmac.compare_digest(result.request_hash, once.request_hash):
            raise IdempotencyKeyReusedError("This Idempotency-Key was used for another request")
        person, box = _sealed_for(result.body)
        cipher = await self._cipher_of(once, person)
        # Of a person who was erased, only the status is left.
        body = b"" if cipher is None or not box else cipher.open(box, _place(once))
        raise AlreadyAnsweredError(Answer(status=result.status, body=body), result.position)

    async def _cipher_of(self, once: Once, person: UUID | None) -> Cipher | None:
        """The key of the person whom the answer tells about: who asked, unless it turned out to be somebody else."""
        kind, _, sender = once.scope.partition(":")
        if person is None and kind == "user":
            person = UUID(sender)
        return self._keys.system if person is None else await self._keys.cipher_for(person)


class _Turn:
    """A stream that several processes want all the time, ``last_until`` a moment by our clock.

    While it ``is_ours``, so many ``users`` are commands that are being carried out in it; ``over`` says that no more
    are to come.
    """

    __slots__ = ("asking", "beginning", "is_ours", "last_until", "left", "over", "stream", "users")

    def __init__(self, stream: UUID) -> None:
        self.stream = stream
        self.asking = asyncio.Lock()
        self.beginning: asyncio.Task[None] | None = None
        self.is_ours = False
        self.last_until = inf
        self.users = 0
        self.over = asyncio.Event()
        self.left = asyncio.Event()

    @property
    def in_use(self) -> bool:
        return self.is_ours or self.beginning is not None

    def begin(self) -> None:
        self.is_ours = True
        self.over.clear()
        asyncio.get_running_loop().call_later(TURN, self.over.set)

    def leave(self) -> None:
        self.users -= 1
        if not self.users:
            self.left.set()


class _StreamLock(asyncio.Lock):
    """Counts who holds it or waits for it, so that it can be dropped after the last one."""

    users = 0


class _Holding:
    """The streams that a command has to itself in this process, and the turns that it uses, until its end."""

    def __init__(self, locks: dict[UUID, _StreamLock]) -> None:
        self._locks = locks
        self._held: list[UUID] = []
        self.turns: list[_Turn] = []

    async def all_of(self, streams: Iterable[UUID]) -> None:
        """Hold these too. Others of this process may have had them meanwhile."""
        more = set(streams).difference(self._held)
        if not more:
            return
        # Always in one order, for two commands with the same streams to wait in line and not for each other.
        wanted = sorted(more.union(self._held))
        self.let_go()
        for stream in wanted:
            lock = self._locks.get(stream)
            if lock is None:
                lock = self._locks[stream] = _StreamLock()
            lock.users += 1
            try:
                await lock.acquire()
            except BaseException:
                self._leave(stream, lock)
                raise
            self._held.append(stream)

    def let_go(self) -> None:
        for stream in self._held:
            lock = self._locks[stream]
            lock.release()
            self._leave(stream, lock)
        self._held = []

    def use(self, turn: _Turn) -> None:
        turn.users += 1
        turn.left.clear()
        self.turns.append(turn)

    def leave_turns(self) -> None:
        for turn in self.turns:
            turn.leave()
        self.turns = []

    def _leave(self, stream: UUID, lock: _StreamLock) -> None:
        lock.users -= 1
        if not lock.users:
            del self._locks[stream]

    async def __aenter__(self) -> _Holding:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.let_go()
        self.leave_turns()


def _moved(before: Sequence[_Known], after: Sequence[_Known]) -> bool:
    return any(map(_differ, before, after))


def _differ(old: _Known, new: _Known) -> bool:
    """Of what was on its way, and came to nothing, somebody else may have the very version."""
    return old.version != new.version or old.state is not new.state


async def _ended(seen: Sequence[_Known]) -> None:
    """When it is known what has become of all that was on its way."""
    ends = {known.upon.ended for known in seen if known.upon is not None}
    if ends:
        await asyncio.wait(ends)


def _check_version(metadata: Metadata, seen: Sequence[_Known]) -> None:
    expected = metadata.expected_version
    if expected is not None and seen and seen[0].version != expected:
        raise ConcurrentChangeError(f"This is version {seen[0].version} by now, not {expected}")


@cache
def _is_personal(decider: Decider[Any, Any]) -> bool:
    """Whether its snapshots tell about a person."""
    return decider.snapshot is not None and _tells_about_a_person(decider.snapshot)


def _place_of(snapshot: Snapshot) -> bytes:
    """What binds a snapshot's ciphertext to its row."""
    return b"snapshot\0%b%d" % (snapshot.stream.bytes, snapshot.version)


def _place(once: Once) -> bytes:
    """What binds an answer's ciphertext to its row."""
    return f"{once.scope}\0{once.key}".encode()


def _sealed_for(body: bytes) -> tuple[UUID | None, bytes]:
    """Whose key an answer is sealed with, if that is not to be told from who asked; and the ciphertext."""
    if not body.startswith(_OF_A_PERSON):
        return None, body
    start = len(_OF_A_PERSON)
    return UUID(bytes=body[start : start + 16]), body[start + 16 :]


def _tells_about_a_person(struct: type[Any]) -> bool:
    """Whether a field of ``struct``, or of a struct within it, is marked as personal."""
    unseen: list[Any] = [struct]
    seen: set[Any] = set()
    while unseen:
        hint = unseen.pop()
        if isinstance(hint, Personal):
            return True
        if hint in seen:
            continue
        seen.add(hint)
        unseen.extend(get_args(hint))
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            unseen.extend(get_type_hints(hint, include_extras=True).values())
    return False
