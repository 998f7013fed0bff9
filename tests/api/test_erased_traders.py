"""Who sells, and who keeps the shop, can be erased as well: their customers' orders and the history stand."""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from PIL import Image
from pypdf import PdfReader

from application.accounts.registering import CreateAccount
from application.bootstrap import write_side
from application.ports import Metadata
from domain.accounts.events import Role
from tests.api.remains import Remains, key_of, own_indexes, rebuild_all
from tests.api.shop import ADDRESS, PASSWORD, Client, Shop, a_person, a_product, a_registration, soon
from tests.conftest import FreshDatabase
from workers.local.opensearch import OpenSearch
from workers.local.process import Process

pytestmark = pytest.mark.timeout(300)

SELLER = {
    "email": "barnabus.thistlequill@example.com",
    "firstName": "Barnabusius",
    "lastName": "Thistlequillson",
    "username": "barn-thistle-42",
    "phone": "+44-20-79460042",
    "bio": "Grows moonlit marrows",
    "device": "ThistleBrowser/4.2",
    "shop": "Marrow & Moon Emporium",
    "slug": "marrow-and-moon",
    "shop bio": "Three generations of marrows",
    "website": "https://marrows.example.com/barnabus",
    "returns to": "B. Thistlequill, gardener",
    "street": "Toadstool Terrace 13",
    "return phone": "+44-20-79460043",
    "shipping": "Barnabus brings it himself",
    "town": "Nether Wallopsworth",
    "complaint": "sells his neighbour's marrows",
    "watched for": "the cousin of the late mayor",
    "removed for": "not his own greenhouse",
    "suspended for": "was seen in the wrong greenhouse",
    "comment": "My compass prefers parsnips",
    "comment hidden for": "quarrels with the compass maker",
}
ADMIN = {
    "email": "wilhelmina.oddfellow@example.com",
    "firstName": "Wilhelminka",
    "lastName": "Oddfellowes",
    "username": "mina-odd-99",
    "phone": "+44-20-79460099",
    "bio": "Counts every candle twice",
    "device": "OddfellowBrowser/9.9",
}
"""What is unmistakably theirs."""

SAID = {
    "tracking": "TRACK-OF-THE-BUYER-1",
    "seller's note": "wrapped in straw",
    "admin's note": "asked for a bigger box",
    "return": "it is too big",
}
"""What buyers keep, whoever said it."""


