"""Collections: products that admins show together, and those of them that are in a category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from litestar import Controller, HttpMethod, Request, delete, get, post, put, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import UNSET, Meta, UnsetType

from api.authentication import BEARER, admin
from api.backend import Backend, BackendParts
from api.catalogue import ProductQuery, Shelf, list_products
from api.categories import Image, LongText, Name, Place, Slug, shown_category
from api.documentation import answers
from api.input import AnyReference, Body, decode_query
from api.models import Collection, KeptCollection, KeptCollectionPage, ProductPage
from api.paging import CursorQuery
from api.ready import CATEGORIES, COLLECTIONS, share
from api.wire import answer, encode
from application.collections.filling import AddToCollection, ArrangeCollection, RemoveFromCollection
from application.collections.keeping import (
    ChangeCollection,
    CreateCollection,
    DeleteCollection,
    collection_called,
)
from application.slugs import reference_kind
from domain.categories.category import Category
from domain.collections.collection import MOST_PRODUCTS, CollectionNotFoundError
from domain.kernel import CollectionId
from projections.collections.collection import in_collection, kept_body
from projections.collections.query import (
    CollectionFilter,
    FoundCollection,
    active_collections,
    collection_by,
    collections_page,
    collections_with,
)
from projections.products.effects import LISTED

HttpRequest = Request[Any, Any, Any]

References = Annotated[tuple[AnyReference, ...], Meta(max_length=MOST_PRODUCTS)]


class CollectionBody(Body, frozen=True, kw_only=True):
    """Without a ``slug`` it gets one made of its name."""

    name: Name
    slug: Slug | None = None
    description: LongText = ""
    image: Image = ""
    order: Place = 0
    active: bool = True

    def command(self) -> CreateCollection:
        return CreateCollection(
            name=self.name,
            slug=self.slug or "",
            description=self.description,
            image=self.image,
            order=self.order,
            active=self.active,
        )


class CollectionChangeBody(Body, frozen=True, kw_only=True):
    """``description`` and ``image`` null are empty."""

    keeps_null: ClassVar[bool] = True

    name: Name | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET
    description: LongText | UnsetType | None = UNSET
    image: Image | UnsetType | None = UNSET
    order: Place | UnsetType = UNSET
    active: bool | UnsetType = UNSET

    def command(self, collection_id: CollectionId) -> ChangeCollection:
        given: dict[str, Any] = {
            name: "" if value is None else value
            for name, value in msgspec.structs.asdict(self).items()
            if not isinstance(value, UnsetType)
        }
        return ChangeCollection(collection_id=collection_id, **given)


class CollectedBody(Body, frozen=True, kw_only=True):
    """Integer ids, uuids or slugs of products."""

    products: References

    @property
    def references(self) -> tuple[str, ...]:
        return tuple(map(str, self.products))


class KeptCollectionsQuery(CursorQuery, frozen=True, kw_only=True):
    """``q`` and ``search`` look for words in the name."""

    q: Annotated[str, Meta(max_length=200)] = ""
    search: Annotated[str, Meta(max_length=200)] = ""
    active: bool | None = None


class CollectionController(Controller):
    tags = ("Collections",)

    @get("/collections", responses=answers(list[Collection], 200, 304))
    async def collections(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All collections that are active."""
        position = await backend.reading.fresh(request, "collections")
        share(request, on=COLLECTIONS)
        return answer(_list_of(await active_collections(backend.read.reads)), position=position)

    @get("/collections/{ref:str}", responses=answers(Collection, 200, 304, 404))
    async def collection(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A collection by integer id, uuid or slug, also one that it had before."""
        position = await backend.reading.fresh(request, "collections")
        found = await _shown(ref, backend)
        share(request, on=COLLECTIONS)
        return answer(found.body, position=position)

    @get("/collections/{ref:str}/products", query=ProductQuery, responses=answers(ProductPage, 200, 304, 404))
    async def products(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """The products of a collection, in its own order unless ``sort`` says otherwise."""
        position = await backend.reading.fresh(request, "collections")
        collection = await _shown(ref, backend)
        shelf = Shelf(
            name=f"products of collection {collection.key}", listings=collection.listings, manual=True
        )
        return await list_products(request, _asked(request), backend, shelf=shelf, position=position)

    @get("/categories/{category:str}/collections", responses=answers(list[Collection], 200, 304, 404))
    async def of_category(
        self, request: HttpRequest, category: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """The active collections in which there is something of the category, or of one below it."""
        below, position = await _below(request, category, backend)
        position = min(position, await backend.reading.fresh(request, "collections", "products"))
        share(request, on=CATEGORIES | COLLECTIONS | {LISTED})
        ids = [each.id for each in below]
        return answer(_list_of(await collections_with(backend.read.reads, ids)), position=position)

    @get(
        "/categories/{category:str}/products",
        query=ProductQuery,
        responses=answers(ProductPage, 200, 304, 404),
    )
    async def products_in_category(
        self, request: HttpRequest, category: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """The products of a category and of all below it."""
        below, position = await _below(request, category, backend)
        shelf = Shelf(name=f"products of category {category}", categories=below)
        return await list_products(request, _asked(request), backend, shelf=shelf, position=position)

    @get(
        "/categories/{category:str}/collections/{collection:str}/products",
        query=ProductQuery,
        responses=answers(ProductPage, 200, 304, 404),
    )
    async def products_of_category(
        self, request: HttpRequest, category: FromPath[str], collection: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """The products that are both in the collection and in the category, or in one below it."""
        below, position = await _below(request, category, backend)
        position = min(position, await backend.reading.fresh(request, "collections"))
        found = await _shown(collection, backend)
        shelf = Shelf(
            name=f"products of category {category} in collection {found.key}",
            categories=below,
            listings=found.listings,
            manual=True,
        )
        return await list_products(request, _asked(request), backend, shelf=shelf, position=position)


class KeptCollectionController(Controller):
    path = "/admin/collections"
    tags = ("Collections",)
    guards = (admin,)
    security = BEARER

    @get(query=KeptCollectionsQuery, responses=answers(KeptCollectionPage, 200, 401, 403))
    async def collections(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All collections, those that are not active too."""
        asked = decode_query(request.scope["query_string"], KeptCollectionsQuery)
        position = await backend.reading.fresh(request, "collections")
        question = asked.question("kept collections")
        wanted = CollectionFilter(active=asked.active, words=(asked.q or asked.search).strip())
        found = await collections_page(backend.read.reads, wanted, backend.cursors.piece(asked, question))
        bodies = [_kept(each) for each in found.collections]
        return backend.cursors.answer("collections", bodies, asked, question, found, position=position)

    @post(status_code=201, responses=answers(KeptCollection, 201, 401, 403, 409))
    async def create(
        self, request: HttpRequest, data: JSONBody[CollectionBody], backend: Backend
    ) -> ASGIResponse:
        """Make a collection, without products yet."""
        return await backend.commands.answer(request, data.command(), kept_body, status=201)

    @get("/{ref:str}", responses=answers(KeptCollection, 200, 401, 403, 404))
    async def collection(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A collection by any of its names, whether it is active or not."""
        position = await backend.reading.fresh(request, "collections")
        found = await collection_by(backend.read.reads, reference_kind(ref))
        if found is None:
            raise CollectionNotFoundError("Collection not found")
        return answer(encode(_kept(found)), position=position)

    @route(
        "/{ref:str}",
        http_method=[HttpMethod.PATCH, HttpMethod.PUT],
        status_code=200,
        responses=answers(KeptCollection, 200, 401, 403, 404, 409),
    )
    async def change(
        self,
        request: HttpRequest,
        ref: FromPath[str],
        data: JSONBody[CollectionChangeBody],
        backend: Backend,
    ) -> ASGIResponse:
        """Change the fields that are given."""
        command = data.command(await _called(ref, backend))
        return await backend.commands.answer(request, command, kept_body, conditional=True)

    @delete("/{ref:str}", status_code=200, responses=answers(None, 204, 401, 403, 404, 409))
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Delete a collection that has no products."""
        command = DeleteCollection(collection=ref)
        return await backend.commands.answer(request, command, None, status=204, conditional=True)

    @post(
        "/{ref:str}/products",
        status_code=200,
        responses=answers(KeptCollection, 200, 401, 403, 404, 409, 422),
    )
    async def add(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[CollectedBody], backend: Backend
    ) -> ASGIResponse:
        """Put products behind those that are in it; one that is in it already stays where it is."""
        command = AddToCollection(collection_id=await _called(ref, backend), products=data.references)
        return await backend.commands.answer(request, command, kept_body, conditional=True)

    @put("/{ref:str}/products", responses=answers(KeptCollection, 200, 401, 403, 404, 409, 422))
    async def arrange(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[CollectedBody], backend: Backend
    ) -> ASGIResponse:
        """Have exactly these products in it, in this order."""
        command = ArrangeCollection(collection_id=await _called(ref, backend), products=data.references)
        return await backend.commands.answer(request, command, kept_body, conditional=True)

    @delete(
        "/{ref:str}/products/{product:str}",
        status_code=200,
        responses=answers(KeptCollection, 200, 401, 403, 404, 409),
    )
    async def take_out(
        self, request: HttpRequest, ref: FromPath[str], product: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Take a product out of it; one that is not in it is not missed."""
        command = RemoveFromCollection(collection_id=await _called(ref, backend), products=(product,))
        return await backend.commands.answer(request, command, kept_body, conditional=True)


async def _called(reference: str, backend: BackendParts) -> CollectionId:
    return await collection_called(reference, backend.write.store, backend.write.keys)


async def _shown(reference: str, backend: BackendParts) -> FoundCollection:
    """The collection as far as everybody may see it."""
    found = await collection_by(backend.read.reads, reference_kind(reference))
    if found is None or not found.active:
        raise CollectionNotFoundError("Collection not found")
    return found


async def _below(request: HttpRequest, category: str, backend: BackendParts) -> tuple[list[Category], int]:
    """Where the products of the category are."""
    position = await backend.reading.fresh(request, "categories")
    categories = await backend.categories.at(position)
    return categories.found_in(shown_category(categories, category)), position


def _asked(request: HttpRequest) -> ProductQuery:
    return decode_query(request.scope["query_string"], ProductQuery)


def _kept(found: FoundCollection) -> dict[str, Any]:
    own: dict[str, Any] = msgspec.json.decode(found.body)
    former = [slug for slug in found.slugs if slug != own["slug"]]
    return {**own, **in_collection(found.listings, former)}


def _list_of(bodies: Sequence[bytes]) -> bytes:
    return b"[%b]" % b",".join(bodies)
