"""What an invoice says, read back from the PDF."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pymupdf_fonts
import pytest
import typst
from msgspec.structs import replace
from pypdf import PdfReader
from structlog.testing import capture_logs

from application.adapters.invoices import TypstInvoices
from application.orders.invoicing import invoice_of
from domain.kernel import PromotionId, SellerId, stream_id
from domain.money import Money
from domain.orders.events import (
    AppliedPromotion,
    CancelCause,
    InvoiceIssued,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderLine,
    OrderPlaced,
    OrderRefunded,
    PostalAddress,
    TaxLine,
)
from domain.orders.order import ORDERS, Order
from domain.placing import line_of
from domain.sellers.events import HOUSE_SELLER, ReturnAddress, ShopProfile
from tests.domain.builders import BUYER, NOW, ORDER_ID, a_listing

ANOTHER = SellerId(stream_id("seller", "another"))
EMILY = PostalAddress(
    first_name="Emily",
    last_name="Johnson",
    address="626 Main Street",
    city="Phoenix",
    state="AZ",
    zip_code="29112",
    country="United States",
)
SHOPS: Mapping[SellerId, ShopProfile] = {
    HOUSE_SELLER: ShopProfile(
        shop_name="Tradelog",
        return_address=ReturnAddress(address="1 Warehouse Way", city="Reno", zip_code="89501"),
    ),
    ANOTHER: ShopProfile(shop_name="Vintage Vault"),
}
CONFIRMED = OrderConfirmed(order_id=ORDER_ID, intent_id="pi_1", confirmed_at=NOW)
ISSUED = InvoiceIssued(order_id=ORDER_ID, number="INV-2026-000001", issued_at=NOW)


@pytest.fixture
async def invoices() -> AsyncIterator[TypstInvoices]:
    invoices = TypstInvoices()
    yield invoices
    invoices.close()


def a_line(number: int = 1, quantity: int = 2, **fields: Any) -> OrderLine:
    """Two at 1,199.99 less 5.5 %, as in S2's sample."""
    given = {"price": Money(119_999), "discount_percentage": Decimal("5.5"), **fields}
    return line_of(a_listing(number=number, **given), quantity, None)


def placed(*lines: OrderLine, **fields: Any) -> OrderPlaced:
    lines = lines or (a_line(),)
    subtotal = Money(sum(line.discounted_total.minor for line in lines))
    tax = subtotal.share(Decimal("0.08"))
    given: dict[str, Any] = {
        "subtotal": subtotal,
        "tax": tax,
        "shipping": Money(500),
        "total": subtotal + tax + Money(500),
        "shipping_address": EMILY,
        **fields,
    }
    return OrderPlaced(
        order_id=ORDER_ID,
        number="ORD-2026112101",
        account_id=BUYER.account_id,
        account_number=BUYER.number,
        lines=lines,
        payment_method="card",
        placed_at=NOW,
        **given,
    )


def order_after(first: OrderPlaced, *events: OrderEvent) -> Order:
    return ORDERS.after(None, [first, *events])


async def pages_of(
    invoices: TypstInvoices, order: Order, shops: Mapping[SellerId, ShopProfile] = SHOPS, card: str = ""
) -> list[str]:
    """The text of each page, with single blanks between its words."""
    content = await invoices.pdf(invoice_of(order, shops, card))
    return [" ".join(page.extract_text().split()) for page in PdfReader(BytesIO(content)).pages]


