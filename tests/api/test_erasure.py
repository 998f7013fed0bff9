"""The right to be forgotten, shown on everything that keeps anything: no word of an erased person is left anywhere."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image

from application.bootstrap import write_side
from application.ports import Metadata
from application.reviews.importing import ImportReview
from domain.accounts.events import Role
from domain.kernel import AccountId, ListingId
from tests.api.remains import Remains, key_of, own_indexes, rebuild_all
from tests.api.shop import PASSWORD, Client, Shop, a_product, soon
from tests.conftest import FreshDatabase

WORDS = {
    "email": "zebulon.quagmire@example.com",
    "firstName": "Zebulonius",
    "lastName": "Quagmirewitz",
    "username": "zebu-quag-77",
    "phone": "+49-171-5550199",
    "bio": "Collects left-handed sextants",
    "street": "Quetzalcoatl Lane 4711",
    "shop": "Sextant Emporium Ltd",
    "device": "ZebuBrowser/7.7",
    "reason": "I value my solitude",
    "comment name": "Zebulonius Q. Reviewer",
    "comment": "My sextant points north-by-nowhere",
    "other email": "moved.quagmire@example.org",
    "note": "leave it with the lamplighter",
    "cancelling": "my parrot pressed the button",
    "tracking number": "ZQ77LAMP4711",
    "carrier": "Lamplighter & Nephew",
    "tracking page": "https://parcels.example.com/zebu-quag",
    "seller's note": "wrapped as the lady of the lighthouse asked",
    "internal note": "argues about every barnacle",
    "whereabouts": "under the quince hedge",
    "scanned": "handed to aunt zenobia",
    "returning": "it smells of whale oil",
    "rejection": "whale oil is how sextants smell",
    "goodwill": "for the tearful letter",
}
"""What is unmistakably theirs."""


@pytest.fixture
def shop(fresh_database: FreshDatabase, tmp_path: Path, opensearch_url: str) -> Iterator[Shop]:
    """With all its processes, and no time to think it over."""
    with (
        own_indexes(opensearch_url),
        fresh_database() as url,
        Shop(
            url,
            tmp_path / "shop",
            mail=True,
            storage=True,
            OPENSEARCH_URL=opensearch_url,
            ACCOUNT_DELETION_GRACE="0s",
        ) as shop,
        shop.also("workers.reactor"),
    ):
        yield shop


class Life:
    """All that somebody can leave behind."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.admin = shop.staff(Role.ADMIN)
        self.seller = shop.user("/auth/signup")
        self.product = self._offered(self.seller, "Brass sextant")
        registration = {
            "email": WORDS["email"],
            "password": PASSWORD,
            "firstName": WORDS["firstName"],
            "lastName": WORDS["lastName"],
            "username": WORDS["username"],
            "phone": WORDS["phone"],
        }
        answer = shop.guest.made(
            "/auth/signup",
            registration,
            headers={"User-Agent": WORDS["device"], "Idempotency-Key": uuid4().hex},
        )
        self.id: int = answer["user"]["id"]
        self.uuid = UUID(answer["user"]["uuid"])
        self.client = shop.client(answer["token"])
        self.order = self._lived()

    def _illustrated(self, me: Client, picture: bytes) -> None:
        """One picture to be shown, one that is only completed, and one that is only sent."""
        self.uploads: list[str] = []
        for number in range(3):
            asked = {"mimeType": "image/jpeg", "sizeBytes": len(picture)}
            upload = me.made("/media/signed-url", asked)
            sent = httpx.request(upload["method"], upload["url"], headers=upload["headers"], content=picture)
            assert sent.status_code == 200, sent.text
            self.uploads.append(upload["mediaId"])
            if number < 2:
                me.made("/media/complete", {"key": upload["key"]})

    def _offered(self, seller: Client, title: str) -> dict[str, Any]:
        if self.admin.get("/categories/instruments").status_code == 404:
            self.admin.made("/admin/categories", {"name": "Instruments", "slug": "instruments"})
        body = {**a_product("instruments", title=title), "status": "active"}
        return seller.made("/products", body)

    def _lived(self) -> dict[str, Any]:
        me = self.client
        me.patch("/users/me", {"bio": WORDS["bio"], "interests": [WORDS["bio"]]})
        address = {"address": WORDS["street"], "city": "Ulm", "zipCode": "89073", "country": "Germany"}
        full = {
            **address,
            "firstName": WORDS["firstName"],
            "lastName": WORDS["lastName"],
            "phone": WORDS["phone"],
        }
        me.made("/users/me/addresses", full)
        picture = io.BytesIO()
        Image.new("RGB", (64, 64), "navy").save(picture, "JPEG", comment=WORDS["bio"].encode())
        sent = me(
            "POST", "/users/me/avatar", files={"image": (f"{WORDS['username']}.jpg", picture.getvalue())}
        )
        assert sent.status_code == 200, sent.text
        self._illustrated(me, picture.getvalue())
        assert (
            me("PATCH", "/sellers/me", json={"shopName": WORDS["shop"], "slug": "sextants"}).status_code
            == 200
        )
        self.own = self._offered(me, "Left-handed sextant")
        for media_id in self.uploads[:1]:
            me.made(f"/listings/{self.own['id']}/images", {"mediaId": media_id})
        me.made("/cart", {"productId": self.product["id"], "quantity": 2})
        me.made(f"/sellers/{self.product['sellerId']}/follow")
        self._shop.run(self._reviewed())
        assert (
            self._shop.guest.post(
                "/auth/login", {"email": WORDS["email"], "password": "Wrong1234"}
            ).status_code
            == 400
        )
        self._shop.guest.made("/auth/forgot-password", {"email": WORDS["email"]})
        self._shop.mail(WORDS["email"], "password")
        order = me.made(
            "/orders",
            {"shippingAddress": full, "paymentMethod": "card"},
            headers={"Idempotency-Key": f"order of {uuid4().hex}"},
        )
        me.made(f"/orders/{order['id']}/notes", {"note": WORDS["note"]})
        assert WORDS["street"] in self.sent(order).text
        self._bought(full)
        me.patch("/users/me", {"email": WORDS["other email"]})
        self._shop.mail(WORDS["other email"], "onfirm")
        return order

    def _bought(self, address: dict[str, Any]) -> None:
        """One thing that is cancelled, one that is paid, sent, told of and returned; and what comes to no order."""
        me = self.client
        lines = [{"id": self.product["id"], "quantity": 3}]
        cancelled = me.made("/orders", {"products": lines, "shippingAddress": address})
        me.made(f"/orders/{cancelled['id']}/cancel", {"reason": WORDS["cancelling"]})
        bought = me.made("/orders", {"products": lines, "shippingAddress": address})
        self.bought: str = bought["id"]
        self.intent: str = bought["paymentIntentId"]
        assert WORDS["street"] in self.paid().text
        shipment = {
            "status": "shipped",
            "trackingNumber": "mistyped",
            "carrier": WORDS["carrier"],
            "note": WORDS["seller's note"],
        }
        corrected = {
            "status": "shipped",
            "trackingNumber": WORDS["tracking number"],
            "trackingUrl": WORDS["tracking page"],
        }
        path = f"/orders/{self.bought}"
        for body in (shipment, corrected, {"status": "delivered"}):
            key = {"Idempotency-Key": uuid4().hex}
            sent = self.seller("PUT", f"{path}/status", json=body, headers=key)
            assert sent.status_code == 200, sent.text
        self.admin.made(f"{path}/notes", {"note": WORDS["internal note"], "visibility": "internal"})
        told = {"status": "in_transit", "location": WORDS["whereabouts"], "description": WORDS["scanned"]}
        self.admin.made(f"{path}/tracking-events", told)
        returns = f"{path}/returns"
        one = {"items": [{"id": self.product["id"], "quantity": 1}], "reason": WORDS["returning"]}
        rejected = me.made(returns, one)
        self.seller.made(f"{returns}/{rejected['id']}/reject", {"reason": WORDS["rejection"]})
        received = me.made(returns, one)
        self.seller.made(f"{returns}/{received['id']}/receive")
        self.admin.made(f"{path}/refunds", {"reason": WORDS["goodwill"], "amount": 1})
        soon(lambda: me.get(path).json()["invoiceNumber"] is not None, "an invoice")
        assert me.get(f"{path}/invoice").content.startswith(b"%PDF")
        me.made("/payments/intents", {"amount": 5000, "currency": "usd"})
        me.made("/cart", {"productId": self.product["id"], "quantity": 1})

    def paid(self) -> httpx.Response:
        """By an admin, who is told all about the order; once, however often it is asked for."""
        key = {"Idempotency-Key": "paid for somebody"}
        card = {"paymentMethodId": "pm_card_visa"}
        return self.admin.post(f"/orders/{self.bought}/confirm", card, headers=key)

    def sent(self, order: dict[str, Any]) -> httpx.Response:
        """By an admin, on account; once, however often it is asked for."""
        key = {"Idempotency-Key": "sent to somebody"}
        return self.admin("PUT", f"/orders/{order['id']}/status", json={"status": "shipped"}, headers=key)

    async def _reviewed(self) -> None:
        async with write_side(self._shop.settings) as write:
            review = ImportReview(
                listing_id=ListingId(UUID(self.product["uuid"])),
                reviewer_id=self.uuid,
                rating=5,
                comment=WORDS["comment"],
                reviewer_name=WORDS["comment name"],
                reviewer_email=WORDS["email"],
                submitted_at=datetime(2026, 11, 21, tzinfo=UTC),
            )
            await write.bus.handle(review, Metadata(actor="tests"))

    def rebuilt(self) -> None:
        """Every read model, and each holds what it held before."""
        rebuild_all(self.admin)


