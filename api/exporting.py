"""All that is held about a person, for that person (GDPR articles 15 and 20)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, get
from litestar.response.base import ASGIResponse

from api.audit import event_body
from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.models import PersonalExport
from api.sessions import session_body
from api.users import account_of
from api.wire import answer, camel_cased, encode
from application.ports import StreamRef
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import Caller
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS
from projections.carts.query import cart_of_account
from projections.orders.query import orders_of
from projections.products.query import reviews_by
from projections.sellers.query import followed_by
from projections.sessions.query import sessions_of
from projections.wire import time

HttpRequest = Request[Any, Any, Any]

MOST: int = 1_000_000
READ_MODELS = ("accounts", "sessions", "orders", "carts", "products", "sellers", "follows")


class ExportController(Controller):
    tags = ("Accounts",)

    @get(
        "/users/me/export",
        guards=[signed_in],
        security=BEARER,
        responses=answers(PersonalExport, 200, 401, 429),
    )
    async def export(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Everything that is held about one, as one file: what is shown, and all events of the account and the shop."""
        caller = caller_of(request)
        for read_model in READ_MODELS:
            await backend.reading.fresh(request, read_model)
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
    orders = await orders_of(reads, account_id, 0, MOST)
    followed = await followed_by(reads, account_id, 0, MOST)
    events = [
        *await write.log.read_stream(account_id),
        *await write.log.read_stream(shop_id),
    ]
    return {
        "exportedAt": time(now),
        "account": await account_of(request, backend),
        "identities": [
            {"provider": provider, "subject": subject} for provider, subject in account.identities
        ],
        "flags": account.flags,
        "sessions": [session_body(session, current) for session in sessions],
        "orders": [msgspec.Raw(body) for body in orders.bodies],
        "cart": msgspec.Raw(await cart_of_account(reads, account_id, caller.number, write.tariff, now)),
        "reviews": await reviews_by(reads, account_id),
        "shop": None if shop.state is None else camel_cased(msgspec.to_builtins(shop.state, str_keys=True)),
        "following": [str(each.shop.seller.id) for each in followed.shops],
        "history": [event_body(event) for event in sorted(events, key=lambda event: event.position)],
    }
