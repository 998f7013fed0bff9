"""What handlers need from outside, in the handlers' words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from domain.kernel import Decider, Event

S = TypeVar("S")
E = TypeVar("E", bound=Event)
T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the first try of a command was answered with: kept, and given again to every retry of it.

    ``person`` is whom it tells about where that is not who asked; what is kept of it can be forgotten with them.
    """

    status: int
    body: bytes
    person: UUID | None = None


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """A command that its sender may repeat: it is carried out once and answered alike each time.

    ``scope`` is whose key it is (an account, the payment provider), ``request_hash`` a keyed hash of the request,
    ``answer`` makes the answer from what the decision came to, before it is recorded.
    """

    scope: str
    key: str
    request_hash: bytes
    answer: Callable[[Any], Answer]


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, on whose behalf, in which request, because of what, and under which conditions.

    ``cause`` is the position of the event that calls for it, and ``caused_at`` when that was recorded.
    """

    actor: str
    request_id: str = ""
    impersonator: str | None = None
    cause: int | None = None
    caused_at: datetime | None = None
    expected_version: int | None = None
    once: Once | None = None


class AlreadyAnsweredError(Exception):
    """Not a fault: the command was carried out before, and ``answer`` is what it was answered then."""

    def __init__(self, answer: Answer, position: int) -> None:
        super().__init__("this command was carried out before")
        self.answer = answer
        self.position = position


class Changed(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """What a command came to: the new state, the stream's version, and the log position that includes it.

    ``position`` is 0 while the answer to an idempotent command is being made, and where nothing was recorded.
    """

    state: S
    version: int
    position: int = 0


class StreamRef(msgspec.Struct, Generic[S, E], frozen=True):
    """A stream and how to fold it.

    Where it is ``presumed_new``, for its id was made a moment ago, a process that knows nothing of it decides as if
    nothing were there, without asking first: the append asks.
    """

    decider: Decider[S, E]
    id: UUID
    presumed_new: bool = False


class Loaded(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """An aggregate as the log has it now; ``version`` 0 and no state where nothing has happened yet."""

    state: S | None
    version: int

    @property
    def present(self) -> S:
        """The state of something that the caller has seen to exist: nothing in the log ever goes away."""
        assert self.state is not None
        return self.state


class Proposal(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a decision over several streams comes to: all of ``events`` or nothing, and ``outcome`` for the caller.

    ``about`` is the stream whose version the caller is told, where that is not the first of those decided on: one
    that is new need not be looked for to be created.
    """

    outcome: T
    events: Sequence[tuple[StreamRef[Any, Any], Sequence[Event]]]
    about: UUID | None = None


class EventStore(Protocol):
    """The write side's door to the log."""

    async def load(self, decider: Decider[S, E], stream: UUID) -> Loaded[S]: ...

    async def load_many(self, refs: Sequence[StreamRef[Any, Any]]) -> list[Loaded[Any]]:
        """Several aggregates as the log has them now, with one query, in the order asked."""
        ...

    async def glance(self, refs: Sequence[StreamRef[Any, Any]], *, within: float = 1.0) -> list[Loaded[Any]]:
        """The same as they were at most ``within`` seconds ago: mostly without asking the log."""
        ...

    async def raise_if_answered(self, once: Once) -> None:
        """``AlreadyAnsweredError`` if the command was carried out before."""
        ...

    async def change(
        self,
        decider: Decider[S, E],
        stream: UUID,
        decide: Callable[[S | None], Sequence[E]],
        metadata: Metadata,
    ) -> Changed[S]:
        """Load, decide, append; decide again when somebody else got there first."""
        ...

    async def change_together(
        self,
        refs: Sequence[StreamRef[Any, Any]],
        decide: Callable[[Sequence[Loaded[Any]]], Proposal[T]],
        metadata: Metadata,
    ) -> Changed[T]:
        """The same over several streams at once: one append, all or nothing.

        ``decide`` may also propose events for streams that are not in ``refs``; those must be new.
        ``Changed.version`` is that of the stream that the proposal is ``about``, or else of the first in ``refs``.
        """
        ...


class StoredEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event as its bytes stand in the log and travel on the stream; personal fields are ciphertext."""

    stream: UUID
    version: int
    tag: str
    state: bytes
    position: int


class Keys(Protocol):
    """Keys of persons, and names that tell nothing: what makes erasure possible."""

    def claim_id(self, kind: str, value: str) -> UUID:
        """The claim stream of a unique value, by a keyed hash, so that the log does not hold the value itself."""
        ...

    def request_hash(self, request: bytes) -> bytes:
        """Tells whether a repeated request is the same, without telling what it was."""
        ...


class Traces(Protocol):
    """What is known of a person outside the events themselves."""

    async def destroy(self, person: UUID) -> None:
        """Make all that was written with the person's key unreadable for ever, and drop what cannot be read then."""
        ...


