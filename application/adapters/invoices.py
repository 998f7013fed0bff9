"""Invoices as PDF, set by Typst: what stands on them is handed over as data and never as markup."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
import typst

from application.ports import Invoice

_TEMPLATE: Final = Path(__file__).with_name("invoice.typ")


class TypstInvoices:
    """``threads`` bounds how many are made at once. While Typst works, it leaves Python to others.

    Only the fonts that Typst itself brings are used, so that an invoice looks alike on every machine: they have Latin,
    Cyrillic and Greek letters. What they do not have is shown as an empty box.
    """

    def __init__(self, *, threads: int = 2) -> None:
        self._template = _TEMPLATE.read_bytes()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="invoices")

    async def pdf(self, invoice: Invoice) -> bytes:
        """The same bytes for the same invoice, made off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._set, invoice)

    def _set(self, invoice: Invoice) -> bytes:
        content = msgspec.json.encode(invoice).decode()
        made = typst.compile(self._template, sys_inputs={"invoice": content}, ignore_system_fonts=True)
        assert isinstance(made, bytes), "one document is one file"
        return made

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
