"""All that is held about a person, for that person (GDPR articles 15 and 20)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, get
from litestar.response.base import ASGIResponse

from api.audit import event_body
from api.authentication import BEARER, caller_of, in_person
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.models import PersonalExport
from api.sessions import session_body
from api.users import account_of
from api.wire import answer, camel_cased, encode
from application.ports import StreamRef
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import Caller
from domain.accounts.sign_in import sign_in_of
from domain.carts.events import cart_of
from domain.kernel import Event, Recorded
from domain.orders.events import NoteVisibility, OrderNoteAdded
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS
from projections.audit.query import AuditFilter, audited_positions
from projections.carts.query import cart_of_account
from projections.keyset import Piece
from projections.media.query import media_body, media_of
from projections.orders.query import orders_of
from projections.reviews.query import FoundReview, reviews_by
from projections.sellers.query import followed_by
from projections.sessions.query import sessions_of
from projections.wire import time
from projections.wishlists.query import wishes_of

HttpRequest = Request[Any, Any, Any]

MOST: int = 1_000_000
READ_MODELS = (
    "accounts",
    "sessions",
    "orders",
    "carts",
    "products",
    "reviews",
    "sellers",
    "follows",
    "wishlist_items",
    "media",
    "audit_trail",
)
STAFF = "staff"


class ExportController(Controller):
    tags = ("Accounts",)

    @get(
        "/users/me/export",
        guards=[in_person],
        security=BEARER,
        responses=answers(PersonalExport, 200, 401, 403, 429),
    )
    async def export(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Everything that is held about one, as one file: what is shown, and every event that tells about one."""
        caller = caller_of(request)
        await backend.reading.fresh(request, *READ_MODELS)
        body = encode(await _held(request, caller, backend))
        name = f'attachment; filename="tradelog-{caller.number}.json"'
        return answer(body, headers=((b"content-disposition", name.encode()),))


async def _held(request: HttpRequest, caller: Caller, backend: BackendParts) -> dict[str, Any]:
    reads, write = backend.read.reads, backend.write
    now = write.clock.now()
    account_id, shop_id = caller.account_id, seller_of(caller.account_id)
    known, shop = await write.store.load_many([StreamRef(ACCOUNTS, account_id), StreamRef(SELLERS, shop_id)])
    account: Account = known.present
    current = request.scope["state"]["access"].session_id
    sessions = await sessions_of(reads, account_id, now)
    everything = Piece(limit=MOST, counted=False)
    orders = await orders_of(reads, account_id, everything)
    written = await reviews_by(reads, account_id, everything)
    followed = await followed_by(reads, account_id, everything)
    return {
        "exportedAt": time(now),
        "account": await account_of(request, backend),
        "identities": [
            {"provider": provider, "subject": subject} for provider, subject in account.identities
        ],
        "flags": account.flags,
        "sessions": [session_body(session, current) for session in sessions],
        "orders": [msgspec.Raw(body) for body in (body for (body,) in orders.rows)],
        "cart": msgspec.Raw(await cart_of_account(reads, account_id, caller.number, write.tariff, now)),
        "reviews": [_review(found) for found in written.reviews],
        "wishlist": await wishes_of(reads, account_id),
        "uploads": [
            media_body(media, backend.settings.public_url) for media in await media_of(reads, account_id)
        ],
        "shop": None if shop.state is None else camel_cased(msgspec.to_builtins(shop.state, str_keys=True)),
        "following": [str(each.shop.seller.id) for each in followed.shops],
        "history": [_event_body(event, caller) for event in await _history(caller, backend)],
    }


async def _history(caller: Caller, backend: BackendParts) -> list[Recorded[Event]]:
    """Every event that tells about the person, wherever it stands, and all of what is theirs alone."""
    log, account_id = backend.write.log, caller.account_id
    about = await audited_positions(backend.read.reads, AuditFilter(person=account_id, limit=MOST))
    events = {event.position: event for event in (await log.at_positions(about) if about else [])}
    for stream in (account_id, seller_of(account_id), sign_in_of(account_id), cart_of(account_id)):
        events.update((event.position, event) for event in await log.read_stream(stream))
    return [events[position] for position in sorted(events) if not _is_ours(events[position].event)]


def _is_ours(event: Event) -> bool:
    """What admins tell one another of an order."""
    return isinstance(event, OrderNoteAdded) and event.visibility is NoteVisibility.INTERNAL


def _event_body(event: Recorded[Event], caller: Caller) -> dict[str, Any]:
    """Who of us did something is told to auditors, and not to whom it was done."""
    body = event_body(event)
    kind = event.actor.partition(":")[0]
    if kind in ("user", "operator") and event.actor != f"user:{caller.account_id}":
        body["actor"] = STAFF
    if event.impersonator is not None:
        body["impersonator"] = STAFF
    return body


def _review(found: FoundReview) -> dict[str, Any]:
    """As they wrote it."""
    review = found.review.review
    return {
        "id": review.number,
        "productId": found.product_number,
        "product": found.product_title,
        "rating": review.rating,
        "comment": review.comment,
        "createdAt": time(review.submitted_at),
        "updatedAt": time(review.edited_at or review.submitted_at),
        "reviewerName": review.reviewer_name,
        "reviewerEmail": review.reviewer_email,
        "verifiedPurchase": review.verified_purchase,
        "hidden": review.hidden,
        "reason": review.reason,
    }
