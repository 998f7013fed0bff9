"""Every kind of aggregate and every event, by the names under which they are stored."""

from __future__ import annotations

from typing import Any, get_args

from domain.accounts.account import ACCOUNTS
from domain.accounts.events import AccountEvent, RosterEvent, SessionEvent, SignInEvent
from domain.accounts.roster import ADMINS
from domain.accounts.session import SESSIONS
from domain.accounts.sign_in import SIGN_INS
from domain.carts.cart import CARTS
from domain.carts.events import CartEvent
from domain.categories.category import CATEGORIES
from domain.categories.events import CategoryEvent, ShelfEvent, TreeEvent
from domain.categories.shelf import CATEGORY_SHELVES
from domain.categories.tree import TREE
from domain.claims.claim import CLAIMS
from domain.claims.events import ClaimEvent
from domain.collections.collection import COLLECTIONS
from domain.collections.events import CollectionEvent
from domain.follows.events import FollowEvent
from domain.follows.follow import FOLLOWS
from domain.jobs.events import JobEvent
from domain.jobs.job import JOBS
from domain.kernel import Decider, Event, tag_of
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS
from domain.media.events import MediaEvent
from domain.media.media import MEDIA
from domain.orders.events import InvoiceNumberEvent, OrderEvent
from domain.orders.invoices import INVOICE_SERIES
from domain.orders.order import ORDERS
from domain.payments.events import PaymentEvent
from domain.payments.payment import PAYMENTS
from domain.payments.provider_events import PROVIDER_EVENTS, ProviderEvent
from domain.promotions.events import OfferEvent, PromotionEvent, RedemptionEvent
from domain.promotions.offers import OFFERS
from domain.promotions.promotion import PROMOTIONS
from domain.promotions.redemptions import REDEMPTIONS
from domain.reports.events import ReportEvent
from domain.reports.sales_report import SALES_REPORTS
from domain.reviews.events import PurchaseEvent, ReviewEvent
from domain.reviews.purchase import PURCHASES
from domain.reviews.review import REVIEWS
from domain.sellers.events import SellerEvent
from domain.sellers.seller import SELLERS
from domain.wishlists.events import WishlistEvent
from domain.wishlists.wishlist import WISHLISTS

_UNIONS: tuple[tuple[Decider[Any, Any], Any], ...] = (
    (ACCOUNTS, AccountEvent),
    (SESSIONS, SessionEvent),
    (SIGN_INS, SignInEvent),
    (ADMINS, RosterEvent),
    (CLAIMS, ClaimEvent),
    (CATEGORIES, CategoryEvent),
    (TREE, TreeEvent),
    (CATEGORY_SHELVES, ShelfEvent),
    (COLLECTIONS, CollectionEvent),
    (LISTINGS, ListingEvent),
    (MEDIA, MediaEvent),
    (REVIEWS, ReviewEvent),
    (PURCHASES, PurchaseEvent),
    (CARTS, CartEvent),
    (ORDERS, OrderEvent),
    (INVOICE_SERIES, InvoiceNumberEvent),
    (PAYMENTS, PaymentEvent),
    (PROVIDER_EVENTS, ProviderEvent),
    (SELLERS, SellerEvent),
    (FOLLOWS, FollowEvent),
    (WISHLISTS, WishlistEvent),
    (PROMOTIONS, PromotionEvent),
    (OFFERS, OfferEvent),
    (REDEMPTIONS, RedemptionEvent),
    (JOBS, JobEvent),
    (SALES_REPORTS, ReportEvent),
)

EVENTS: dict[str, type[Event]] = {}
"""The event type of each tag."""

DECIDERS: dict[str, Decider[Any, Any]] = {}
"""The decider that folds events of each tag."""

for _decider, _union in _UNIONS:
    for _event in get_args(_union) or (_union,):
        EVENTS[tag_of(_event)] = _event
        DECIDERS[tag_of(_event)] = _decider

AGGREGATES: dict[str, str] = {tag: decider.name for tag, decider in DECIDERS.items()}
"""The aggregate's name of each tag."""