class Market:
    """Somebody sells with another, to somebody who stays; and two keep the shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.admin = shop.staff(Role.ADMIN)
        self.keeper, self.keeper_id = self._keeper()
        self.admin.made("/admin/categories", {"name": "Garden", "slug": "garden"})
        signed_up = {name: SELLER[name] for name in ("email", "firstName", "lastName", "username", "phone")}
        answer = shop.guest.made(
            "/auth/signup", {**signed_up, "password": PASSWORD}, headers={"User-Agent": SELLER["device"]}
        )
        self.seller_id = UUID(answer["user"]["uuid"])
        self.seller_number: int = answer["user"]["id"]
        self.seller = shop.client(answer["token"])
        self.other = shop.user("/auth/signup")
        self.compass = self._offered(self.other, "Brass compass")
        self._opened_shop()
        self.buyer = shop.user()
        self.order: str = ""
        self.return_id: str = ""
        self._traded()

    def _keeper(self) -> tuple[Client, UUID]:
        async def appoint() -> UUID:
            async with write_side(self.shop.settings) as write:
                person = a_person(
                    email=ADMIN["email"], username=ADMIN["username"], roles=frozenset({Role.ADMIN})
                )
                changed = await write.bus.handle(CreateAccount(person=person), Metadata(actor="tests"))
                account_id: UUID = changed.state.id
                return account_id

        account_id = self.shop.run(appoint())
        signed_in = self.shop.guest.made(
            "/auth/login",
            {"email": ADMIN["email"], "password": PASSWORD},
            headers={"User-Agent": ADMIN["device"]},
        )
        keeper = self.shop.client(signed_in["token"])
        told = {name: ADMIN[name] for name in ("firstName", "lastName", "phone", "bio")}
        assert keeper.patch("/users/me", told).status_code == 200
        return keeper, account_id

    def _offered(self, seller: Client, title: str, **fields: Any) -> dict[str, Any]:
        return seller.made("/products", {**a_product("garden", title=title, **fields), "status": "active"})

    def _opened_shop(self) -> None:
        me = self.seller
        assert me.patch("/users/me", {"bio": SELLER["bio"]}).status_code == 200
        picture = io.BytesIO()
        Image.new("RGB", (64, 64), "green").save(picture, "JPEG", comment=SELLER["bio"].encode())
        sent = me("POST", "/users/me/avatar", files={"image": ("me.jpg", picture.getvalue())})
        assert sent.status_code == 200, sent.text
        shop = {
            "shopName": SELLER["shop"],
            "slug": SELLER["slug"],
            "bio": SELLER["shop bio"],
            "socialLinks": {"website": SELLER["website"]},
            "returnAddress": {
                "fullName": SELLER["returns to"],
                "address": SELLER["street"],
                "city": SELLER["town"],
                "country": "UK",
                "phone": SELLER["return phone"],
            },
        }
        changed = me.patch("/sellers/me", shop)
        assert changed.status_code == 200, changed.text
        profile = me.made("/shipping-profiles", {"name": SELLER["shipping"], "baseCost": 3})
        place = {"lat": 51.11, "lng": -1.57, "city": SELLER["town"]}
        self.marrow = self._offered(
            me, "Garden marrow", stock=6, location=place, shippingProfileId=profile["id"]
        )
        self.pumpkin = self._offered(me, "Garden pumpkin", location=place)
        asked = {"mimeType": "image/jpeg", "sizeBytes": len(picture.getvalue())}
        upload = me.made("/media/signed-url", asked)
        stored = httpx.request(
            upload["method"], upload["url"], headers=upload["headers"], content=picture.getvalue()
        )
        assert stored.status_code == 200, stored.text
        me.made("/media/complete", {"key": upload["key"]})
        me.made(f"/listings/{self.marrow['id']}/images", {"mediaId": upload["mediaId"]})

    def _traded(self) -> None:
        buyer, seller, keeper = self.buyer, self.seller, self.keeper
        buyer.made(f"/sellers/{self.marrow['sellerId']}/follow")
        lines = [{"id": self.marrow["id"], "quantity": 2}, {"id": self.compass["id"], "quantity": 1}]
        placed = buyer.made("/orders", {"products": lines, "shippingAddress": ADDRESS})
        self.order = placed["id"]
        self.uuid: str = placed["uuid"]
        path = f"/orders/{self.order}"
        buyer.made(
            f"/payments/intents/{placed['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )
        soon(lambda: buyer.get(path).json()["invoiceNumber"] is not None, "an invoice")
        shipped = {
            "status": "shipped",
            "trackingNumber": SAID["tracking"],
            "carrier": "UPS",
            "note": SAID["seller's note"],
        }
        for body in (shipped, {"status": "delivered"}):
            sent = seller("PUT", f"{path}/status", json=body, headers={"Idempotency-Key": uuid4().hex})
            assert sent.status_code == 200, sent.text
        keeper.made(f"{path}/notes", {"note": SAID["admin's note"], "visibility": "everybody"})
        one = {"items": [{"id": self.marrow["id"], "quantity": 1}], "reason": SAID["return"]}
        first = buyer.made(f"{path}/returns", one)
        keeper.made(f"{path}/returns/{first['id']}/approve", headers={"Idempotency-Key": uuid4().hex})
        seller.made(f"{path}/returns/{first['id']}/receive", headers={"Idempotency-Key": uuid4().hex})
        keeper.made(f"{path}/refunds", {"amount": 1, "reason": "goodwill"})
        buyer.made(f"/products/{self.marrow['id']}/reviews", {"rating": 4, "comment": "Quite a marrow"})
        review = seller.made(
            f"/products/{self.compass['id']}/reviews", {"rating": 2, "comment": SELLER["comment"]}
        )
        self.review: int = review["id"]
        assert all(word in "".join(self.moderated()) for word in (SELLER["complaint"], SELLER["town"]))
        keeper.made(f"/admin/listings/{self.pumpkin['id']}/unhide")
        flagged = keeper(
            "PUT",
            f"/admin/listings/{self.pumpkin['id']}/flags",
            json={"flags": ["watched"], "note": SELLER["watched for"]},
        )
        assert flagged.status_code == 200, flagged.text
        removed = keeper(
            "DELETE", f"/admin/listings/{self.pumpkin['id']}", json={"reason": SELLER["removed for"]}
        )
        assert removed.status_code in {200, 204}, removed.text
        keeper.made(f"/admin/sellers/{self.marrow['sellerId']}/suspend", {"reason": SELLER["suspended for"]})
        keeper.made(f"/admin/sellers/{self.marrow['sellerId']}/reinstate")

    def moderated(self) -> list[Any]:
        """By the admin who stays; once, however often it is asked for."""
        answers = [
            self.admin.post(path, {"reason": reason}, headers={"Idempotency-Key": f"hidden {path}"})
            for path, reason in (
                (f"/admin/reviews/{self.review}/hide", SELLER["comment hidden for"]),
                (f"/admin/listings/{self.pumpkin['id']}/hide", SELLER["complaint"]),
            )
        ]
        assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
        return [answer.text for answer in answers]

    def leave(self) -> None:
        """Both of them, for good."""
        for client in (self.seller, self.keeper):
            asked = client.post("/users/me/delete", {"password": PASSWORD})
            assert asked.status_code == 200, asked.text
        with self.shop.also("workers.scheduler"):
            for person in (self.seller_id, self.keeper_id):
                soon(lambda person=person: key_of(self.shop, person) is None, "the end of a key", within=30)  # type: ignore[misc]

    def invoice(self) -> str:
        answer = self.buyer.get(f"/orders/{self.order}/invoice")
        assert answer.status_code == 200, answer.text
        return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages)


class Told:
    """How it was before they left, and what is there afterwards."""

    def __init__(self, market: Market, remains: Remains, reactor: Process) -> None:
        self.market = market
        self.remains = remains
        self.reactor = reactor
        with market.shop.also("workers.scheduler"):
            soon(lambda: bool(market.shop.mails(SELLER["email"])), "word of low stock", within=30)
        rebuild_all(market.admin)  # so that there is a generation before, kept for a way back
        self.found = remains.words_in()
        self.order = market.admin.get(f"/orders/{market.order}").json()
        self.as_bought = market.buyer.get(f"/orders/{market.order}").json()
        self.invoice = market.invoice()
        market.leave()
        soon(lambda: not remains.words_in(), f"forgetting of {remains.words_in()}", within=20)


@pytest.fixture(scope="module")
def told(
    fresh_database: FreshDatabase, opensearch_server: OpenSearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    folder: Path = tmp_path_factory.mktemp("traders")
    with ExitStack() as stack:
        stack.enter_context(own_indexes(opensearch_server.url))
        url = stack.enter_context(fresh_database())
        shop = stack.enter_context(
            Shop(
                url,
                folder / "shop",
                mail=True,
                storage=True,
                OPENSEARCH_URL=opensearch_server.url,
                ACCOUNT_DELETION_GRACE="0s",
            )
        )
        reactor = stack.enter_context(shop.also("workers.reactor"))
        words = [*SELLER.values(), *ADMIN.values()]
        yield Told(Market(shop), Remains(shop, opensearch_server.url, words), reactor)


def test_they_stood_in_what_is_read_and_are_nowhere_any_more(told: Told) -> None:
    kept = ("stored_events", "snapshots", "mails", "command_results", "job_runs")
    assert {f"table {name}" for name in kept}.isdisjoint(told.found), told.found
    assert not [place for place in told.found if place.startswith(("log ", "stream", "object "))], told.found
    words = {word for words in told.found.values() for word in words}
    assert {SELLER["shop"], SELLER["town"], SELLER["street"], ADMIN["lastName"]} <= words
    assert told.remains.words_in() == {}
    market = told.market
    for person in (market.seller_id, market.keeper_id):
        assert [key for key in market.shop.stored_keys() if str(person) in key] == []


def test_what_others_bought_of_them_is_told_as_before(told: Told) -> None:
    market = told.market
    assert market.buyer.get(f"/orders/{market.order}").json() == told.as_bought
    assert market.admin.get(f"/orders/{market.order}").json() == told.order
    assert [line["title"] for line in told.as_bought["products"]] == ["Garden marrow", "Brass compass"]
    assert told.as_bought["parcels"][0]["trackingNumber"] == SAID["tracking"]
    notes = {note["note"]: note for note in told.order["notes"]}
    assert notes[SAID["seller's note"]]["authorId"] == market.seller_number
    assert notes[SAID["admin's note"]]["author"] == "admin"
    (listed,) = market.buyer.get("/orders").json()["orders"]
    assert listed["id"] == market.order


def test_their_customers_invoices_say_what_a_bookkeeper_needs(told: Told) -> None:
    before, after = told.invoice, told.market.invoice()
    assert SELLER["shop"] in before
    assert SELLER["street"] in before
    for said in (told.as_bought["invoiceNumber"], told.market.order, "Garden marrow", "Brass compass"):
        assert said in after
    for amount in ("subtotal", "tax", "shipping", "total"):
        assert f"{told.as_bought[amount]:,.2f}" in after
    # It still tells the sellers apart, of whom one has no name any more.
    assert f"Seller {told.market.seller_number}" in after


def test_what_was_theirs_is_found_by_nobody(told: Told) -> None:
    market, guest = told.market, told.market.shop.guest
    for product in (market.marrow, market.pumpkin):
        assert guest.get(f"/products/{product['id']}").status_code == 404
    for shop in (market.marrow["sellerId"], SELLER["slug"]):
        assert guest.get(f"/sellers/{shop}").status_code == 404
    assert guest.get("/products/search", params={"q": "marrow"}).json()["products"] == []
    for person in (SELLER["username"], ADMIN["username"], market.seller_number):
        assert market.buyer.get(f"/users/{person}").status_code == 404
    assert market.buyer.get("/users/me/following").json()["sellers"] == []


def test_what_was_answered_about_them_is_not_answered_again(told: Told) -> None:
    assert told.market.moderated() == ["", ""]


def test_deeds_in_office_are_those_of_an_id(told: Told) -> None:
    market = told.market
    auditor = market.shop.staff(Role.AUDITOR)
    history = auditor.get(f"/audit/streams/{market.uuid}").json()
    actors = {event["actor"] for event in history["events"]}
    assert {f"user:{market.keeper_id}", f"user:{market.seller_id}"} <= actors
    refunds = market.admin.get(f"/orders/{market.order}/refunds").json()
    assert [refund["amount"] for refund in refunds] != []


def test_goods_can_still_be_sent_back(told: Told) -> None:
    market = told.market
    path = f"/orders/{market.order}/returns"
    asked = {"items": [{"id": market.marrow["id"], "quantity": 1}], "reason": "the other one too"}
    returned = market.buyer.made(path, asked)
    market.admin.made(f"{path}/{returned['id']}/approve")
    received = market.admin.made(f"{path}/{returned['id']}/receive")
    assert received["status"] in {"received", "refunded"}
    soon(
        lambda: (
            [each["status"] for each in market.buyer.get(path).json() if each["id"] == returned["id"]]
            == ["refunded"]
        ),
        "the money's return",
    )
    assert "Refunded" in market.invoice()


def test_the_history_can_be_read_and_every_read_model_made_anew(told: Told) -> None:
    market = told.market
    assert market.shop.run(_verified(market.shop)) == market.shop.head()
    rebuild_all(market.admin)
    assert market.buyer.get(f"/orders/{market.order}").status_code == 200
    soon(lambda: not told.remains.words_in(), "forgetting, also where everything was built anew", within=20)


def test_what_is_said_of_somebody_between_their_erasure_and_their_keys_end_is_kept_nowhere(
    told: Told, opensearch_server: OpenSearch
) -> None:
    """However long that takes: the process that destroys keys may be down."""
    market, shop = told.market, told.market.shop
    words = ["Parsifal of Puddlemere", "Puddlemere Parade 5", "left with the Puddlemere postmistress"]
    remains = Remains(shop, opensearch_server.url, words)
    joined = shop.guest.made("/auth/register", {**a_registration(), "firstName": words[0]})
    person, late = UUID(joined["user"]["uuid"]), shop.client(joined["token"])
    lines = [{"id": market.compass["id"], "quantity": 1}]
    placed = late.made("/orders", {"products": lines, "shippingAddress": {**ADDRESS, "address": words[1]}})
    path = f"/orders/{placed['id']}"
    shop.run(told.reactor.stop())
    assert late.post("/users/me/delete", {"password": PASSWORD}).status_code == 200
    assert market.admin.post("/admin/jobs/erase-accounts/run").status_code == 202
    with shop.also("workers.scheduler"):
        soon(
            lambda: market.admin.get(f"/admin/users/{person}").status_code == 404,
            "the account's end",
            within=30,
        )
    assert key_of(shop, person) is not None
    # What the process remembers, and what it would read of the log now.
    for _ in range(2):
        market.admin.made(f"{path}/notes", {"note": words[2], "visibility": "internal"})
        answer = market.admin("PUT", f"{path}/status", json={"status": "shipped"})
        assert answer.status_code == 200, answer.text
        assert [word for word in words if word in answer.text] == []
    told.reactor.start()
    soon(lambda: key_of(shop, person) is None, "the key's end", within=30)
    soon(lambda: not remains.words_in(), "forgetting", within=20)
    order = market.admin.get(path).json()
    assert ([note["note"] for note in order["notes"]], order["total"]) == (["", ""], placed["total"])


async def _verified(shop: Shop) -> int:
    """The last position of a log without holes, in which every event can be read; every stream is whole, too."""
    with psycopg.connect(shop.database_url) as connection:
        holes = connection.execute(
            "SELECT originator_id FROM stored_events GROUP BY originator_id"
            " HAVING count(*) <> max(originator_version) OR min(originator_version) <> 1"
        ).fetchall()
    assert holes == []
    position = 0
    async with write_side(shop.settings) as write:
        while stored := await write.log.read(position, 500):
            recorded = await write.log.decode(stored)
            assert [each.position for each in recorded] == [*range(position + 1, position + len(stored) + 1)]
            said = repr(recorded).lower()
            assert [word for word in (*SELLER.values(), *ADMIN.values()) if word.lower() in said] == []
            position += len(stored)
    return position
