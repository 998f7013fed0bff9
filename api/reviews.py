"""Reviews: reading what others say of a product, saying something oneself, and moderating it."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, HttpMethod, Request, delete, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, caller_of, reader, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import Body, Check, decode_query
from api.models import KeptReviewPage, ListedReview, ModeratedReview, ReviewPage
from api.paging import CursorQuery
from api.wire import answer, encode
from application.reviews.moderating import HideReview, UnhideReview
from application.reviews.submitting import DeleteReview, EditReview, Reviewed, SubmitReview, review_called
from application.slugs import reference_kind
from domain.accounts.events import Caller
from domain.kernel import InvalidInputError
from domain.listings.listing import ProductNotFoundError
from domain.reviews.review import LONGEST_COMMENT, Review, ReviewNotFoundError
from domain.sellers.events import seller_of
from projections.reviews.query import (
    FoundReview,
    ReviewedProduct,
    SortReviews,
    review_body,
    review_by,
    reviewed_product,
    reviews_by,
    reviews_of,
    reviews_to_moderate,
)

HttpRequest = Request[Any, Any, Any]


def _comment_faults(comment: str) -> list[str]:
    return [] if comment.strip() else ["Must not be empty"]


Rating = Annotated[int, Meta(ge=1, le=5, examples=[5])]
Comment = Annotated[
    str,
    Meta(max_length=LONGEST_COMMENT, examples=["Very satisfied!"]),
    Check(_comment_faults),
]
Reason = Annotated[str, Meta(min_length=1, max_length=1000)]


class ReviewBody(Body, frozen=True, kw_only=True):
    rating: Rating
    comment: Comment


class ReviewChangeBody(Body, frozen=True, kw_only=True):
    rating: Rating | None = None
    comment: Comment | None = None


class HidingBody(Body, frozen=True, kw_only=True):
    """The reviewer reads the ``reason``."""

    reason: Reason


class ReviewsQuery(CursorQuery, frozen=True, kw_only=True):
    """``sort`` is newest, oldest, rating (the best first, also ``rating_desc``) or ``rating_asc``."""

    sort: SortReviews = SortReviews.NEWEST


class ModerationQuery(CursorQuery, frozen=True, kw_only=True):
    """``status`` is visible or hidden; none means both."""

    status: str = ""

    @property
    def hidden(self) -> bool | None:
        match self.status.lower():
            case "":
                return None
            case "visible":
                return False
            case "hidden":
                return True
            case _:
                raise InvalidInputError({"status": ["Must be visible or hidden"]})


class ReviewController(Controller):
    tags = ("Reviews",)

    @get("/products/{ref:str}/reviews", query=ReviewsQuery, responses=answers(ReviewPage, 200, 404))
    async def of_product(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """What is said of a product, the newest first unless ``sort`` says otherwise."""
        asked = decode_query(request.scope["query_string"], ReviewsQuery)
        caller = await reader(request)
        position = await _fresh(request, backend)
        product = await reviewed_product(backend.read.reads, reference_kind(ref))
        if product is None or not _may_see(caller, product):
            raise ProductNotFoundError("Product not found")
        question = asked.question("reviews", product.id)
        piece = backend.cursors.piece(asked, question)
        found = await reviews_of(backend.read.reads, product, asked.sort, piece)
        bodies = [_shown(each, caller) for each in found.reviews]
        return backend.cursors.answer("reviews", bodies, asked, question, found, position=position)

    @post(
        "/products/{ref:str}/reviews",
        status_code=201,
        guards=[signed_in],
        security=BEARER,
        responses=answers(ListedReview, 201, 401, 404, 409, 422),
    )
    async def submit(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[ReviewBody], backend: Backend
    ) -> ASGIResponse:
        """Say what you think of a product: once, and not of what you sell yourself. You need not have bought it."""
        command = SubmitReview(
            caller=caller_of(request),
            listing_id=await backend.listing_called(ref),
            rating=data.rating,
            comment=data.comment,
        )
        return await backend.commands.answer(request, command, _own_view, status=201)

    @get("/reviews/{ref:str}", responses=answers(ListedReview, 200, 404))
    async def review(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """One review by integer id or uuid. What is hidden, as its product may be, is for its writer and admins."""
        caller = await reader(request)
        position = await _fresh(request, backend)
        found = await review_by(backend.read.reads, review_called(ref))
        if found is None or not (found.visible or _is_private_to(caller, found)):
            raise ReviewNotFoundError("Review not found")
        return answer(encode(_shown(found, caller)), position=position)

    @route(
        "/reviews/{ref:str}",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(ListedReview, 200, 401, 403, 404, 409, 422),
    )
    async def edit(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[ReviewChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change what you said; what is not given stays. A review that an admin has hidden stays as it is."""
        command = EditReview(
            review_id=review_called(ref),
            caller=caller_of(request),
            rating=data.rating,
            comment=data.comment,
        )
        return await backend.commands.answer(request, command, _own_view, conditional=True)

    @delete(
        "/reviews/{ref:str}",
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(None, 204, 401, 403, 404),
    )
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take back what you said; you may write something else then. Admins delete anybody's, for good."""
        command = DeleteReview(review_id=review_called(ref), caller=caller_of(request))
        return await backend.commands.answer(request, command, None, status=204)

    @get(
        "/users/me/reviews",
        query=CursorQuery,
        guards=[signed_in],
        security=BEARER,
        responses=answers(KeptReviewPage, 200, 401),
    )
    async def own(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All that you said of products, the last first; what is hidden, too, and why."""
        asked = decode_query(request.scope["query_string"], CursorQuery)
        position = await _fresh(request, backend)
        account_id = caller_of(request).account_id
        question = asked.question("own reviews", account_id)
        found = await reviews_by(backend.read.reads, account_id, backend.cursors.piece(asked, question))
        bodies = [_kept(each) for each in found.reviews]
        return backend.cursors.answer("reviews", bodies, asked, question, found, position=position)

    @get(
        "/admin/reviews",
        query=ModerationQuery,
        guards=[admin],
        security=BEARER,
        responses=answers(KeptReviewPage, 200, 401, 403),
    )
    async def to_moderate(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The reviews of all products, the last first."""
        asked = decode_query(request.scope["query_string"], ModerationQuery)
        position = await _fresh(request, backend)
        question = asked.question("kept reviews")
        piece = backend.cursors.piece(asked, question)
        found = await reviews_to_moderate(backend.read.reads, asked.hidden, piece)
        bodies = [_kept(each) for each in found.reviews]
        return backend.cursors.answer("reviews", bodies, asked, question, found, position=position)

    @post(
        "/admin/reviews/{ref:str}/hide",
        status_code=200,
        guards=[admin],
        security=BEARER,
        responses=answers(ModeratedReview, 200, 401, 403, 404, 409),
    )
    async def hide(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[HidingBody], backend: Backend
    ) -> ASGIResponse:
        """Take a review out of sight; it counts no more for the product's rating."""
        command = HideReview(review_id=review_called(ref), reason=data.reason)
        return await backend.commands.answer(
            request, command, _moderated_view, conditional=True, person=_reviewer_in
        )

    @post(
        "/admin/reviews/{ref:str}/unhide",
        status_code=200,
        guards=[admin],
        security=BEARER,
        responses=answers(ModeratedReview, 200, 401, 403, 404, 409),
    )
    async def unhide(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Let a hidden review be seen again, and count."""
        command = UnhideReview(review_id=review_called(ref))
        return await backend.commands.answer(
            request, command, _moderated_view, conditional=True, person=_reviewer_in
        )


async def _fresh(request: HttpRequest, backend: BackendParts) -> int:
    """What is said is shown with what the catalogue knows of the product."""
    return await backend.reading.fresh(request, "reviews", "products")


def _may_see(caller: Caller | None, product: ReviewedProduct) -> bool:
    if product.visible:
        return True
    return caller is not None and (caller.is_admin or seller_of(caller.account_id) == product.seller_id)


def _is_private_to(caller: Caller | None, found: FoundReview) -> bool:
    """Whether it is for the caller to read as a whole (C41)."""
    return caller is not None and (caller.is_admin or caller.account_id == found.review.review.reviewer_id)


def _shown(found: FoundReview, caller: Caller | None) -> dict[str, Any]:
    whole = _is_private_to(caller, found)
    return review_body(found.review.review, found.product_number, whole_email=whole)


def _kept(found: FoundReview) -> dict[str, Any]:
    review = found.review.review
    return {
        **review_body(review, found.product_number, whole_email=True),
        "product": found.product_title,
        "reason": review.reason,
    }


def _own_view(reviewed: Reviewed) -> dict[str, Any]:
    return review_body(reviewed.review, reviewed.listing.number, whole_email=True)


def _reviewer_in(review: Review) -> UUID:
    return review.reviewer_id


def _moderated_view(review: Review) -> dict[str, Any]:
    """Nothing that its writer wrote: by now they may be erased, and we remember what we have read before."""
    return {
        "id": review.number,
        "uuid": str(review.id),
        "rating": review.rating,
        "status": "hidden" if review.hidden else "visible",
        "reason": review.reason,
    }