class Numbers(Protocol):
    """Numbers that people read: given once, never twice, ascending, and without holes as far as can be."""

    async def next(self, name: str) -> int: ...


class ReturnableNumbers(Numbers, Protocol):
    """The same where a hole would be noticed, by a bookkeeper for one."""

    def give_back(self, name: str, number: int) -> None:
        """It was not used, for certain: the next who asks this process gets it."""
        ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, in UTC and aware of it."""
        ...


class Passwords(Protocol):
    """Slow on purpose, so both run off the event loop."""

    async def hash(self, password: str) -> str: ...

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it matches; takes the same time when there is no hash to match, so that nobody can tell."""
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether it was made by another method, or more cheaply, than today's are."""
        ...


class PaymentIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the provider has it; ``amount`` in minor units."""

    id: str
    client_secret: str
    amount: int
    currency: str
    status: str
    created_at: datetime
    payment_method_id: str = ""
    brand: str = ""
    last4: str = ""
    metadata: Mapping[str, str] = {}
    charge_id: str = ""
    """The try to take the money that was made last: each has a name of its own."""
    action_url: str = ""
    """Where the buyer has to go, if what is still to be done is done somewhere."""
    failure_code: str = ""
    failure_message: str = ""


class ProviderRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as the provider has it; ``amount`` in minor units, ``status`` in the provider's words.

    ``metadata`` is what we said of it when we asked for it: ``refundId`` is our name for it.
    """

    id: str
    amount: int
    status: str
    intent_id: str = ""
    metadata: Mapping[str, str] = {}
    failure_code: str = ""


class ProviderDispute(msgspec.Struct, frozen=True, kw_only=True):
    """What a payer's bank asks for, as the provider has it; ``amount`` in minor units of ``currency``."""

    id: str
    intent_id: str
    amount: int
    currency: str
    reason: str
    status: str


class ProviderMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the provider says happened there; ``kind`` and ``object_id`` are in its words.

    ``command`` is what follows from it for us: nothing, where it is about nothing that we know of, or where it is not
    understood. What is ``redundant`` says only what we know, or are told by another message too.
    """

    id: str
    kind: str
    object_id: str = ""
    created_at: datetime | None = None
    command: object | None = None
    redundant: bool = False


class PaymentProvider(Protocol):
    async def create_intent(
        self, *, amount: int, currency: str, metadata: Mapping[str, str], idempotency_key: str
    ) -> PaymentIntent: ...

    async def confirm_intent(
        self, intent_id: str, payment_method: str, *, idempotency_key: str, return_url: str = ""
    ) -> PaymentIntent:
        """Take the money. One that is confirmed already is answered as what it has come to since.

        A card that is declined is answered too: as an intent that waits for another one, and says why. A payer who has
        to go somewhere comes back to ``return_url``.
        """
        ...

    async def intent(self, intent_id: str) -> PaymentIntent: ...

    async def cancel_intent(self, intent_id: str) -> PaymentIntent:
        """Take this payment no more. One that was made, or is being made, is answered as what it has come to."""
        ...

    async def refund(
        self, intent_id: str, amount: int, *, idempotency_key: str, metadata: Mapping[str, str]
    ) -> ProviderRefund:
        """Send so much of a payment that was made back; ``PaymentFailedError`` where the provider refuses."""
        ...

    async def refunds(self, intent_id: str) -> Sequence[ProviderRefund]:
        """All that was sent back of a payment, or is to be, whoever asked for it."""
        ...

    async def disputes(self, intent_id: str) -> Sequence[ProviderDispute]:
        """What the payer's bank has to say against a payment."""
        ...

    async def refunds_since(self, moment: datetime) -> Sequence[ProviderRefund]:
        """All that was asked for since then, of whatever payments."""
        ...

    async def disputes_since(self, moment: datetime) -> Sequence[ProviderDispute]:
        """All that were opened since then, as they are now."""
        ...


class SignedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An address that takes one file until ``expires_at``, sent with ``method`` and exactly these ``headers``."""

    url: str
    method: str
    headers: Mapping[str, str]
    key: str
    expires_at: datetime


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """What the object storage knows of a file, and its first bytes; ``checksum`` changes with the content."""

    content_type: str
    size: int
    checksum: str
    beginning: bytes


class ObjectStore(Protocol):
    """Files by key. Every method raises ``StorageUnavailableError`` when there is no answer."""

    async def put(self, key: str, content: bytes, *, content_type: str, cache_control: str = "") -> None: ...

    async def get(self, key: str, *, most: int) -> bytes:
        """The file, or ``MediaNotFoundError``; of one longer than ``most`` bytes one byte more, which tells."""
        ...

    async def look(self, key: str, *, first: int) -> StoredFile:
        """What a file is, with its ``first`` bytes; or ``MediaNotFoundError``."""
        ...

    async def exists(self, key: str) -> bool: ...

    async def delete_prefix(self, prefix: str) -> None:
        """Every file whose key begins so, for good; none is no fault."""
        ...

    async def presign_upload(
        self, key: str, *, content_type: str, size: int, lifetime: timedelta
    ) -> SignedUpload:
        """Lets a client send a file of this type and size to us, without us in between."""
        ...


class Rendition(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in one size, as WebP with nothing in it but the picture."""

    name: str
    content: bytes
    width: int
    height: int


