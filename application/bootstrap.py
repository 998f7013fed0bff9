"""The write side, put together: the log, what handlers need, and the bus that finds a command's handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from nats.aio.client import Client

from application import ports
from application.accounts.addresses import (
    AddAddress,
    RemoveAddress,
    UpdateAddress,
    add_address,
    remove_address,
    update_address,
)
from application.accounts.avatars import ChangeAvatar, RemoveAvatar, change_avatar, remove_avatar
from application.accounts.identities import SignInWithIdentity, sign_in_with_identity
from application.accounts.impersonating import Impersonate, impersonate
from application.accounts.passwords import (
    ChangePassword,
    RequestPasswordReset,
    ResetPassword,
    change_password,
    request_password_reset,
    reset_password,
)
from application.accounts.profile import (
    UpdateAccount,
    UpdatePreferences,
    UpdatePrivacy,
    update_account,
    update_preferences,
    update_privacy,
)
from application.accounts.registering import (
    CreateAccount,
    RegisterAccount,
    create_account,
    register_account,
)
from application.accounts.signing_in import (
    LogIn,
    LogOut,
    RefreshSession,
    RevokeOtherSessions,
    RevokeSession,
    log_in,
    log_out,
    refresh_session,
    revoke_other_sessions,
    revoke_session,
)
from application.accounts.standing import (
    CancelDeletion,
    CancelDeletionByPassword,
    EraseAccount,
    FlagAccount,
    ForgetFiles,
    ForgetPerson,
    GrantRole,
    RequestDeletion,
    RestoreAccount,
    SetRole,
    SuspendAccount,
    cancel_deletion,
    cancel_deletion_by_password,
    erase_account,
    flag_account,
    forget_files,
    forget_person,
    grant_role,
    request_deletion,
    restore_account,
    set_role,
    suspend_account,
)
from application.accounts.verifying import (
    RequestEmailVerification,
    VerifyEmail,
    request_email_verification,
    verify_email,
)
from application.adapters.carrier_messages import SignedCarrierMessages
from application.adapters.clock import SystemClock
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.doorbell import NatsDoorbell, NoDoorbell
from application.adapters.erasures import Erasures
from application.adapters.event_log import PostgresEventLog
from application.adapters.event_store import EventStore
from application.adapters.group_commit import Written
from application.adapters.identity_providers import OpenIdProviders
from application.adapters.images import PillowImages
from application.adapters.invoices import TypstInvoices
from application.adapters.job_runs import PostgresJobRuns
from application.adapters.keys import MasterKeys, PostgresPersonKeys
from application.adapters.numbers import PostgresNumbers
from application.adapters.object_storage import S3Objects
from application.adapters.one_time_tokens import SealedOneTimeTokens
from application.adapters.passwords import Argon2Passwords
from application.adapters.stripe_payments import StripePayments
from application.adapters.tokens import Tokens
from application.adapters.traces import PostgresTraces
from application.bus import CommandBus, Handler
from application.carts.abandoning import AbandonCart, abandon_cart
from application.carts.couponing import ApplyCoupon, RemoveCoupon, apply_coupon, remove_coupon
from application.carts.filling import (
    AcknowledgePrices,
    AddToCart,
    ChangeCartItem,
    ClearCart,
    MergeCart,
    SyncCart,
    acknowledge_prices,
    add_to_cart,
    change_cart_item,
    clear_cart,
    merge_cart,
    sync_cart,
)
from application.categories.changing import (
    ChangeCategory,
    OrderCategories,
    change_category,
    order_categories,
)
from application.categories.creating import CreateCategory, create_category
from application.categories.deleting import DeleteCategory, delete_category
from application.collections.filling import (
    AddToCollection,
    ArrangeCollection,
    RemoveFromCollection,
    add_to_collection,
    arrange_collection,
    remove_from_collection,
)
from application.collections.keeping import (
    ChangeCollection,
    CreateCollection,
    DeleteCollection,
    change_collection,
    create_collection,
    delete_collection,
)
from application.follows.following import (
    FollowSeller,
    ForgetFollows,
    UnfollowSeller,
    follow_seller,
    forget_follows,
    unfollow_seller,
)
from application.jobs.ports import JobRuns
from application.jobs.requesting import RequestJobRun, request_job_run
from application.listings.changing import ChangeListing, change_listing
from application.listings.creating import CreateListing, create_listing
from application.listings.deleting import DeleteListing, RestoreListing, delete_listing, restore_listing
from application.listings.moderating import (
    FlagListing,
    HideListing,
    RemoveListing,
    UnhideListing,
    flag_listing,
    hide_listing,
    remove_listing,
    unhide_listing,
)
from application.listings.noting_low_stock import NoteLowStock, note_low_stock
from application.listings.publishing import (
    ExpireListing,
    PublishListing,
    RenewListing,
    UnpublishListing,
    expire_listing,
    publish_listing,
    renew_listing,
    unpublish_listing,
)
from application.media.attaching import (
    AttachMedia,
    DetachMedia,
    ReorderMedia,
    attach_media,
    detach_media,
    reorder_media,
)
from application.media.expiring import ExpireMedia, expire_media
from application.media.processing import DropMediaFiles, ProcessMedia, drop_media_files, process_media
from application.media.uploading import (
    CompleteUpload,
    DeleteMedia,
    RequestUpload,
    complete_upload,
    delete_media,
    request_upload,
)
from application.orders.cancelling import (
    CancelOrder,
    CancelUnpaidOrder,
    cancel_order,
    cancel_unpaid_order,
)
from application.orders.fulfilling import AdvanceOrder, UpdateTracking, advance_order, update_tracking
from application.orders.invoicing import IssueInvoice, issue_invoice
from application.orders.noting import AddNote, add_note
from application.orders.placing import CheckOut, Conditions, PlaceOrder, check_out, place_order
from application.orders.refunding import (
    RefundOrder,
    RetryFailedRefund,
    RetryRefund,
    RetryRefundOfPayment,
    refund_order,
    retry_failed_refund,
    retry_refund,
    retry_refund_of_payment,
)
from application.orders.returning import (
    ApproveReturn,
    ReceiveReturn,
    RejectReturn,
    RequestReturn,
    approve_return,
    receive_return,
    reject_return,
    request_return,
)
from application.payments.closing import ClosePayment, SendRefund, close_payment, send_refund
from application.payments.confirming import ConfirmOrder, confirm_order
from application.payments.linking import LinkPayment, PreparePayment, link_payment, prepare_payment
from application.payments.noting import (
    KeepProviderEvent,
    NoteCard,
    RecordDispute,
    RecordRefunds,
    keep_provider_event,
    note_card,
    record_dispute,
    record_refunds,
)
from application.payments.paying import (
    ConfirmPayment,
    RecordPaymentResult,
    RequestPayment,
    confirm_payment,
    record_payment_result,
    request_payment,
)
from application.payments.reconciling import (
    CompareRecent,
    ReconcilePayment,
    compare_recent,
    reconcile_payment,
)
from application.promotions.keeping import (
    ChangePromotion,
    CreatePromotion,
    DeletePromotion,
    change_promotion,
    create_promotion,
    delete_promotion,
)
from application.reports.generating import GenerateSalesReport, generate_sales_report
from application.reviews.importing import ImportReview, import_review
from application.reviews.moderating import HideReview, UnhideReview, hide_review, unhide_review
from application.reviews.submitting import (
    DeleteReview,
    EditReview,
    SubmitReview,
    delete_review,
    edit_review,
    submit_review,
)
from application.reviews.verifying import NotePurchases, note_purchases
from application.sellers.applying import ApplyToSell, apply_to_sell
from application.sellers.judging import (
    ReinstateSeller,
    RejectSeller,
    SuspendSeller,
    VerifySeller,
    reinstate_seller,
    reject_seller,
    suspend_seller,
    verify_seller,
)
from application.sellers.keeping import (
    AddShippingProfile,
    ChangeSellerProfile,
    ChangeShippingProfile,
    RemoveShippingProfile,
    add_shipping_profile,
    change_seller_profile,
    change_shipping_profile,
    remove_shipping_profile,
)
from application.sellers.opening import OpenHouseSeller, open_house_seller
from application.settings import Settings
from application.wishlists.wishing import (
    AddToWishlist,
    RemoveFromWishlist,
    add_to_wishlist,
    remove_from_wishlist,
)
from domain.accounts.account import GRACE
from domain.carts.cart import ABANDONED_AFTER
from domain.listings.listing import LIFETIME
from domain.orders.order import RETURN_WINDOW, UNPAID_AFTER
from domain.orders.pricing import Tariff
from domain.registry import AGGREGATES, EVENTS


@dataclass(frozen=True, kw_only=True)
class WriteSide:
    bus: CommandBus
    store: EventStore
    log: PostgresEventLog
    database: Database
    keys: PostgresPersonKeys
    erasures: Erasures
    numbers: PostgresNumbers
    tokens: Tokens
    one_time_tokens: SealedOneTimeTokens
    identity_providers: OpenIdProviders
    objects: S3Objects
    images: PillowImages
    invoices: TypstInvoices
    payments: StripePayments
    carriers: SignedCarrierMessages
    clock: SystemClock
    conditions: Conditions
    job_runs: PostgresJobRuns

    @property
    def tariff(self) -> Tariff:
        return self.conditions.tariff


def handlers(
    *,
    store: ports.EventStore,
    keys: ports.Keys,
    numbers: ports.ReturnableNumbers,
    passwords: ports.Passwords,
    payments: ports.PaymentProvider,
    clock: ports.Clock,
    traces: ports.Traces,
    objects: ports.ObjectStore,
    images: ports.Images,
    job_runs: JobRuns,
    upload_max_size: int,
    session_lifetime: timedelta,
    conditions: Conditions,
    deletion_grace: timedelta = GRACE,
    unpaid_after: timedelta = UNPAID_AFTER,
    return_window: timedelta = RETURN_WINDOW,
    listing_lifetime: timedelta = LIFETIME,
    cart_abandoned_after: timedelta = ABANDONED_AFTER,
    seller_auto_approve: bool = False,
) -> dict[type, Handler]:
    """Every command's handler, with what it needs."""
    return {
        RegisterAccount: partial(
            register_account,
            store=store,
            keys=keys,
            numbers=numbers,
            passwords=passwords,
            clock=clock,
            session_lifetime=session_lifetime,
        ),
        CreateAccount: partial(
            create_account, store=store, keys=keys, numbers=numbers, passwords=passwords, clock=clock
        ),
        LogIn: partial(
            log_in,
            store=store,
            keys=keys,
            passwords=passwords,
            clock=clock,
            session_lifetime=session_lifetime,
        ),
        SignInWithIdentity: partial(
            sign_in_with_identity,
            store=store,
            keys=keys,
            numbers=numbers,
            passwords=passwords,
            clock=clock,
            session_lifetime=session_lifetime,
        ),
        Impersonate: partial(impersonate, store=store, clock=clock),
        RefreshSession: partial(refresh_session, store=store, clock=clock, session_lifetime=session_lifetime),
        LogOut: partial(log_out, store=store),
        RevokeSession: partial(revoke_session, store=store),
        RevokeOtherSessions: partial(revoke_other_sessions, store=store, clock=clock),
        ChangePassword: partial(change_password, store=store, passwords=passwords, clock=clock),
        RequestPasswordReset: partial(request_password_reset, store=store, keys=keys, clock=clock),
        ResetPassword: partial(reset_password, store=store, keys=keys, passwords=passwords, clock=clock),
        RequestEmailVerification: partial(request_email_verification, store=store, clock=clock),
        VerifyEmail: partial(verify_email, store=store, clock=clock),
        UpdateAccount: partial(
            update_account, store=store, keys=keys, passwords=passwords, clock=clock, objects=objects
        ),
        UpdatePreferences: partial(update_preferences, store=store),
        UpdatePrivacy: partial(update_privacy, store=store),
        ChangeAvatar: partial(
            change_avatar, store=store, objects=objects, images=images, most=upload_max_size
        ),
        RemoveAvatar: partial(remove_avatar, store=store, objects=objects),
        AddAddress: partial(add_address, store=store, numbers=numbers, clock=clock),
        UpdateAddress: partial(update_address, store=store, clock=clock),
        RemoveAddress: partial(remove_address, store=store),
        GrantRole: partial(grant_role, store=store),
        SetRole: partial(set_role, store=store),
        SuspendAccount: partial(suspend_account, store=store, clock=clock),
        RestoreAccount: partial(restore_account, store=store),
        FlagAccount: partial(flag_account, store=store),
        RequestDeletion: partial(
            request_deletion, store=store, passwords=passwords, clock=clock, grace=deletion_grace
        ),
        CancelDeletion: partial(cancel_deletion, store=store, clock=clock),
        CancelDeletionByPassword: partial(
            cancel_deletion_by_password, store=store, keys=keys, passwords=passwords, clock=clock
        ),
        EraseAccount: partial(erase_account, store=store, keys=keys, clock=clock),
        ForgetPerson: partial(forget_person, traces=traces),
        ForgetFiles: partial(forget_files, objects=objects),
        CreateCategory: partial(create_category, store=store, keys=keys, numbers=numbers),
        ChangeCategory: partial(change_category, store=store, keys=keys),
        OrderCategories: partial(order_categories, store=store),
        DeleteCategory: partial(delete_category, store=store, keys=keys),
        CreateCollection: partial(create_collection, store=store, keys=keys, numbers=numbers),
        ChangeCollection: partial(change_collection, store=store, keys=keys),
        DeleteCollection: partial(delete_collection, store=store, keys=keys),
        AddToCollection: partial(add_to_collection, store=store, keys=keys),
        ArrangeCollection: partial(arrange_collection, store=store, keys=keys),
        RemoveFromCollection: partial(remove_from_collection, store=store, keys=keys),
        CreateListing: partial(
            create_listing, store=store, keys=keys, numbers=numbers, clock=clock, lifetime=listing_lifetime
        ),
        ChangeListing: partial(change_listing, store=store, keys=keys),
        RenewListing: partial(renew_listing, store=store, clock=clock, lifetime=listing_lifetime),
        ExpireListing: partial(expire_listing, store=store, clock=clock),
        NoteLowStock: partial(note_low_stock, store=store),
        DeleteListing: partial(delete_listing, store=store, clock=clock),
        RestoreListing: partial(restore_listing, store=store),
        HideListing: partial(hide_listing, store=store),
        UnhideListing: partial(unhide_listing, store=store),
        RemoveListing: partial(remove_listing, store=store),
        FlagListing: partial(flag_listing, store=store),
        RequestUpload: partial(request_upload, store=store, clock=clock, most=upload_max_size),
        CompleteUpload: partial(complete_upload, store=store, objects=objects, clock=clock),
        DeleteMedia: partial(delete_media, store=store),
        ProcessMedia: partial(
            process_media, store=store, objects=objects, images=images, clock=clock, most=upload_max_size
        ),
        DropMediaFiles: partial(drop_media_files, store=store, objects=objects),
        ExpireMedia: partial(expire_media, store=store, clock=clock),
        AttachMedia: partial(attach_media, store=store),
        ReorderMedia: partial(reorder_media, store=store),
        DetachMedia: partial(detach_media, store=store, clock=clock),
        PublishListing: partial(publish_listing, store=store, clock=clock, lifetime=listing_lifetime),
        UnpublishListing: partial(unpublish_listing, store=store),
        ImportReview: partial(import_review, store=store, numbers=numbers),
        SubmitReview: partial(submit_review, store=store, numbers=numbers, clock=clock),
        EditReview: partial(edit_review, store=store, clock=clock),
        DeleteReview: partial(delete_review, store=store),
        HideReview: partial(hide_review, store=store),
        UnhideReview: partial(unhide_review, store=store),
        NotePurchases: partial(note_purchases, store=store),
        AddToCart: partial(add_to_cart, store=store, clock=clock),
        ChangeCartItem: partial(change_cart_item, store=store, clock=clock),
        SyncCart: partial(sync_cart, store=store, clock=clock),
        MergeCart: partial(merge_cart, store=store, clock=clock),
        ClearCart: partial(clear_cart, store=store, clock=clock),
        AcknowledgePrices: partial(acknowledge_prices, store=store, clock=clock),
        AbandonCart: partial(abandon_cart, store=store, clock=clock, patience=cart_abandoned_after),
        PlaceOrder: partial(
            place_order,
            store=store,
            keys=keys,
            numbers=numbers,
            clock=clock,
            payments=payments,
            conditions=conditions,
        ),
        CheckOut: partial(
            check_out,
            store=store,
            keys=keys,
            numbers=numbers,
            clock=clock,
            payments=payments,
            conditions=conditions,
        ),
        CancelOrder: partial(cancel_order, store=store, clock=clock),
        CancelUnpaidOrder: partial(
            cancel_unpaid_order, store=store, clock=clock, payments=payments, patience=unpaid_after
        ),
        AdvanceOrder: partial(advance_order, store=store, clock=clock),
        UpdateTracking: partial(update_tracking, store=store, clock=clock),
        AddNote: partial(add_note, store=store, clock=clock),
        RequestReturn: partial(request_return, store=store, clock=clock, window=return_window),
        ApproveReturn: partial(approve_return, store=store, clock=clock),
        RejectReturn: partial(reject_return, store=store, clock=clock),
        ReceiveReturn: partial(receive_return, store=store, clock=clock),
        RefundOrder: partial(refund_order, store=store, clock=clock),
        RetryRefund: partial(retry_refund, store=store),
        RetryRefundOfPayment: partial(retry_refund_of_payment, store=store),
        RetryFailedRefund: partial(retry_failed_refund, store=store),
        IssueInvoice: partial(issue_invoice, store=store, clock=clock),
        ClosePayment: partial(close_payment, store=store, payments=payments, clock=clock),
        SendRefund: partial(send_refund, store=store, payments=payments, clock=clock),
        RequestPayment: partial(request_payment, store=store, payments=payments),
        ConfirmPayment: partial(confirm_payment, store=store, payments=payments, clock=clock),
        PreparePayment: partial(prepare_payment, store=store, payments=payments, tariff=conditions.tariff),
        LinkPayment: partial(link_payment, store=store, payments=payments, clock=clock),
        RecordRefunds: partial(record_refunds, store=store, payments=payments, clock=clock),
        RecordDispute: partial(record_dispute, store=store),
        ReconcilePayment: partial(
            reconcile_payment, store=store, payments=payments, clock=clock, patience=unpaid_after
        ),
        CompareRecent: partial(compare_recent, store=store, payments=payments, clock=clock),
        KeepProviderEvent: partial(keep_provider_event, store=store),
        ConfirmOrder: partial(confirm_order, store=store, payments=payments, clock=clock),
        RecordPaymentResult: partial(record_payment_result, store=store, clock=clock),
        NoteCard: partial(note_card, store=store, payments=payments),
        OpenHouseSeller: partial(open_house_seller, store=store, keys=keys),
        ApplyToSell: partial(
            apply_to_sell, store=store, keys=keys, clock=clock, auto_approve=seller_auto_approve
        ),
        VerifySeller: partial(verify_seller, store=store),
        RejectSeller: partial(reject_seller, store=store),
        SuspendSeller: partial(suspend_seller, store=store),
        ReinstateSeller: partial(reinstate_seller, store=store),
        ChangeSellerProfile: partial(change_seller_profile, store=store, keys=keys),
        AddShippingProfile: partial(add_shipping_profile, store=store),
        ChangeShippingProfile: partial(change_shipping_profile, store=store),
        RemoveShippingProfile: partial(remove_shipping_profile, store=store),
        FollowSeller: partial(follow_seller, store=store, clock=clock),
        UnfollowSeller: partial(unfollow_seller, store=store),
        ForgetFollows: partial(forget_follows, store=store),
        AddToWishlist: partial(add_to_wishlist, store=store, clock=clock),
        RemoveFromWishlist: partial(remove_from_wishlist, store=store),
        CreatePromotion: partial(create_promotion, store=store, keys=keys, numbers=numbers, clock=clock),
        ChangePromotion: partial(change_promotion, store=store, keys=keys, clock=clock),
        DeletePromotion: partial(delete_promotion, store=store, keys=keys),
        ApplyCoupon: partial(apply_coupon, store=store, keys=keys, clock=clock, tariff=conditions.tariff),
        RequestJobRun: partial(request_job_run, store=store, job_runs=job_runs),
        GenerateSalesReport: partial(generate_sales_report, store=store),
        RemoveCoupon: partial(remove_coupon, store=store, clock=clock),
    }


