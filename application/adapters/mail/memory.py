"""Mail for tests of one process: it stays here."""

from __future__ import annotations

from application.mail.ports import Message


class MemoryMailer:
    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)