class Renditions(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in several sizes, the smallest first; ``width`` and ``height`` are its own, held upright."""

    width: int
    height: int
    pictures: tuple[Rendition, ...]


class Images(Protocol):
    """Works on pixels off the event loop."""

    async def avatar(self, content: bytes) -> bytes:
        """A small WebP with nothing in it but the picture; ``InvalidImageError`` where there is none to be made."""
        ...

    async def renditions(
        self, content: bytes, mime_type: str, sides: Sequence[tuple[str, int]]
    ) -> Renditions:
        """The picture in each size that is smaller than it, and in the last one at most; none is made larger.

        ``sides`` are names, and how long the longer side may be, ascending; ``InvalidImageError`` where the content
        is not what ``mime_type`` says, is broken, or would take more than it is worth.
        """
        ...


class InvoiceParty(msgspec.Struct, frozen=True, kw_only=True):
    """Who sells or buys, in the lines that an envelope has; no lines where nothing is known any more."""

    lines: tuple[str, ...] = ()


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """``discount`` is what the product's own discount takes off, and ``seller`` is told where there are several."""

    title: str
    quantity: int
    price: str
    discount: str
    total: str
    seller: str = ""


class InvoiceSum(msgspec.Struct, frozen=True, kw_only=True):
    """``strong`` ones are what it all comes to."""

    label: str
    amount: str
    strong: bool = False


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """What is written on an invoice, in the words and figures that stand on it. Without ``number`` none is issued."""

    number: str
    order_number: str
    currency: str
    facts: tuple[tuple[str, str], ...]
    sellers: tuple[InvoiceParty, ...]
    buyer: InvoiceParty
    destination: InvoiceParty | None
    lines: tuple[InvoiceLine, ...]
    sums: tuple[InvoiceSum, ...]
    remarks: tuple[str, ...] = ()


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """Something was asked for: counted under ``key``, for ``seconds`` from the first time on."""

    key: str
    seconds: int
    amount: int = 1


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How often it was asked for by now, by everybody together, and in how many seconds that is forgotten."""

    hits: int
    seconds_left: float


class RateLimits(Protocol):
    """Counters that all processes share. Each call is one round trip; ``UnavailableError`` if there is no answer."""

    async def count(self, asked: Sequence[Hits]) -> list[Counted]: ...

    async def count_in_turn(self, first: Hits, most: int, then: Hits | None) -> list[Counted]:
        """Count ``first``, and ``then`` only if the former was not asked for more often than ``most``."""
        ...


class Doorbell(Protocol):
    """Wakes the relay after an append. Best effort: the relay also looks by itself."""

    def ring(self, position: int) -> None: ...


class OneTimeTokens(Protocol):
    """What links in mails prove themselves by. Nothing of them is stored: whoever knows the cause makes them again.

    Which ``number`` is good, until when, and whether it was used is the aggregate's to say.
    """

    def make(self, kind: str, account_id: UUID, number: int) -> str: ...

    def read(self, kind: str, token: str) -> tuple[UUID, int]:
        """``InvalidTokenError`` for a token that is none of ours, or of another kind."""
        ...


class VerifiedIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is at a provider that we believe; ``subject`` is their name there, and never changes.

    ``email`` may be empty, and what an unverified one says is only what somebody typed.
    """

    provider: str
    subject: str
    email: str = ""
    email_verified: bool = False
    first_name: str = ""
    last_name: str = ""


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send a browser for its owner to sign in, and the secret that it must have when it comes back."""

    url: str
    secret: str
    posts: bool
    """Whether the provider sends it back with a form, of another site, rather than by a link."""


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser left with and nobody else knows; ``target`` is where it wants to end up, if anywhere."""

    provider: str
    verifier: str
    nonce: str
    target: str
    ends_at: datetime


class IdentityProviders(Protocol):
    """Google and Apple, by the name that paths have for them."""

    async def depart(self, provider: str, target: str) -> Departure:
        """``UnknownProviderError``, ``ProviderNotConfiguredError``, or ``IdentityProviderError`` when it is down."""
        ...

    def returned(self, provider: str, state: str, secret: str) -> Journey:
        """``InvalidStateError`` unless this browser left from here a short while ago."""
        ...

    async def exchange(self, journey: Journey, code: str) -> VerifiedIdentity:
        """``InvalidCodeError`` for a code that is no good, and ``IdentityRefusedError`` for what came for it."""
        ...

    async def verify(self, provider: str, id_token: str, nonce: str) -> VerifiedIdentity:
        """The identity of a token that an app got by itself; ``IdentityRefusedError`` unless it is good, and for us."""
        ...
