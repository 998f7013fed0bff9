"""Who sells: the contract that everyone reads."""

from domain.kernel import AccountId, SellerId, stream_id

HOUSE_SELLER = SellerId(stream_id("seller", "house"))
"""The shop itself: the catalogue's products are its own (C57)."""


def seller_of(account_id: AccountId) -> SellerId:
    """The one seller that an account can be (C-2)."""
    return SellerId(stream_id("seller", str(account_id)))
