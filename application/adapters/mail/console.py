"""Mail for people who develop: it is shown, so that its links can be followed."""

from __future__ import annotations

import sys
from typing import TextIO

from application.mail.ports import Message


class ConsoleMailer:
    """Not through the log, which hides addresses and tokens, as it should."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output

    async def send(self, message: Message) -> None:
        output = self._output or sys.stdout
        output.write(f"Mail to {message.to}\nSubject: {message.subject}\n\n{message.text}\n")
        for attached in message.attachments:
            output.write(
                f"Attached: {attached.name} ({attached.content_type}, {len(attached.content)} bytes)\n"
            )
        output.flush()