@pytest.mark.timeout(300)
def test_nothing_is_left_of_an_erased_person(shop: Shop, opensearch_url: str) -> None:
    life = Life(shop)
    remains = Remains(shop, opensearch_url, WORDS.values())
    public = shop.guest.get(f"/products/{life.own['id']}")
    assert public.status_code == 200
    soon(
        lambda: (
            {life.client.get(f"/media/{each}").json()["status"] for each in life.uploads[:2]} == {"ready"}
        ),
        "pictures of what was uploaded",
    )
    card = life.admin.get(f"/admin/payments/{life.intent}").json()
    assert (card["brand"], card["last4"]) == ("visa", "4242")
    life.rebuilt()  # so that there is a generation before, kept for a way back
    places = remains.words_in()
    # The searching works: their words stand in what is read, and nowhere else.
    assert {"mails", "stored_events", "command_results"}.isdisjoint(
        place.removeprefix("table ") for place in places
    )
    assert len([place for place in places if place.startswith("table ")]) >= 6, places
    for prefix in ("avatars", "media", "uploads"):
        assert shop.stored_keys(f"{prefix}/{life.uuid}/") != []
    assert not [place for place in places if place.startswith("object media/")]
    exported = life.client.get("/users/me/export").text
    for name in (
        "other email",
        "firstName",
        "bio",
        "street",
        "shop",
        "device",
        "comment name",
        "comment",
        "note",
    ):
        assert WORDS[name] in exported, name

    asked = life.client.post("/users/me/delete", {"password": PASSWORD, "reason": WORDS["reason"]})
    assert asked.status_code == 200, asked.text
    head_before = shop.head()
    soon(lambda: len(shop.mails(WORDS["other email"])) >= 2, "the mail with the way back")
    with shop.also("workers.scheduler"):
        soon(lambda: key_of(shop, life.uuid) is None, "the key's destruction", within=30)
    assert shop.head() > head_before
    soon(lambda: life.admin.get(f"/admin/users/{life.id}").status_code == 404, "the account's end")
    soon(lambda: not remains.words_in(), "forgetting", within=30)
    paid = life.admin.get(f"/admin/payments/{life.intent}").json()
    assert (paid["status"], paid["brand"], paid["last4"]) == ("succeeded", None, None)
    soon(
        lambda: not [key for key in shop.stored_keys() if str(life.uuid) in key], "the end of all their files"
    )

    # What has to stay is there, and says nothing of them.
    order = life.admin.get(f"/orders/{life.order['id']}").json()
    sums = ("subtotal", "tax", "shipping", "total", "products", "number", "userId")
    assert {name: order[name] for name in sums} == {name: life.order[name] for name in sums}
    assert set(order["shippingAddress"].values()) == {""}
    assert [note["note"] for note in order["notes"]] == [""]
    again = life.sent(life.order)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert WORDS["street"] not in again.text
    again = life.paid()
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert WORDS["street"] not in again.text
    # Nor is it in what a process has kept in mind of the order, or of its money.
    for told in (
        life.admin("PUT", f"/orders/{life.bought}/status", json={"status": "delivered"}),
        life.admin.get(f"/orders/{life.bought}/refunds"),
        life.admin.post(f"/orders/{life.bought}/confirm"),
    ):
        assert told.status_code == 200, told.text
        assert [word for word in WORDS.values() if word in told.text] == []
    product = shop.guest.get(f"/products/{life.product['id']}").json()
    (review,) = product["reviews"]
    said = ("rating", "comment", "reviewerName", "reviewerEmail")
    assert tuple(review[name] for name in said) == (5, "", "", "")
    assert (product["rating"], product["reviewCount"]) == (5, 1)
    (listed,) = shop.guest.get(f"/products/{life.product['id']}/reviews").json()["reviews"]
    assert tuple(listed[name] for name in said) == (5, "", "", "")
    assert shop.guest.get(f"/products/{life.own['id']}").status_code == 404
    followers = shop.guest.get(f"/sellers/{life.product['sellerId']}")
    soon(
        lambda: followers.json()["followerCount"] == 0 or _followers(shop, life) == 0, "the follower's going"
    )
    # Their name is free, and whoever takes it is somebody else.
    newcomer = shop.guest.made(
        "/auth/register", {"email": WORDS["email"], "password": PASSWORD, "username": WORDS["username"]}
    )
    assert newcomer["user"]["uuid"] != str(life.uuid)
    gone = shop.client(newcomer["token"]).post("/users/me/delete", {"password": PASSWORD})
    assert gone.status_code == 200
    assert life.admin.post("/admin/jobs/erase-accounts/run").status_code == 202
    with shop.also("workers.scheduler"):
        soon(lambda: key_of(shop, UUID(newcomer["user"]["uuid"])) is None, "the second one's end", within=30)

    life.rebuilt()
    soon(lambda: not remains.words_in(), "forgetting, also where everything was built anew", within=30)
    rebuilt = life.admin.get(f"/orders/{life.order['id']}").json()
    assert rebuilt == order
    assert life.admin.get(f"/admin/payments/{life.intent}").json() == paid
    history = shop.run(_history(shop, life.uuid))
    assert history > 10


def _followers(shop: Shop, life: Life) -> int:
    count: int = shop.guest.get(f"/sellers/{life.product['sellerId']}").json()["followerCount"]
    return count


async def _history(shop: Shop, person: UUID) -> int:
    """How many events of theirs can be read still; without a word of them."""
    async with write_side(shop.settings) as write:
        events = await write.log.read_stream(AccountId(person))
        said = repr(events).lower()
        assert [word for word in WORDS.values() if word.lower() in said] == []
        return len(events)
