"""The catalogue: finding products, and offering them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from litestar import Controller, HttpMethod, Request, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, Connection, admin, caller_of, reader, seller
from api.backend import Backend, BackendParts
from api.categories import Slug
from api.documentation import answers
from api.input import (
    AnyReference,
    Body,
    Faults,
    Percentage,
    Price,
    PriceBound,
    Stock,
    Url,
    decode_query,
    money,
    percentage,
)
from api.models import Product, ProductPage
from api.ready import CATEGORIES, CATEGORIES_FOR, share, shown
from api.wire import answer, encode, page
from application.listings.changing import ChangeListing, PublishListing, UnpublishListing, listing_called
from application.listings.creating import CreateListing
from application.slugs import reference_kind
from domain.accounts.events import Caller
from domain.kernel import InvalidInputError
from domain.listings.listing import ProductNotFoundError
from domain.money import minor_units
from domain.sellers.events import HOUSE_SELLER, seller_of
from projections.categories.query import all_categories, with_descendants
from projections.ports import StaleReadError
from projections.products.effects import IN_STOCK, LISTED, RATED
from projections.products.product import listing_body
from projections.products.query import FoundProduct, Order, ProductFilter, SortBy, product_by, products_page
from projections.products.query import ProductPage as ProductsFound

HttpRequest = Request[Any, Any, Any]

MOST_LISTED: Final = 100

Title = Annotated[str, Meta(min_length=3, max_length=200, examples=["iPhone 15 Pro"])]
Description = Annotated[str, Meta(max_length=5000)]
LongDescription = Annotated[str, Meta(min_length=10, max_length=5000, examples=["Latest Apple smartphone"])]
Brand = Annotated[str, Meta(max_length=100)]
Tags = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=50)], ...], Meta(max_length=30)]
Images = Annotated[tuple[Url, ...], Meta(max_length=12)]

_SORTS: Final[Mapping[str, tuple[SortBy, Order]]] = {
    "price_asc": (SortBy.PRICE, Order.ASC),
    "price_desc": (SortBy.PRICE, Order.DESC),
    "rating_desc": (SortBy.RATING, Order.DESC),
    "title_asc": (SortBy.TITLE, Order.ASC),
    "newest": (SortBy.ID, Order.DESC),
}


class PageQuery(Body, frozen=True, kw_only=True):
    """``limit`` is 10 unless said otherwise and 100 at most; 0 asks for as many as there may be."""

    skip: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    limit: Annotated[int, Meta(ge=0)] = 10

    @property
    def most(self) -> int:
        return min(self.limit, MOST_LISTED) or MOST_LISTED


class ProductQuery(PageQuery, frozen=True, kw_only=True):
    """``q``, ``search`` and ``text`` are one; ``category`` is an id, uuid or slug, and includes what is below it."""

    q: Annotated[str, Meta(max_length=200)] = ""
    search: Annotated[str, Meta(max_length=200)] = ""
    text: Annotated[str, Meta(max_length=200)] = ""
    sort_by: SortBy | None = None
    order: Order = Order.ASC
    sort: str = ""
    min_price: PriceBound | None = None
    max_price: PriceBound | None = None
    brand: str = ""
    in_stock: bool = False
    category: str = ""

    @property
    def words(self) -> str:
        return self.q or self.search or self.text


class SearchQuery(ProductQuery, frozen=True, kw_only=True):
    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"q", "search", "text"} else {"q": ["Is required"]}


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

    @get("/products", query=ProductQuery, responses=answers(ProductPage, 200))
    async def products(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The products that everybody may see, by id unless ``sortBy`` says otherwise."""
        return await _page(request, decode_query(request.scope["query_string"], ProductQuery), backend)

    @get("/products/search", query=SearchQuery, responses=answers(ProductPage, 200))
    async def search(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Products by words of title, description and brand, the best first. ``X-Search-Engine`` says who searched."""
        return await _page(request, decode_query(request.scope["query_string"], SearchQuery), backend)

    @get(["/products/categories", "/products/category-list"], responses=answers(list[str], 200))
    async def category_slugs(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The slugs of all categories that everybody may see (C28)."""
        position = await backend.reading.fresh(request, "categories")
        categories = await all_categories(backend.read.reads)
        share(request, on=CATEGORIES, seconds=CATEGORIES_FOR)
        return answer(encode([category.slug for category in categories]), position=position)

    @get("/products/category/{category:str}", query=ProductQuery, responses=answers(ProductPage, 200))
    async def in_category(
        self, request: HttpRequest, category: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """The products of a category and of all below it."""
        asked = decode_query(request.scope["query_string"], ProductQuery)
        return await _page(request, asked, backend, category=category)

    @get(["/products/{ref:str}", "/listings/{ref:str}"], responses=answers(Product, 200, 404))
    async def product(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A product by integer id, uuid or slug. A draft is seen by its seller and by admins."""
        caller = await reader(request)
        position = await backend.reading.fresh(request, "products")
        found = await product_by(backend.read.reads, reference_kind(ref))
        if found is None or not _may_see(caller, found):
            raise ProductNotFoundError("Product not found")
        if found.visible:
            share(request, shows=shown([found.body]))
        return answer(found.body, position=position)

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


async def _page(
    connection: Connection, asked: ProductQuery, backend: BackendParts, *, category: str = ""
) -> ASGIResponse:
    category = category or asked.category
    slugs: list[str] = []
    if category:
        position = await backend.reading.fresh(connection, "categories")
        slugs = await _slugs_below(backend, category)
        if not slugs:
            share(connection, on=CATEGORIES)
            nothing = page("products", (), total=0, skip=asked.skip, limit=asked.most)
            return answer(nothing, position=position)
    wanted = _filter(asked, slugs)
    if asked.words:
        position, found = await _search(connection, wanted, backend)
    else:
        position = await backend.reading.fresh(connection, "products")
        found = await products_page(backend.read.reads, wanted)
    if found.engine == "postgres":
        share(connection, shows=shown(found.bodies), on=_concern(wanted))
    body = page("products", found.bodies, total=found.total, skip=asked.skip, limit=asked.most)
    engine = ((b"x-search-engine", found.engine.encode()),) if asked.words else ()
    return answer(body, position=position, headers=engine)


async def _search(
    connection: Connection, wanted: ProductFilter, backend: BackendParts
) -> tuple[int, ProductsFound]:
    search = backend.read.search
    try:
        position = await backend.reading.fresh(connection, search.read_model)
        # What is found there is shown as the catalogue has it, or is looked for in the catalogue after all.
        position = min(position, await backend.reading.fresh(connection, "products"))
    except StaleReadError:
        # The index is behind, perhaps because its engine is down: the catalogue can be searched as well.
        position = await backend.reading.fresh(connection, "products")
        return position, await products_page(backend.read.reads, wanted)
    return position, await search.search(wanted)


async def _slugs_below(backend: BackendParts, references: str) -> list[str]:
    """The slugs of the categories of a comma list, and of all below them."""
    categories = await all_categories(backend.read.reads)
    found: list[str] = []
    for part in references.split(","):
        found.extend(with_descendants(categories, reference_kind(part.strip())))
    return found


def _filter(asked: ProductQuery, slugs: list[str]) -> ProductFilter:
    sort_by, order = asked.sort_by, asked.order
    if asked.sort:
        if asked.sort not in _SORTS:
            raise InvalidInputError({"sort": [f"Must be one of {', '.join(_SORTS)}"]})
        sort_by, order = _SORTS[asked.sort]
    return ProductFilter(
        words=asked.words,
        category=slugs,
        brand=[name.strip() for name in asked.brand.split(",") if name.strip()],
        min_price=None if asked.min_price is None else minor_units(asked.min_price),
        max_price=None if asked.max_price is None else minor_units(asked.max_price),
        in_stock=asked.in_stock,
        sort_by=sort_by,
        order=order,
        skip=asked.skip,
        limit=asked.most,
    )


def _concern(wanted: ProductFilter) -> frozenset[str]:
    """What may put a product into this list, or elsewhere in it, that it does not show now."""
    concern = {LISTED}
    if wanted.category:
        concern |= CATEGORIES
    if wanted.in_stock:
        concern.add(IN_STOCK)
    if wanted.sort_by is SortBy.RATING:
        concern.add(RATED)
    return frozenset(concern)


def _may_see(caller: Caller | None, found: FoundProduct) -> bool:
    if found.visible:
        return True
    return caller is not None and (caller.is_admin or seller_of(caller.account_id) == found.seller_id)