@asynccontextmanager
async def write_side(
    settings: Settings,
    *,
    nats: Client | None = None,
    observe: Callable[[Written], None] | None = None,
) -> AsyncIterator[WriteSide]:
    """The write side, open. It opens also while the database is away, and is whole as soon as that is back."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url))
        master = MasterKeys.parse(settings.tradelog_master_key)
        keys = PostgresPersonKeys(database, master)
        codec = EventCodec(EVENTS, AGGREGATES, keys)
        doorbell = await stack.enter_async_context(NatsDoorbell(nats)) if nats is not None else NoDoorbell()
        log = await stack.enter_async_context(
            PostgresEventLog.on(database, codec, doorbell=doorbell, observe=observe)
        )
        clock = SystemClock()
        numbers = PostgresNumbers(database)
        store = await stack.enter_async_context(EventStore(log, codec, keys, clock))
        erasures = Erasures(database)
        erasures.tell(store.forget)
        await stack.enter_async_context(erasures.watched())
        passwords = Argon2Passwords()
        stack.callback(passwords.close)
        payments = StripePayments(
            settings.stripe_secret_key,
            settings.stripe_webhook_secret,
            api_base=settings.stripe_api_base or None,
        )
        stack.push_async_callback(payments.close)
        objects = S3Objects(settings)
        stack.callback(objects.close)
        images = PillowImages(settings.upload_max_size)
        stack.callback(images.close)
        invoices = TypstInvoices(settings.font_folders)
        stack.callback(invoices.close)
        identity_providers = OpenIdProviders.from_settings(settings, master, clock)
        stack.push_async_callback(identity_providers.close)
        conditions = Conditions(tariff=settings.tariff, verified_only=settings.require_email_verification)
        job_runs = PostgresJobRuns(database)
        bus = CommandBus(
            handlers(
                store=store,
                keys=keys,
                numbers=numbers,
                passwords=passwords,
                payments=payments,
                clock=clock,
                traces=PostgresTraces(database, keys),
                objects=objects,
                images=images,
                job_runs=job_runs,
                upload_max_size=settings.upload_max_size,
                session_lifetime=settings.session_lifetime,
                deletion_grace=settings.deletion_grace,
                unpaid_after=settings.unpaid_after,
                return_window=settings.returnable_for,
                listing_lifetime=settings.offer_lifetime,
                cart_abandoned_after=settings.cart_patience,
                conditions=conditions,
                seller_auto_approve=settings.seller_auto_approve,
            )
        )
        yield WriteSide(
            bus=bus,
            store=store,
            log=log,
            database=database,
            keys=keys,
            erasures=erasures,
            numbers=numbers,
            tokens=Tokens.from_settings(settings),
            one_time_tokens=SealedOneTimeTokens(master),
            identity_providers=identity_providers,
            objects=objects,
            images=images,
            invoices=invoices,
            payments=payments,
            carriers=SignedCarrierMessages(settings.shipping_webhook_secret),
            clock=clock,
            conditions=conditions,
            job_runs=job_runs,
        )
