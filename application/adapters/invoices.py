"""Invoices as PDF, set by Typst: what stands on them is handed over as data and never as markup."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

import msgspec
import structlog
import typst

from application.adapters.fonts import FAMILIES, STANDARD, Fonts, characters_of, in_latin
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
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._set, invoice)

    def _set(self, invoice: Invoice) -> bytes:
        content = msgspec.to_builtins(invoice)
        try:
            return self._compiled(content, STANDARD)
        except typst.TypstError:
            # There is something without a glyph. Mostly there is not, and then nothing had to be asked.
            missing = self._fonts.missing(each for text in _texts(content) for each in characters_of(text))
        if missing:
            # Letters would tell a buyer's name to whoever reads logs, the blocks that they are in tell their script.
            blocks = sorted({f"U+{ord(each[0]) >> 8:02X}xx" for each in missing})
            log.warning("no font has what an invoice says", order=invoice.order_number, blocks=blocks)
        content = _changed(content, lambda text: in_latin(text, missing))
        try:
            return self._compiled(content, STANDARD)
        except typst.TypstError as refused:
            # Letters that have glyphs apart and none together, perhaps: a box in their place is better than no invoice.
            log.warning("an invoice is not PDF/UA", order=invoice.order_number, error=str(refused))
            return self._compiled(content)

    def _compiled(self, content: Any, standard: Literal["ua-1"] | None = None) -> bytes:
        inputs = {"invoice": content, "families": FAMILIES}
        made = typst.compile(
            self._template,
            sys_inputs={name: msgspec.json.encode(given).decode() for name, given in inputs.items()},
            font_paths=self._fonts.all,
            pdf_standards=standard or [],
        )
        assert isinstance(made, bytes), "one document is one file"
        return made

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
