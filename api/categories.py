"""The category tree: reading it, and keeping it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from litestar import Controller, HttpMethod, Request, delete, get, post, put, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import UNSET, Meta, UnsetType

from api.authentication import BEARER, admin
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import SYNONYMS, AnyReference, Body, Check, camel, decode_query
from api.models import CategoryNode, CategorySchema, ChangedCategory, KeptCategory, KeptCategoryPage
from api.paging import CursorQuery, paged
from api.ready import CATEGORIES, CATEGORIES_FOR, share
from api.wire import answer, encode
from application.categories.changing import ChangeCategory, OrderCategories
from application.categories.creating import (
    CreateCategory,
    PlacedCategory,
    category_called,
    category_named,
)
from application.categories.deleting import DeleteCategory
from application.slugs import is_legal_slug, reference_kind
from domain.attributes import MOST_ATTRIBUTES, MOST_OPTIONS, Attribute, AttributeType
from domain.categories.category import Category, CategoryNotFoundError
from domain.kernel import CategoryId
from projections.categories.query import (
    Categories,
    category_body,
    changed_body,
    kept_body,
    node_of,
    schema_body,
    tree_of,
)
from projections.keyset import Values, piece_of

HttpRequest = Request[Any, Any, Any]


def slug_faults(slug: str) -> list[str]:
    legal = (
        is_legal_slug(slug)
        and all(c.isascii() and (c.isalnum() or c == "-") for c in slug)
        and slug.islower()
    )
    return [] if legal else ["Must be lower-case letters, digits and '-', and no reserved word"]


def _image_faults(image: str) -> list[str]:
    return [] if not image or image.lower().startswith(("https://", "http://")) else ["Must be a valid URL"]


def _key_faults(key: str) -> list[str]:
    # What a client sends under such a name reaches us under another one (api/input.py).
    return ["Is a reserved word"] if camel(key) in SYNONYMS else []


Slug = Annotated[str, Meta(min_length=1, max_length=100), Check(slug_faults)]
Name = Annotated[str, Meta(min_length=1, max_length=100, examples=["Smartphones"])]
LongText = Annotated[str, Meta(max_length=5000)]
Image = Annotated[str, Meta(max_length=2048), Check(_image_faults)]
Place = Annotated[int, Meta(ge=0, le=1_000_000)]
Bound = Annotated[float, Meta(ge=-1e15, le=1e15)]


class AttributeBody(Body, frozen=True, kw_only=True):
    """``options`` are for enum and multi; ``unit``, ``min`` and ``max`` for number."""

    key: Annotated[str, Meta(min_length=1, max_length=50, examples=["screenSize"]), Check(_key_faults)]
    label: Annotated[str, Meta(min_length=1, max_length=100, examples=["Screen size"])]
    type: AttributeType
    required: bool = False
    options: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=MOST_OPTIONS)
    ] = ()
    unit: Annotated[str, Meta(max_length=20, examples=["in"])] = ""
    filterable: bool = False
    min: Bound | None = None
    max: Bound | None = None

    def attribute(self) -> Attribute:
        return Attribute(
            key=camel(self.key),
            label=self.label,
            type=self.type,
            required=self.required,
            options=self.options,
            unit=self.unit,
            filterable=self.filterable,
            min=self.min,
            max=self.max,
        )


Attributes = Annotated[tuple[AttributeBody, ...], Meta(max_length=MOST_ATTRIBUTES)]


class CategoryBody(Body, frozen=True, kw_only=True):
    """Below ``parent`` (or ``parentId``) where one is given. Without a ``slug`` it gets one made of its name."""

    name: Name
    slug: Slug | None = None
    description: LongText = ""
    image: Image = ""
    order: Place = 0
    active: bool = True
    parent: AnyReference | None = None
    parent_id: AnyReference | None = None
    attributes: Attributes = ()

    def command(self) -> CreateCategory:
        parent = self.parent if self.parent is not None else self.parent_id
        return CreateCategory(
            name=self.name,
            slug=self.slug or "",
            description=self.description,
            image=self.image,
            order=self.order,
            parent="" if parent is None else str(parent),
            active=self.active,
            attributes=tuple(each.attribute() for each in self.attributes),
        )


class CategoryChangeBody(Body, frozen=True, kw_only=True):
    """``parent`` null makes it a root. ``attributes`` are all of its own ones, as they are to be from now on."""

    keeps_null: ClassVar[bool] = True

    name: Name | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET
    description: LongText | UnsetType | None = UNSET
    image: Image | UnsetType | None = UNSET
    order: Place | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    parent: AnyReference | UnsetType | None = UNSET
    parent_id: AnyReference | UnsetType | None = UNSET
    attributes: Attributes | UnsetType = UNSET

    def command(self, category_id: CategoryId) -> ChangeCategory:
        parent = self.parent_id if isinstance(self.parent, UnsetType) else self.parent
        attributes = _given(self.attributes)
        return ChangeCategory(
            category_id=category_id,
            name=_given(self.name),
            slug=_given(self.slug),
            description=_given(self.description, ""),
            image=_given(self.image, ""),
            order=_given(self.order),
            active=_given(self.active),
            parent=parent if parent is None or isinstance(parent, UnsetType) else str(parent),
            attributes=None if attributes is None else tuple(each.attribute() for each in attributes),
        )


class CategoryOrderBody(Body, frozen=True, kw_only=True):
    """All that are directly below ``parent``, or all roots, in the order in which they are to be shown."""

    categories: Annotated[tuple[AnyReference, ...], Meta(max_length=1000)]
    parent: AnyReference | None = None
    parent_id: AnyReference | None = None


class CategoriesQuery(Body, frozen=True, kw_only=True):
    """Only those below ``parentId`` (or ``parent``: an id, uuid or slug), and only ``depth`` levels of them."""

    parent_id: Annotated[str, Meta(max_length=100)] = ""
    parent: Annotated[str, Meta(max_length=100)] = ""
    depth: Annotated[int, Meta(ge=1, le=100)] | None = None


class KeptCategoriesQuery(CursorQuery, frozen=True, kw_only=True):
    """``q`` and ``search`` look for words in name and slug; ``parent`` is a reference to the one directly above."""

    q: Annotated[str, Meta(max_length=200)] = ""
    search: Annotated[str, Meta(max_length=200)] = ""
    active: bool | None = None
    parent: str = ""


class CategoryDeletionQuery(Body, frozen=True, kw_only=True):
    """``reassignTo`` names the category that takes what is in the deleted one."""

    reassign_to: Annotated[str, Meta(max_length=100)] = ""


class CategoryController(Controller):
    tags = ("Categories",)

    @get("/categories", query=CategoriesQuery, responses=answers(list[CategoryNode], 200, 304, 404))
    async def tree(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All categories that are active: the roots, and in each node its children."""
        asked = decode_query(request.scope["query_string"], CategoriesQuery)
        categories, position = await _read(request, backend)
        reference = asked.parent_id or asked.parent
        below = shown_category(categories, reference) if reference else None
        share(request, on=CATEGORIES, seconds=CATEGORIES_FOR)
        return answer(encode(tree_of(categories, below=below, depth=asked.depth)), position=position)

    @get("/categories/{ref:str}", responses=answers(CategoryNode, 200, 304, 404))
    async def node(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A category by integer id, uuid or slug (also one that it had before), with its children."""
        categories, position = await _read(request, backend)
        category = shown_category(categories, ref)
        share(request, on=CATEGORIES, seconds=CATEGORIES_FOR)
        return answer(encode(node_of(categories, category)), position=position)

    @get("/categories/{ref:str}/attributes", responses=answers(CategorySchema, 200, 304, 404))
    async def attributes(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """What a listing in the category can and must say of itself: the inherited attributes and its own."""
        categories, position = await _read(request, backend)
        category = shown_category(categories, ref)
        share(request, on=CATEGORIES, seconds=CATEGORIES_FOR)
        return answer(encode(schema_body(categories, category)), position=position)

    @post(
        ["/admin/categories", "/categories"],
        status_code=201,
        guards=[admin],
        security=BEARER,
        responses=answers(CategoryNode, 201, 401, 403, 409, 422),
    )
    async def create(
        self, request: HttpRequest, data: JSONBody[CategoryBody], backend: Backend
    ) -> ASGIResponse:
        """Create a category, at the root or below ``parent``."""
        return await backend.commands.answer(request, data.command(), _created_view, status=201)


class KeptCategoryController(Controller):
    path = "/admin/categories"
    tags = ("Categories",)
    guards = (admin,)
    security = BEARER

    @get(query=KeptCategoriesQuery, responses=answers(KeptCategoryPage, 200, 401, 403))
    async def categories(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All categories, those that are not active too, one by one."""
        asked = decode_query(request.scope["query_string"], KeptCategoriesQuery)
        categories, position = await _read(request, backend)
        found = _matching(categories, asked)
        question = asked.question("kept categories")
        shown, last = piece_of(found, _rank, backend.cursors.piece(asked, question))
        bodies = [kept_body(categories, category) for category in shown]
        cursor = backend.cursors.after(last, question)
        body = paged("categories", bodies, asked, total=len(found), next_cursor=cursor)
        return answer(body, position=position)

    @put(responses=answers(list[ChangedCategory], 200, 401, 403, 404, 409))
    async def arrange(
        self, request: HttpRequest, data: JSONBody[CategoryOrderBody], backend: Backend
    ) -> ASGIResponse:
        """Bring all categories that are directly below another, or all roots, into an order."""
        store, keys = backend.write.store, backend.write.keys
        reference = data.parent if data.parent is not None else data.parent_id
        parent_id = None
        if reference is not None:
            parent_id = await category_named("parent", str(reference), store, keys)
        named = [
            await category_named(f"categories[{index}]", str(each), store, keys)
            for index, each in enumerate(data.categories)
        ]
        command = OrderCategories(parent_id=parent_id, categories=tuple(named))
        return await backend.commands.answer(
            request, command, lambda ordered: [_changed_view(each) for each in ordered]
        )

    @get("/{ref:str}", responses=answers(KeptCategory, 200, 401, 403, 404))
    async def category(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A category by any of its names, whether it is active or not."""
        categories, position = await _read(request, backend)
        category = categories.called(reference_kind(ref))
        if category is None:
            raise CategoryNotFoundError("Category not found")
        return answer(encode(kept_body(categories, category)), position=position)

    @route(
        "/{ref:str}",
        http_method=[HttpMethod.PATCH, HttpMethod.PUT],
        status_code=200,
        responses=answers(ChangedCategory, 200, 401, 403, 404, 409, 422),
    )
    async def change(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[CategoryChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change the fields that are given; with ``parent`` it moves, with all below it."""
        command = data.command(await _called(ref, backend))
        return await backend.commands.answer(request, command, _changed_view, conditional=True)

    @delete(
        "/{ref:str}",
        status_code=200,
        query=CategoryDeletionQuery,
        responses=answers(None, 204, 401, 403, 404, 409, 422),
    )
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Delete a category that is empty, or let ``reassignTo`` take its listings and the categories below it."""
        asked = decode_query(request.scope["query_string"], CategoryDeletionQuery)
        command = DeleteCategory(category=ref, reassign_to=asked.reassign_to)
        return await backend.commands.answer(request, command, None, status=204, conditional=True)


async def _read(request: HttpRequest, backend: BackendParts) -> tuple[Categories, int]:
    position = await backend.reading.fresh(request, "categories")
    return await backend.categories.at(position), position


def shown_category(categories: Categories, reference: str) -> Category:
    """The category as far as everybody may see it."""
    category = categories.called(reference_kind(reference))
    if category is None or not categories.is_open(category):
        raise CategoryNotFoundError("Category not found")
    return category


async def _called(reference: str, backend: BackendParts) -> CategoryId:
    return (await category_called(reference, backend.write.store, backend.write.keys)).id


def _matching(categories: Categories, asked: KeptCategoriesQuery) -> list[Category]:
    found = list(categories.standing)
    if asked.parent:
        parent = categories.called(reference_kind(asked.parent))
        found = [] if parent is None else list(categories.children(parent))
    words = (asked.q or asked.search).strip().lower()
    return [
        category
        for category in found
        if (asked.active is None or category.active == asked.active)
        and (words in category.name.lower() or words in category.slug)
    ]


def _rank(category: Category) -> Values:
    """By which all categories are sorted, wherever in the tree they are."""
    return category.order, category.number


def _created_view(placed: PlacedCategory) -> dict[str, Any]:
    return category_body(placed.category, placed.parent_number)


def _changed_view(placed: PlacedCategory) -> dict[str, Any]:
    return changed_body(placed.category, placed.parent_number)


def _given(value: Any, cleared: Any = None) -> Any:
    """``None`` for what was not given, and ``cleared`` for what was given as null."""
    if isinstance(value, UnsetType):
        return None
    return cleared if value is None else value