class TestWhatItSays:
    async def test_who_sold_what_to_whom_and_for_how_much(self, invoices: TypstInvoices) -> None:
        order = order_after(placed(), CONFIRMED, ISSUED)
        (page,) = await pages_of(invoices, order, card="Visa ending in 4242")
        for said in (
            "Invoice INV-2026-000001",
            "Sold by Tradelog 1 Warehouse Way 89501 Reno",
            "Bill to Emily Johnson 626 Main Street 29112 Phoenix AZ United States",
            "Invoice number INV-2026-000001",
            "Invoice date 2026-11-21",
            "Order number ORD-2026112101",
            "Order date 2026-11-21",
            "Paid on 2026-11-21",
            "Paid with Visa ending in 4242",
            "Item Quantity Unit price Discount Amount (USD)",
            "Listing 1 2 1,199.99 -132.00 2,267.98",
            "Subtotal 2,267.98",
            "Shipping 5.00",
            "Tax 8 % of 2,267.98 181.44",
            "Total 2,454.42",
            "Page 1 of 1",
        ):
            assert said in page, said
        assert "Refunded" not in page
        assert "Ship to" not in page

    async def test_what_was_taken_off_and_which_taxes_there_are(self, invoices: TypstInvoices) -> None:
        applied = AppliedPromotion(
            promotion_id=PromotionId(stream_id("promotion", 1)),
            number=1,
            name="Summer",
            code="SUMMER10",
            discount=Money(22_680),
            free_shipping=True,
        )
        taxes = (
            TaxLine(name="VAT", rate=Decimal("0.19"), base=Money(200_000), amount=Money(38_000)),
            TaxLine(name="VAT", rate=Decimal("0.075"), base=Money(4_118), amount=Money(309)),
        )
        first = placed(
            discount=Money(22_680),
            promotions=(applied,),
            taxes=taxes,
            tax=Money(38_309),
            shipping=Money(0),
            total=Money(242_427),
        )
        (page,) = await pages_of(invoices, order_after(first, CONFIRMED, ISSUED))
        for said in (
            "Discount: Summer (SUMMER10) -226.80",
            "Free shipping: Summer (SUMMER10) 0.00",
            "Shipping 0.00",
            "VAT 19 % of 2,000.00 380.00",
            "VAT 7.5 % of 41.18 3.09",
            "Total 2,424.27",
        ):
            assert said in page, said

    async def test_what_went_back(self, invoices: TypstInvoices) -> None:
        back = OrderRefunded(order_id=ORDER_ID, intent_id="pi_1", refund_id="pi_1-1", amount=Money(45_442))
        (page,) = await pages_of(invoices, order_after(placed(), CONFIRMED, ISSUED, back))
        assert "Total 2,454.42 Refunded -454.42 Total after refunds 2,000.00" in page

    async def test_several_sellers_and_where_it_is_sent(self, invoices: TypstInvoices) -> None:
        lines = (a_line(), a_line(2, title="Lamp", seller_id=ANOTHER))
        bill = replace(EMILY, first_name="Emma", last_name="Miller")
        order = order_after(placed(*lines, billing_address=bill), CONFIRMED, ISSUED)
        (page,) = await pages_of(invoices, order)
        for said in (
            "Sold by Tradelog 1 Warehouse Way",
            "Sold by Vintage Vault",
            "Bill to Emma Miller",
            "Ship to Emily Johnson",
            "Listing 1 Sold by Tradelog 2 1,199.99",
            "Lamp Sold by Vintage Vault 2 1,199.99",
        ):
            assert said in page, said

    async def test_before_it_is_paid_it_is_none(self, invoices: TypstInvoices) -> None:
        (page,) = await pages_of(invoices, order_after(placed()))
        assert page.startswith("Pro forma invoice This is not an invoice: the order is not paid.")
        assert "Invoice number" not in page
        assert "Paid on" not in page
        (page,) = await pages_of(invoices, order_after(placed(), CONFIRMED))
        assert "This is not an invoice yet" in page
        cancelled = OrderCancelled(
            order_id=ORDER_ID, account_id=BUYER.account_id, cause=CancelCause.BUYER, cancelled_at=NOW
        )
        (page,) = await pages_of(invoices, order_after(placed(), cancelled))
        assert "The order was cancelled." in page

    async def test_of_whom_nothing_is_known_any_more(self, invoices: TypstInvoices) -> None:
        order = order_after(placed(shipping_address=PostalAddress()), CONFIRMED, ISSUED)
        (page,) = await pages_of(invoices, order, {})
        assert "Bill to Not known any more" in page
        assert "Sold by A seller at this shop" in page
        assert "Total 2,454.42" in page


