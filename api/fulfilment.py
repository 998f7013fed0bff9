"""Sending what was bought: how far an order is, where its parcels are, and what is noted about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
import structlog
from litestar import Controller, HttpMethod, Request, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import Body, Check, Faults, OptionalUrl, decode, decode_query
from api.models import (
    KeptOrder,
    KeptOrderPage,
    OrderNote,
    SoldOrder,
    SoldOrderPage,
    Tracking,
    WebhookReceived,
)
from api.orders import buyer_of
from api.paging import CursorQuery, Style, paged
from api.wire import answer, encode
from api.words import FOR_ORDERS, StatusWord, one_of, order_word, word
from application.accounts.people import account_called
from application.orders.cancelling import CancelOrder
from application.orders.fulfilling import AdvanceOrder, UpdateTracking
from application.orders.noting import AddNote
from application.orders.references import known_order, order_called
from domain.accounts.events import Caller
from domain.kernel import (
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RuleViolatedError,
)
from domain.orders.carriers import as_scanned, carrier_name
from domain.orders.events import NoteVisibility, OrderStatus, ParcelStatus, PaymentStatus, TrackingStatus
from domain.orders.order import Order
from domain.orders.parcels import Shipment
from domain.sellers.events import seller_of
from projections.orders.order import (
    changed_at,
    kept_body,
    note_body,
    seen_body,
    sold_body,
    tracking_body,
)
from projections.orders.query import (
    OrderFilter,
    OrderPage,
    order_by_id,
    orders_page,
    orders_sold_by,
    orders_tracked_by,
)

HttpRequest = Request[Any, Any, Any]

log = structlog.get_logger()

CARRIER: Final = "carrier"
"""Who speaks where no person does."""

_FOR_PARCELS: Final[Mapping[str, str]] = {
    "pre_transit": "pending",
    "transit": "in_transit",
    "failure": "exception",
    "return_to_sender": "exception",
}
"""What others say for the same (C33)."""

_YEARS: Final = range(2000, 2100)
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\\"'<>`{}|^\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def _parcel_word(given: str) -> ParcelStatus | None:
    return word(given, ParcelStatus, FOR_ORDERS)


def _payment_word(given: str) -> PaymentStatus | None:
    return word(given, PaymentStatus, {})


def _tracking_word(given: str) -> TrackingStatus | None:
    return word(given, TrackingStatus, _FOR_PARCELS)


def _day(given: str) -> date | None:
    """Of a date, or of a time of that day."""
    try:
        return date.fromisoformat(given[:10])
    except ValueError:
        return None


def _day_faults(given: str) -> list[str]:
    day = _day(given)
    known = not given or (day is not None and day.year in _YEARS)
    return [] if known else ["Must be a date such as 2025-12-27"]


def _blank_faults(text: str) -> list[str]:
    return ["Must not be empty"] if text and not text.strip() else []


def _moment_faults(at: datetime) -> list[str]:
    return [] if at.year in _YEARS else ["Must be of this century"]


ParcelWord = Annotated[str, Meta(max_length=30, examples=["processing"]), one_of(ParcelStatus, _parcel_word)]
PaymentWord = Annotated[str, Meta(max_length=30, examples=["paid"]), one_of(PaymentStatus, _payment_word)]
TrackingWord = Annotated[
    str,
    Meta(min_length=1, max_length=30, examples=["in_transit"]),
    one_of(TrackingStatus, _tracking_word),
]


def _followable_faults(url: str) -> list[str]:
    """It is shown to buyers, who must not be led to believe that it is another's (``https://ups.com@evil.com``)."""
    host = re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0]
    return ["Must be a plain address, without a name in it"] if "@" in host or _UNSAFE.search(url) else []


TrackingNumber = Annotated[str, Meta(max_length=100, examples=["1Z999AA10123456784"])]
Carrier = Annotated[str, Meta(max_length=100, examples=["UPS"])]
Day = Annotated[str, Meta(max_length=40, examples=["2025-12-27"]), Check(_day_faults)]
FollowUrl = Annotated[OptionalUrl, Check(_followable_faults)]
Told = Annotated[str, Meta(max_length=500)]
Moment = Annotated[datetime, Meta(tz=True), Check(_moment_faults)]


class TrackingPart(Body, frozen=True, kw_only=True):
    """S4's ``tracking``, which it does not describe."""

    tracking_number: TrackingNumber = ""
    number: TrackingNumber = ""
    carrier: Carrier = ""
    tracking_url: FollowUrl = ""
    url: FollowUrl = ""
    estimated_delivery: Day = ""


