"""What people offer goes out of the catalogue by itself, and comes back when they say so (A25)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.accounts.events import Role
from tests.api.shop import Shop, a_product, soon
from tests.conftest import FreshDatabase


@pytest.fixture
def hasty(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    """Where offers are there for no time at all."""
    folder = servers_folder / "hasty"
    with fresh_database() as url, Shop(url, folder, LISTING_LIFETIME="0s") as shop:
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


def test_an_offer_expires_and_is_renewed(hasty: Shop) -> None:
    admin = hasty.staff(Role.ADMIN)
    category = admin.made("/admin/categories", {"name": "Lamps"})["slug"]
    seller = hasty.user("/auth/signup")
    offered = seller.made("/products", a_product(category, status="active"))
    of_the_house = admin.made("/products/add", a_product(category))
    assert (offered["status"], of_the_house["expiresAt"]) == ("active", None)
    path = f"/listings/{offered['id']}"
    position = {"X-Min-Log-Position": str(hasty.head())}
    assert hasty.guest.get(path, headers=position).status_code == 200
    with hasty.also("workers.scheduler"):
        soon(lambda: bool(hasty.guest.get(path).status_code == 404), "expiry", within=30)
    assert seller.get(path).json()["status"] == "expired"
    assert hasty.guest.get(f"/products/{of_the_house['id']}").status_code == 200
    renewed = seller.made(f"{path}/renew")
    assert (renewed["status"], renewed["expiresAt"] > offered["expiresAt"]) == ("active", True)
    position = {"X-Min-Log-Position": str(hasty.head())}
    assert hasty.guest.get(path, headers=position).status_code == 200