class TestHowItIsSet:
    async def test_no_name_is_markup_and_none_is_too_long(self, invoices: TypstInvoices) -> None:
        strange = '#let x = 1 *a* _b_ $c$ <d> @e // f \\ "g" `h` [i] {j}'
        word = "Q" * 200
        lines = (a_line(title=strange), a_line(2, title=word), a_line(3, title="long " * 40))
        address = replace(EMILY, first_name="#panic()", address="= Heading")
        order = order_after(placed(*lines, shipping_address=address), CONFIRMED, ISSUED)
        (page,) = await pages_of(invoices, order)
        assert strange in page
        assert "#panic() Johnson = Heading" in page
        # It is wrapped, and whole.
        assert page.count("Q") - "Quantity".count("Q") == 200
        assert word not in page

    @pytest.mark.parametrize(
        "name",
        [
            "Владимир Зайцев",
            "Ελένη Παπαδοπούλου",
            "Þórdís Ðögg Łukasz Žižek Şükrü",
            "田中太郎",
            "王小明",
            "김민준",
            "さくら",
            "محمد",
            "דוד",
            "สมชาย",
            "कमल",
            "Գրիգոր",
            "გიორგი",
        ],
    )
    async def test_names_are_written_in_their_own_script(self, invoices: TypstInvoices, name: str) -> None:
        address = replace(EMILY, first_name=name, last_name="")
        first = placed(a_line(title=name), shipping_address=address)
        with capture_logs() as logs:
            (page,) = await pages_of(invoices, order_after(first, CONFIRMED, ISSUED))
        assert page.count(name) == 2
        assert logs == []

    @pytest.mark.parametrize(
        ("name", "instead", "blocks"),
        [
            ("ተስፋዬ", "[tesfaye]", ["U+12xx", "U+13xx"]),
            ("Lamp 🎉", "Lamp [:tada:]", ["U+1F3xx"]),
            ("👩‍👩‍👧", "[:woman::woman::girl:]", ["U+1F4xx"]),
            ("👍🏽", "[:thumbsup:]", ["U+1F4xx"]),
            ("田中 🎉 محمد", "田中 [:tada:] محمد", ["U+1F3xx"]),
            ("\u08f8田 \u0657", "田", ["U+06xx", "U+08xx"]),
            ("\u202e\ud7ffx\U0010ffff", "[U+D7FF]x[U+10FFFF]", ["U+10FFxx", "U+D7xx"]),
        ],
    )
    async def test_what_no_font_has_is_written_in_latin_letters_and_told(
        self, invoices: TypstInvoices, name: str, instead: str, blocks: list[str]
    ) -> None:
        first = placed(a_line(title=name), shipping_address=replace(EMILY, first_name=name, last_name=""))
        with capture_logs() as logs:
            (page,) = await pages_of(invoices, order_after(first, CONFIRMED, ISSUED))
        assert page.count(instead) == 2
        told = {"event": "no font has what an invoice says", "log_level": "warning", "blocks": blocks}
        assert logs == [{**told, "order": "ORD-2026112101"}]

    async def test_what_nobody_sees_is_a_space(self, invoices: TypstInvoices) -> None:
        order = order_after(placed(a_line(title="a\x00b\ufeffc")), CONFIRMED, ISSUED)
        with capture_logs() as logs:
            (page,) = await pages_of(invoices, order)
        assert "a b c" in page
        assert logs == []

    async def test_further_fonts_are_taken_from_folders(self, tmp_path: Path) -> None:
        order = order_after(placed(a_line(title="🖨 printer")), CONFIRMED, ISSUED)
        (tmp_path / "symbols").mkdir()
        (tmp_path / "symbols" / "NotoSansSymbols2.ttf").write_bytes(pymupdf_fonts.myfont("symbol2"))
        for further, title in (((), "[:printer:] printer"), ((tmp_path,), "🖨 printer")):
            with closing(TypstInvoices(further)) as invoices:
                (page,) = await pages_of(invoices, order)
            assert title in page

    async def test_a_failure_of_typst_is_no_reason_to_give_none(
        self, invoices: TypstInvoices, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It panics over some texts that nobody writes, which comes here as an exception of no known class."""
        panic = type("PanicException", (BaseException,), {})
        compiled = typst.compile

        def panicking(source: bytes, **given: Any) -> Any:
            if "田" in given["sys_inputs"].get("invoice", ""):
                raise panic
            return compiled(source, **given)

        monkeypatch.setattr(typst, "compile", panicking)
        with capture_logs() as logs:
            (page,) = await pages_of(invoices, order_after(placed(a_line(title="田")), CONFIRMED, ISSUED))
        assert "[Tian] 2 1,199.99" in page
        assert [each["error"] for each in logs] == ["TypstPanicError"]

    @pytest.mark.parametrize(
        ("title", "from_left"),
        [
            ("מטען Lamp (A)", ["Lamp (A)", "מטען"]),
            ("شاحن 20W (USB-C)", ["20W (USB-C)", "شاحن"]),
            ("Lamp מטען", ["Lamp", "מטען"]),
            ("\u202eLamp \u2066(A)", ["Lamp (A)"]),
        ],
    )
    async def test_a_title_runs_as_its_first_letter_does(
        self, invoices: TypstInvoices, title: str, from_left: list[str]
    ) -> None:
        """Positions are on paper, from the left: the words of a Hebrew title begin on the right."""
        order = order_after(placed(a_line(title=title)), CONFIRMED, ISSUED)
        pdf = await invoices.pdf(invoice_of(order, SHOPS))
        places: dict[str, float] = {}

        def note(text: str, current: list[float], matrix: list[float], *_: object) -> None:
            places.setdefault(text.strip(), matrix[4] * current[0] + current[4])

        PdfReader(BytesIO(pdf)).pages[0].extract_text(visitor_text=note)
        found = sorted(from_left, key=places.__getitem__)
        assert found == from_left

    async def test_screen_readers_can_read_it(self, invoices: TypstInvoices) -> None:
        pdf = await invoices.pdf(invoice_of(order_after(placed(), CONFIRMED, ISSUED), SHOPS))
        assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf

    async def test_a_hundred_lines_take_pages_each_of_which_says_what_stands_in_it(
        self, invoices: TypstInvoices
    ) -> None:
        lines = tuple(a_line(number, 1 + number % 3) for number in range(1, 101))
        order = order_after(placed(*lines), CONFIRMED, ISSUED)
        pages = await pages_of(invoices, order)
        assert len(pages) > 2
        for number, page in enumerate(pages, 1):
            assert f"Page {number} of {len(pages)}" in page
        for page in pages[1:-1]:
            assert "Invoice INV-2026-000001 Order ORD-2026112101" in page
            assert "Item Quantity Unit price Discount Amount (USD)" in page
        whole = " ".join(pages)
        amounts = [
            Decimal(amount.replace(",", ""))
            for amount in re.findall(r"Listing \d+ \d 1,199\.99 -[\d,.]+ ([\d,.]+)", whole)
        ]
        assert len(amounts) == 100
        assert sum(amounts) == Decimal(order.subtotal.minor) / 100
        assert f"Total {order.total.minor / 100:,.2f}" in pages[-1]

    async def test_it_is_the_same_every_time(self, invoices: TypstInvoices) -> None:
        line = a_line(title="Lamp 田中 สมชาย محمد 🎉 ተስፋዬ")
        invoice = invoice_of(order_after(placed(line), CONFIRMED, ISSUED), SHOPS)
        first, second = [await invoices.pdf(invoice) for _ in range(2)]
        with closing(TypstInvoices()) as others:
            assert first == second == await others.pdf(invoice)

    async def test_others_can_work_meanwhile(self, invoices: TypstInvoices) -> None:
        lines = tuple(a_line(number) for number in range(1, 101))
        invoice = invoice_of(order_after(placed(*lines), CONFIRMED, ISSUED), SHOPS)
        making = asyncio.gather(*(invoices.pdf(invoice) for _ in range(4)))
        turns = 0
        while not making.done():
            await asyncio.sleep(0)
            turns += 1
        assert len(set(await making)) == 1
        assert turns > 100