class StatusBody(Body, frozen=True, kw_only=True):
    """``confirmed`` is ``processing``. What is said of the shipment is of all parcels that are sent by this.

    Where no address to follow it at is given, it is the carrier's, if we know that.
    """

    status: StatusWord = ""
    order_status: StatusWord = ""
    tracking_number: TrackingNumber = ""
    carrier: Carrier = ""
    tracking_url: FollowUrl = ""
    estimated_delivery: Day = ""
    note: Annotated[str, Meta(max_length=1000, examples=["Shipped via UPS Ground"])] = ""
    tracking: TrackingPart | TrackingNumber | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.get("status") or given.get("orderStatus") else {"status": ["Is required"]}

    @property
    def to(self) -> OrderStatus:
        to = order_word(self.status or self.order_status)
        assert to is not None, "it has been checked"
        return to

    @property
    def shipment(self) -> Shipment:
        part = self.tracking
        beside = TrackingPart(number=part) if isinstance(part, str) else part or TrackingPart()
        return Shipment(
            carrier=(self.carrier or beside.carrier).strip(),
            tracking_number=(self.tracking_number or beside.tracking_number or beside.number).strip(),
            tracking_url=self.tracking_url or beside.tracking_url or beside.url,
            estimated_delivery=_day(self.estimated_delivery or beside.estimated_delivery),
        )


class TrackingBody(Body, frozen=True, kw_only=True):
    """``parcel`` may be left out where there is but one; without a ``timestamp`` it is now."""

    status: TrackingWord
    parcel: Annotated[int, Meta(ge=1, le=1000)] | None = None
    location: Told = ""
    description: Told = ""
    timestamp: Moment | None = None


class CarrierMessage(Body, frozen=True, kw_only=True):
    """Without an ``id`` it is known by what it says."""

    tracking_number: Annotated[str, Meta(min_length=1, max_length=100)]
    status: TrackingWord
    id: Annotated[str, Meta(max_length=200)] = ""
    carrier: Carrier = ""
    location: Told = ""
    description: Told = ""
    timestamp: Moment | None = None


class NoteBody(Body, frozen=True, kw_only=True):
    """What is ``internal`` is written and read by admins alone."""

    note: Annotated[
        str, Meta(min_length=1, max_length=1000, examples=["Please ring twice"]), Check(_blank_faults)
    ]
    visibility: NoteVisibility = NoteVisibility.EVERYBODY


class OrderQuery(CursorQuery, frozen=True, kw_only=True):
    """``q`` is how the number begins; ``from`` and ``to`` are days, or ISO 8601 times with an offset.

    A day that is named by ``to`` is included, a time is not.
    """

    status: StatusWord = ""
    payment_status: PaymentWord = ""
    user_id: Annotated[str, Meta(max_length=100)] = ""
    since: Annotated[str, Meta(max_length=40)] = msgspec.field(default="", name="from")
    until: Annotated[str, Meta(max_length=40)] = msgspec.field(default="", name="to")
    q: Annotated[str, Meta(max_length=40, pattern="^[A-Za-z0-9-]*$")] = ""


class SoldQuery(CursorQuery, frozen=True, kw_only=True):
    """``status`` is that of one's own parcel."""

    status: ParcelWord = ""


