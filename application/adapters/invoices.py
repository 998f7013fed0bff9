"""Invoices as PDF, set by Typst: what stands on them is handed over as data and never as markup."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, Final

import msgspec
import structlog
import typst

from application.adapters.fonts import FAMILIES, Fonts, TypstPanicError, characters_of, in_latin
from application.ports import Invoice

log = structlog.get_logger()

_TEMPLATE: Final = Path(__file__).with_name("invoice.typ")


class TypstInvoices:
    """``threads`` bounds how many are made at once. While Typst works, it leaves Python to others.

    Only fonts that are installed with us are used, and those of the folders ``further``, so that an invoice looks alike
    on every machine. What none of them has is written in Latin letters, and told to whoever reads our logs.
    """

    def __init__(self, further: Sequence[Path] = (), *, threads: int = 2) -> None:
        self._template = _TEMPLATE.read_bytes()
        self._further = further
        self._found: Fonts | None = None
        self._finding = Lock()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="invoices")

    async def pdf(self, invoice: Invoice) -> bytes:
        """The same bytes for the same invoice, made off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._set, invoice)

    def _set(self, invoice: Invoice) -> bytes:
        content = msgspec.to_builtins(invoice)
        try:
            return self._made(content)
        except (typst.TypstError, TypstPanicError):
            # Something has no glyph. Mostly everything has one, and nothing more is asked.
            characters = {each for text in _texts(content) for each in characters_of(text)}
        foreign = {each for each in characters if not each.isascii()}
        try:
            missing = self._fonts.missing(foreign)
            if missing:
                # Letters would tell a buyer's name to whoever reads logs; their blocks tell the script.
                blocks = sorted({f"U+{ord(max(each)) >> 8:02X}xx" for each in missing})
                log.warning("no font has what an invoice says", order=invoice.order_number, blocks=blocks)
            return self._made(_changed(content, lambda text: in_latin(text, missing)))
        except (typst.TypstError, TypstPanicError) as refused:
            # What has glyphs apart from the rest and none beside it, perhaps.
            error = type(refused).__name__
            log.warning("an invoice is in Latin letters alone", order=invoice.order_number, error=error)
        return self._made(_changed(content, lambda text: in_latin(text, foreign)))

    def _made(self, content: Any) -> bytes:
        inputs = {"invoice": content, "families": FAMILIES}
        encoded = {name: msgspec.json.encode(given).decode() for name, given in inputs.items()}
        return self._fonts.pdf(self._template, encoded)

    @property
    def _fonts(self) -> Fonts:
        """Looked for with the first invoice: most processes make none."""
        with self._finding:
            if self._found is None:
                self._found = Fonts(self._further)
            return self._found

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list | tuple):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _texts(part)


def _changed(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, dict):
        return {name: _changed(part, change) for name, part in content.items()}
    if isinstance(content, list | tuple):
        return [_changed(part, change) for part in content]
    return content
