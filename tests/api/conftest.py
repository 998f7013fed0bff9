"""One shop for all tests of the API that do not break it; each makes its own people and products."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.accounts.events import Role
from tests.api.shop import Client, Shop, a_product
from tests.conftest import FreshDatabase


@pytest.fixture(scope="session")
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    folder = servers_folder / "shop"
    with fresh_database() as url, Shop(url, folder, storage=True, mail=True) as shop:
        yield shop
        # Whatever the tests sent: it was answered, or refused for a reason.
        assert [line for line in shop.log_lines().splitlines() if "request failed" in line] == []
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def admin(shop: Shop) -> Client:
    return shop.staff(Role.ADMIN)


@pytest.fixture(scope="session")
def auditor(shop: Shop) -> Client:
    return shop.staff(Role.AUDITOR)


@pytest.fixture(scope="session")
def category(admin: Client) -> str:
    created = admin.made("/admin/categories", {"name": "Smartphones"})
    slug: str = created["slug"]
    return slug


@pytest.fixture
def product(admin: Client, category: str) -> dict[str, Any]:
    """Something that everybody can buy."""
    return admin.made("/products/add", a_product(category))


@pytest.fixture
def buyer(shop: Shop) -> Client:
    return shop.user()