class FulfilmentController(Controller):
    tags = ("Orders",)
    guards = (signed_in,)
    security = BEARER

    @route(
        "/orders/{ref:str}/status",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        responses=answers(KeptOrder | SoldOrder, 200, 401, 403, 404, 409, 422),
    )
    async def advance(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[StatusBody], backend: Backend
    ) -> ASGIResponse:
        """An admin brings an order that far, and may skip steps; a seller brings there what they sell of it."""
        return await _advanced(request, ref, data, backend)

    @route(
        "/orders/{ref:str}/parcels/{number:str}/status",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        responses=answers(KeptOrder | SoldOrder, 200, 401, 403, 404, 409, 422),
    )
    async def advance_parcel(
        self,
        request: HttpRequest,
        ref: FromPath[str],
        number: FromPath[str],
        data: JSONBody[StatusBody],
        backend: Backend,
    ) -> ASGIResponse:
        """The same of one parcel, by its number within the order."""
        known = number.isascii() and number.isdigit() and len(number) < 10
        return await _advanced(request, ref, data, backend, (int(number) if known else 0,))

    @get("/orders/{ref:str}/tracking", responses=answers(Tracking, 200, 401, 403, 404))
    async def tracking(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Where the parcels are: ``pending`` before they are sent. A seller sees where their own one is."""
        position = await backend.reading.fresh(request, "orders")
        found = known_order(await order_by_id(backend.read.reads, order_called(ref)))
        return answer(encode(_tracking_of(caller_of(request), found.document.order)), position=position)

    @post(
        "/orders/{ref:str}/tracking-events",
        status_code=201,
        responses=answers(Tracking, 201, 401, 403, 404, 409, 422),
    )
    async def track(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[TrackingBody], backend: Backend
    ) -> ASGIResponse:
        """What a carrier says of a parcel, told by an admin or who sent it."""
        status = _tracking_word(data.status)
        assert status is not None, "it has been checked"
        caller = caller_of(request)
        command = UpdateTracking(
            order_id=order_called(ref),
            caller=caller,
            parcel=data.parcel,
            status=status,
            location=data.location.strip(),
            description=data.description.strip(),
            at=data.timestamp,
        )
        return await backend.commands.answer(
            request, command, partial(_tracking_of, caller), status=201, person=buyer_of
        )

    @post("/orders/{ref:str}/notes", status_code=201, responses=answers(OrderNote, 201, 401, 403, 404, 422))
    async def note(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[NoteBody], backend: Backend
    ) -> ASGIResponse:
        """By the buyer or an admin; who sells some of it reads it too, unless it is ``internal``."""
        command = AddNote(
            order_id=order_called(ref),
            caller=caller_of(request),
            note=data.note.strip(),
            visibility=data.visibility,
        )
        return await backend.commands.answer(request, command, _last_note, status=201, person=buyer_of)

    @get("/sellers/me/orders", query=SoldQuery, responses=answers(SoldOrderPage, 200, 401))
    async def sold(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Orders in which there is something of one's own, newest first: one's own lines, and where to send them."""
        asked = decode_query(request.scope["query_string"], SoldQuery)
        caller = caller_of(request)
        seller_id = seller_of(caller.account_id)
        position = await backend.reading.fresh(request, "orders")
        question = asked.question("sold", seller_id)
        piece = backend.cursors.piece(asked, question)
        page = await orders_sold_by(backend.read.reads, seller_id, _parcel_word(asked.status), piece)
        entries = [
            sold_body(each.order, each.updated_at, seller_id, caller.number) for each in page.documents
        ]
        return answer(_listed(entries, page, asked, question, backend), position=position)

    @get("/sellers/me/orders/{ref:str}", responses=answers(SoldOrder, 200, 401, 403, 404))
    async def sold_one(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """The same of one of them."""
        position = await backend.reading.fresh(request, "orders")
        found = known_order(await order_by_id(backend.read.reads, order_called(ref)))
        document, caller = found.document, caller_of(request)
        if not document.order.sold_by(caller):
            raise ForbiddenError("You don't have permission to view this order")
        body = sold_body(document.order, document.updated_at, seller_of(caller.account_id), caller.number)
        return answer(encode(body), position=position, version=found.version)


class KeptOrderController(Controller):
    tags = ("Orders",)
    guards = (admin,)
    security = BEARER

    @get(
        ["/orders/all", "/admin/orders"],
        query=OrderQuery,
        responses=answers(KeptOrderPage, 200, 401, 403, 404),
    )
    async def orders(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Everybody's orders, newest first."""
        asked = decode_query(request.scope["query_string"], OrderQuery)
        wanted = OrderFilter(
            status=order_word(asked.status),
            payment_status=_payment_word(asked.payment_status),
            account_id=(
                await account_called(asked.user_id, backend.write.store, backend.write.keys)
                if asked.user_id
                else None
            ),
            since=_moment("from", asked.since),
            until=_moment("to", asked.until, days=1),
            number=asked.q.upper(),
        )
        position = await backend.reading.fresh(request, "orders")
        question = asked.question("all orders")
        page = await orders_page(backend.read.reads, wanted, backend.cursors.piece(asked, question))
        entries = [kept_body(each.order, each.updated_at) for each in page.documents]
        return answer(_listed(entries, page, asked, question, backend), position=position)

    @route(
        "/admin/orders/{ref:str}/status",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        responses=answers(KeptOrder, 200, 401, 403, 404, 409, 422),
    )
    async def advance(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[StatusBody], backend: Backend
    ) -> ASGIResponse:
        """Bring an order that far."""
        return await _advanced(request, ref, data, backend)


class CarrierController(Controller):
    tags = ("Orders",)

    @post("/shipping/webhook", status_code=200, responses=answers(WebhookReceived, 200))
    async def receive(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What a carrier has to say of a parcel: ``{id?, trackingNumber, carrier?, status, location?, description?,
        timestamp?}``, signed like what Stripe says, in ``Shipping-Signature``.

        Each message counts once, however often it comes. What we do not know, or did not send, is passed over: the
        carrier can do nothing about it.
        """
        content = await request.body()
        backend.write.carriers.verify(content, request.headers.get("shipping-signature", ""))
        message = decode(content, CarrierMessage)
        received = encode({"received": True})
        command = await _told(message, backend)
        if command is None:
            # All of the number would lead to whom it goes, or went before they were forgotten.
            ending = as_scanned(message.tracking_number)[-4:]
            log.warning("unknown parcel", ending=ending, carrier=carrier_name(message.carrier))
            return answer(received)
        key = f"{carrier_name(message.carrier)} {message.id or sha256(content).hexdigest()}"
        try:
            await backend.commands.once(
                request, command, actor=CARRIER, key=key, body=received, person=buyer_of
            )
        except (RuleViolatedError, NotFoundError) as refusal:
            log.warning("carrier not heard", order=str(command.order_id), error=repr(refusal))
        return answer(received)


async def _advanced(
    request: HttpRequest,
    ref: str,
    data: StatusBody,
    backend: BackendParts,
    parcels: tuple[int, ...] | None = None,
) -> ASGIResponse:
    caller, order_id, note = caller_of(request), order_called(ref), data.note.strip()
    command: object = AdvanceOrder(
        order_id=order_id,
        caller=caller,
        to=data.to,
        parcels=parcels,
        shipment=data.shipment,
        note=note,
    )
    if data.to is OrderStatus.CANCELLED and parcels is None:
        if not caller.is_admin:
            raise ForbiddenError("You don't have permission to change this order")
        command = CancelOrder(order_id=order_id, caller=caller, reason=note)
    return await backend.commands.answer(
        request, command, partial(_seen_by, caller), conditional=True, person=buyer_of
    )


def _seen_by(caller: Caller, order: Order) -> dict[str, Any]:
    return seen_body(order, changed_at(order), caller)


def _tracking_of(caller: Caller, order: Order) -> dict[str, Any]:
    if order.sold_by(caller) and not caller.is_admin and not order.owned_by(caller):
        return tracking_body(order, order.sent_by(caller))
    order.require_visible_to(caller)
    return tracking_body(order)


def _last_note(order: Order) -> dict[str, Any]:
    return note_body(order, order.notes[-1])


def _listed(
    entries: Sequence[Mapping[str, Any]],
    page: OrderPage,
    asked: CursorQuery,
    question: bytes,
    backend: BackendParts,
) -> bytes:
    twin = {} if asked.style is Style.PAGE else {"orders": entries}
    cursor = backend.cursors.after(page.last, question)
    return paged("products", entries, asked, total=page.total, next_cursor=cursor, **twin)


def _moment(name: str, given: str, *, days: int = 0) -> datetime | None:
    """``days`` are added to a day, and not to a time."""
    if not given:
        return None
    faults = {name: ["Must be a day such as 2025-12-27, or an ISO 8601 time with an offset"]}
    try:
        if len(given) <= len("2025-12-27"):
            day = datetime.fromisoformat(given).replace(tzinfo=UTC)
            return day + timedelta(days=days)
        # In a query a plus sign is a blank.
        at: datetime = msgspec.convert(given.replace(" ", "+"), Annotated[datetime, Meta(tz=True)])
    except (ValueError, OverflowError) as wrong:
        raise InvalidInputError(faults) from wrong
    return at


async def _told(message: CarrierMessage, backend: BackendParts) -> UpdateTracking | None:
    """Numbers are used again: it is the newest parcel of this number that is not there yet, or else the newest."""
    number, carrier = as_scanned(message.tracking_number), carrier_name(message.carrier)
    status = _tracking_word(message.status)
    assert status is not None, "it has been checked"
    candidates = [
        (order, parcel)
        for order in await orders_tracked_by(backend.read.reads, number)
        for parcel in order.parcels
        if as_scanned(parcel.shipment.tracking_number) == number
        and carrier in ("", carrier_name(parcel.shipment.carrier) or carrier)
    ]
    if not number or not candidates:
        return None
    order, parcel = min(candidates, key=lambda candidate: candidate[0].cancelled or candidate[1].delivered)
    return UpdateTracking(
        order_id=order.id,
        parcel=parcel.number,
        status=status,
        location=message.location.strip(),
        description=message.description.strip(),
        at=message.timestamp,
    )
