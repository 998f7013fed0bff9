"""S0's way of offering something: pictures first, then the draft that shows them, then publishing (S0-PROD-01)."""

import uuid
from typing import Any

import pytest

from tests.api.shop import Client, Shop, assert_problem
from tests.api.test_media import completed, media
from tests.application.test_images import an_image


@pytest.fixture
def seller(shop: Shop) -> Client:
    return shop.user("/auth/signup")


def offering(category: str, *media_ids: str) -> dict[str, Any]:
    return {
        "title": "Silk dress",
        "category": category,
        "price": 89.5,
        "descriptionShort": "Worn once",
        "mediaIds": list(media_ids),
    }


def test_a_draft_shows_the_uploads_that_it_names(seller: Client, category: str) -> None:
    first, second = (completed(seller, an_image("JPEG"))["id"] for _ in range(2))
    draft = seller.made("/products", offering(category, second, first, second))
    assert draft["status"] == "draft"
    assert [picture["mediaId"] for picture in draft["media"]] == [second, first]
    assert media(seller, first)["attached"]
    assert seller.made(f"/products/{draft['id']}/publish")["status"] == "active"


def test_it_may_be_published_at_once(seller: Client, category: str) -> None:
    picture = completed(seller, an_image("JPEG"))["id"]
    made = seller.made("/products", {**offering(category, picture), "status": "active"})
    assert made["status"] == "active"


def test_what_is_not_ones_own_or_not_there_is_refused_and_nothing_is_offered(
    shop: Shop, seller: Client, category: str
) -> None:
    own = completed(seller, an_image("JPEG"))["id"]
    others = completed(shop.user("/auth/signup"), an_image("JPEG"))["id"]
    head = shop.head()
    refused = seller.post("/products", offering(category, own, others, str(uuid.uuid4())))
    assert_problem(refused, 400, "VALIDATION_ERROR", "mediaIds[1]", "mediaIds[2]")
    assert shop.head() == head
    assert not media(seller, own)["attached"]
