"""The catalogue: finding products, and offering them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, reader
from api.backend import Backend, BackendParts
from api.catalogue import (
    KeptProductQuery,
    ProductQuery,
    SearchQuery,
    Shelf,
    joined,
    kept_body,
    list_products,
    selected,
)
from api.documentation import answers
from api.input import (
    Body,
    decode_query,
)
from api.models import KeptProduct, KeptProductPage, Product, ProductPage
from api.ready import CATEGORIES, CATEGORIES_FOR, share
from api.wire import answer, encode
from application.slugs import reference_kind
from domain.listings.listing import ProductNotFoundError
from domain.sellers.events import seller_of
from projections.categories.query import with_descendants
from projections.products.query import FoundProduct, product_by
from projections.sellers.shop import Shop

HttpRequest = Request[Any, Any, Any]

_SHOP: Final = msgspec.json.Decoder(Shop)


class DetailQuery(Body, frozen=True, kw_only=True):
    """``select`` names the fields to be answered with; deleted ones are shown to whoever keeps them, and asks."""

    select: Annotated[str, Meta(max_length=1_000)] = ""
    include_deleted: bool = False


class KeptDetailQuery(DetailQuery, frozen=True, kw_only=True):
    include_deleted: bool = True


class ProductController(Controller):
    tags = ("Products",)

    @get(["/products", "/listings"], query=ProductQuery, responses=answers(ProductPage, 200, 304))
    async def products(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The products that everybody may see, by id unless ``sortBy`` says otherwise; or listings of one's own.

        The parameters choose the shape: ``cursor`` (be it empty), ``page``, or ``skip`` and ``limit``.
        """
        asked = decode_query(request.scope["query_string"], ProductQuery)
        return await list_products(request, asked, backend)

    @get("/products/search", query=SearchQuery, responses=answers(ProductPage, 200, 304))
    async def search(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Products by words of title, description and brand, the best first. ``X-Search-Engine`` says who searched."""
        asked = decode_query(request.scope["query_string"], SearchQuery)
        return await list_products(request, asked, backend)

    @get(["/products/categories", "/products/category-list"], responses=answers(list[str], 200, 304))
    async def category_slugs(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The slugs of all categories that everybody may see (C28)."""
        position = await backend.reading.fresh(request, "categories")
        categories = await backend.categories.at(position)
        share(request, on=CATEGORIES, seconds=CATEGORIES_FOR)
        return answer(encode([category.slug for category in categories]), position=position)

    @get("/products/category/{category:str}", query=ProductQuery, responses=answers(ProductPage, 200, 304))
    async def in_category(
        self, request: HttpRequest, category: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """The products of a category and of all below it; none where there is no such category."""
        asked = decode_query(request.scope["query_string"], ProductQuery)
        position = await backend.reading.fresh(request, "categories")
        categories = await backend.categories.at(position)
        below = with_descendants(categories, reference_kind(category))
        shelf = Shelf(name=f"products of category {category}", categories=below)
        return await list_products(request, asked, backend, shelf=shelf, position=position)

    @get(
        ["/products/{ref:str}", "/listings/{ref:str}"],
        query=DetailQuery,
        responses=answers(Product, 200, 301, 304, 404),
    )
    async def product(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A product by integer id, uuid or slug; a slug that it had before leads to it.

        A sold one is still to be read. A draft, and what was hidden, is seen by its seller and by admins, with what
        is theirs to know besides; so are deleted ones, with ``includeDeleted``.
        """
        asked = decode_query(request.scope["query_string"], DetailQuery)
        return await _detail(request, ref, asked, backend)


class KeptProductController(Controller):
    tags = ("Products",)
    guards = (admin,)
    security = BEARER

    @get(
        ["/admin/products", "/admin/listings"],
        query=KeptProductQuery,
        responses=answers(KeptProductPage, 200, 401, 403),
    )
    async def products(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All listings of everybody, in whatever status, hidden and deleted ones too."""
        asked = decode_query(request.scope["query_string"], KeptProductQuery)
        return await list_products(request, asked, backend, shelf=Shelf(name="kept products"))

    @get(
        ["/admin/products/{ref:str}", "/admin/listings/{ref:str}"],
        query=KeptDetailQuery,
        responses=answers(KeptProduct, 200, 301, 401, 403, 404),
    )
    async def product(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A listing by integer id, uuid or slug, also one that is deleted."""
        asked = decode_query(request.scope["query_string"], KeptDetailQuery)
        return await _detail(request, ref, asked, backend)


async def _detail(request: HttpRequest, ref: str, asked: DetailQuery, backend: BackendParts) -> ASGIResponse:
    caller = await reader(request)
    position = await backend.reading.fresh(request, "products", "sellers")
    found = await product_by(backend.read.reads, reference_kind(ref))
    if found is None:
        raise ProductNotFoundError("Product not found")
    is_admin = caller is not None and caller.is_admin
    is_kept = is_admin or (caller is not None and seller_of(caller.account_id) == found.seller_id)
    if not (found.readable or (is_kept and (asked.include_deleted or not found.deleted))):
        raise ProductNotFoundError("Product not found")
    if found.moved_from:
        return _moved(request, found.slug, position)
    body = joined(backend.addressed(found.body), encode({"seller": _seller_body(found, backend)}))
    if is_kept:
        body = joined(body, kept_body(found.kept, notes=is_admin))
    elif found.readable:
        share(request, shows=(found.key, found.seller_id), of=("products", "sellers"))
    if asked.select:
        body = encode(selected(body, asked.select))
    return answer(body, position=position, version=found.version)


def _moved(request: HttpRequest, slug: str, position: int) -> ASGIResponse:
    """To the same place under its present name (C23)."""
    path, _, _ = str(request.scope["path"]).rstrip("/").rpartition("/")
    query = request.scope["query_string"].decode("latin-1")
    location = f"{path}/{slug}?{query}" if query else f"{path}/{slug}"
    return answer(b"{}", status=301, position=position, headers=((b"location", location.encode()),))


def _seller_body(found: FoundProduct, backend: BackendParts) -> dict[str, Any]:
    """Whose it is (C57). Of a seller whom nobody knows any more there is no more than the id."""
    if found.seller is None:
        return {"id": str(found.seller_id), "shopName": "", "slug": "", "logoUrl": ""}
    seller = _SHOP.decode(found.seller).seller
    return {
        "id": str(seller.id),
        "shopName": seller.profile.shop_name,
        "slug": seller.profile.slug,
        "logoUrl": backend.settings.public_url(seller.logo),
    }
