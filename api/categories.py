"""The category tree."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin
from api.backend import Backend
from api.documentation import answers
from api.input import AnyReference, Body, Check
from api.models import CategoryNode
from api.wire import answer, encode
from application.categories.creating import CreateCategory, category_called
from application.slugs import is_legal_slug, reference_kind
from domain.categories.category import CategoryNotFoundError
from projections.categories.query import category_body, category_tree

HttpRequest = Request[Any, Any, Any]


def slug_faults(slug: str) -> list[str]:
    legal = (
        is_legal_slug(slug)
        and all(c.isascii() and (c.isalnum() or c == "-") for c in slug)
        and slug.islower()
    )
    return [] if legal else ["Must be lower-case letters, digits and '-', and no reserved word"]


Slug = Annotated[str, Meta(min_length=1, max_length=100), Check(slug_faults)]


class CategoryBody(Body, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=100, examples=["Smartphones"])]
    slug: Slug | None = None
    description: Annotated[str, Meta(max_length=5000)] = ""
    image: Annotated[str, Meta(max_length=2048)] = ""
    order: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    parent: AnyReference | None = None
    parent_id: AnyReference | None = None


class CategoryController(Controller):
    tags = ("Categories",)

    @get("/categories", responses=answers(list[CategoryNode], 200))
    async def tree(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All categories: the roots, and in each node its children."""
        position = await backend.reading.fresh(request, "categories")
        return answer(encode(await category_tree(backend.read.reads)), position=position)

    @get("/categories/{ref:str}", responses=answers(CategoryNode, 200, 404))
    async def node(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A category by integer id, uuid or slug, with its children."""
        position = await backend.reading.fresh(request, "categories")
        node = _find(await category_tree(backend.read.reads), reference_kind(ref))
        if node is None:
            raise CategoryNotFoundError("Category not found")
        return answer(encode(node), position=position)

    @post(
        ["/admin/categories", "/categories"],
        status_code=201,
        guards=[admin],
        security=BEARER,
        responses=answers(CategoryNode, 201, 401, 403, 409),
    )
    async def create(
        self, request: HttpRequest, data: JSONBody[CategoryBody], backend: Backend
    ) -> ASGIResponse:
        """Create a category, at the root or below ``parent``."""
        reference = data.parent if data.parent is not None else data.parent_id
        write = backend.write
        parent = None if reference is None else await category_called(str(reference), write.store, write.keys)
        command = CreateCategory(
            name=data.name,
            slug=data.slug or "",
            description=data.description,
            image=data.image,
            order=data.order,
            parent="" if parent is None else str(parent.id),
        )
        number = None if parent is None else parent.number
        return await backend.commands.answer(
            request, command, lambda category: category_body(category, number), status=201
        )


def _find(nodes: list[dict[str, Any]], reference: object) -> dict[str, Any] | None:
    for node in nodes:
        if reference in (node["id"], node["slug"]) or str(reference) == node["uuid"]:
            return node
        found = _find(node["children"], reference)
        if found is not None:
            return found
    return None
