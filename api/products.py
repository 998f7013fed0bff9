"""The catalogue: finding products, and offering them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, HttpMethod, Request, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, caller_of, reader, seller
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
from api.categories import Slug
from api.documentation import answers
from api.input import (
    AnyReference,
    Body,
    Percentage,
    Price,
    Stock,
    Url,
    decode_query,
    money,
    percentage,
)
from api.models import KeptProduct, KeptProductPage, Product, ProductPage
from api.wire import answer, encode
from application.listings.changing import ChangeListing, PublishListing, UnpublishListing, listing_called
from application.listings.creating import CreateListing
from application.slugs import reference_kind
from domain.accounts.events import Caller
from domain.kernel import InvalidInputError
from domain.listings.listing import ProductNotFoundError
from domain.sellers.events import HOUSE_SELLER, seller_of
from projections.categories.query import all_categories, with_descendants
from projections.products.product import listing_body
from projections.products.query import FoundProduct, product_by
from projections.sellers.shop import Shop

HttpRequest = Request[Any, Any, Any]

_SHOP: Final = msgspec.json.Decoder(Shop)

Title = Annotated[str, Meta(min_length=3, max_length=200, examples=["iPhone 15 Pro"])]
Description = Annotated[str, Meta(max_length=5000)]
LongDescription = Annotated[str, Meta(min_length=10, max_length=5000, examples=["Latest Apple smartphone"])]
Brand = Annotated[str, Meta(max_length=100)]
Tags = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=50)], ...], Meta(max_length=30)]
Images = Annotated[tuple[Url, ...], Meta(max_length=12)]


class DetailQuery(Body, frozen=True, kw_only=True):
    """``select`` names the fields to be answered with; deleted ones are shown to whoever keeps them, and asks."""

    select: Annotated[str, Meta(max_length=1_000)] = ""
    include_deleted: bool = False


class KeptDetailQuery(DetailQuery, frozen=True, kw_only=True):
    include_deleted: bool = True


class ListingBody(Body, frozen=True, kw_only=True):
    title: Title
    price: Price
    category: AnyReference
    description: Description = ""
    discount_percentage: Percentage = 0
    brand: Brand = ""
    tags: Tags = ()
    stock: Stock = 1
    thumbnail: Url | None = None
    images: Images = ()
    slug: Slug | None = None
    status: str = "draft"

    def command(self, caller: Caller, *, publish: bool) -> CreateListing:
        return CreateListing(
            seller_id=HOUSE_SELLER if caller.is_admin else seller_of(caller.account_id),
            title=self.title,
            description=self.description,
            price=money(self.price),
            category=str(self.category),
            discount_percentage=percentage(self.discount_percentage),
            brand=self.brand,
            tags=self.tags,
            stock=self.stock,
            thumbnail=self.thumbnail or "",
            images=self.images,
            slug=self.slug or "",
            publish=publish,
        )


class CatalogueProductBody(ListingBody, frozen=True, kw_only=True):
    """S2 §5.2.6, with what it requires."""

    description: LongDescription
    thumbnail: Url
    brand: Annotated[str, Meta(min_length=1, max_length=100)]
    stock: Stock


class ListingChangeBody(Body, frozen=True, kw_only=True):
    title: Title | None = None
    description: Description | None = None
    price: Price | None = None
    discount_percentage: Percentage | None = None
    brand: Brand | None = None
    tags: Tags | None = None
    stock: Stock | None = None
    thumbnail: Url | None = None
    images: Images | None = None


class ProductController(Controller):
    tags = ("Products",)

    @get(["/products", "/listings"], query=ProductQuery, responses=answers(ProductPage, 200))
    async def products(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The products that everybody may see, by id unless ``sortBy`` says otherwise; or listings of one's own.

        The parameters choose the shape: ``cursor`` (be it empty), ``page``, or ``skip`` and ``limit``.
        """
        asked = decode_query(request.scope["query_string"], ProductQuery)
        return await list_products(request, asked, backend)

    @get("/products/search", query=SearchQuery, responses=answers(ProductPage, 200))
    async def search(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Products by words of title, description and brand, the best first. ``X-Search-Engine`` says who searched."""
        asked = decode_query(request.scope["query_string"], SearchQuery)
        return await list_products(request, asked, backend)

    @get(["/products/categories", "/products/category-list"], responses=answers(list[str], 200))
    async def category_slugs(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The slugs of all categories that everybody may see (C28)."""
        position = await backend.reading.fresh(request, "categories")
        categories = await all_categories(backend.read.reads)
        return answer(encode([category.slug for category in categories]), position=position)

    @get("/products/category/{category:str}", query=ProductQuery, responses=answers(ProductPage, 200))
    async def in_category(
        self, request: HttpRequest, category: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """The products of a category and of all below it; none where there is no such category."""
        asked = decode_query(request.scope["query_string"], ProductQuery)
        position = await backend.reading.fresh(request, "categories")
        categories = await all_categories(backend.read.reads)
        below = with_descendants(categories, reference_kind(category))
        shelf = Shelf(name=f"products of category {category}", categories=below)
        return await list_products(request, asked, backend, shelf=shelf, position=position)

    @get(
        ["/products/{ref:str}", "/listings/{ref:str}"],
        query=DetailQuery,
        responses=answers(Product, 200, 404),
    )
    async def product(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A product by integer id, uuid or slug; a slug that it had before leads to it.

        A sold one is still to be read. A draft, and what was hidden, is seen by its seller and by admins, with what
        is theirs to know besides; so are deleted ones, with ``includeDeleted``.
        """
        asked = decode_query(request.scope["query_string"], DetailQuery)
        return await _detail(request, ref, asked, backend)

    @post(
        ["/products", "/listings"],
        status_code=201,
        guards=[seller],
        security=BEARER,
        responses=answers(Product, 201, 401, 403, 409),
    )
    async def create(
        self, request: HttpRequest, data: JSONBody[ListingBody], backend: Backend
    ) -> ASGIResponse:
        """Offer something: a draft, unless ``status`` is ``active``."""
        if data.status.lower() not in {"draft", "active"}:
            raise InvalidInputError({"status": ["Must be draft or active"]})
        command = data.command(caller_of(request), publish=data.status.lower() == "active")
        return await backend.commands.answer(request, command, listing_body, status=201)

    @post(
        "/products/add",
        status_code=201,
        guards=[admin],
        security=BEARER,
        responses=answers(Product, 201, 401, 403, 409),
    )
    async def add(
        self, request: HttpRequest, data: JSONBody[CatalogueProductBody], backend: Backend
    ) -> ASGIResponse:
        """Add a product to the catalogue, for everybody to see at once."""
        command = data.command(caller_of(request), publish=True)
        return await backend.commands.answer(request, command, listing_body, status=201)

    @route(
        ["/products/{ref:str}", "/listings/{ref:str}"],
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        guards=[seller],
        security=BEARER,
        responses=answers(Product, 200, 401, 403, 404, 409),
    )
    async def change(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[ListingChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change the fields that are given (C25); with ``If-Match`` only if nobody has changed it since."""
        command = ChangeListing(
            listing_id=await listing_called(ref, backend.write.store, backend.write.keys),
            caller=caller_of(request),
            title=data.title,
            description=data.description,
            brand=data.brand,
            tags=data.tags,
            thumbnail=data.thumbnail,
            images=data.images,
            price=None if data.price is None else money(data.price),
            discount_percentage=None
            if data.discount_percentage is None
            else percentage(data.discount_percentage),
            stock=data.stock,
        )
        return await backend.commands.answer(request, command, listing_body, conditional=True)

    @post(
        ["/products/{ref:str}/publish", "/listings/{ref:str}/publish"],
        status_code=200,
        guards=[seller],
        security=BEARER,
        responses=answers(Product, 200, 401, 403, 404, 409, 422),
    )
    async def publish(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Let everybody see it and buy it."""
        listing_id = await listing_called(ref, backend.write.store, backend.write.keys)
        command = PublishListing(listing_id=listing_id, caller=caller_of(request))
        return await backend.commands.answer(request, command, listing_body, conditional=True)

    @post(
        ["/products/{ref:str}/unpublish", "/listings/{ref:str}/unpublish"],
        status_code=200,
        guards=[seller],
        security=BEARER,
        responses=answers(Product, 200, 401, 403, 404, 409),
    )
    async def unpublish(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take it out of the catalogue; it is a draft again."""
        listing_id = await listing_called(ref, backend.write.store, backend.write.keys)
        command = UnpublishListing(listing_id=listing_id, caller=caller_of(request))
        return await backend.commands.answer(request, command, listing_body, conditional=True)


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
        responses=answers(KeptProduct, 200, 401, 403, 404),
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
    elif found.visible:
        # Everybody's, of the product `found.key` and its seller `found.seller_id`.
        backend.ready_products.keep(ref, body, position)
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
