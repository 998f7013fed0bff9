"""Mail by a service that takes it by HTTP, as SendGrid does."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any, Final

import httpx

from application.mail.ports import Attachment, MailDelayedError, MailRefusedError, Message

SENDGRID: Final = "https://api.sendgrid.com"
_OURS_TO_PUT_RIGHT: Final = frozenset({401, 403, 408, 429})


class SendGridMailer:
    def __init__(
        self,
        client: httpx.AsyncClient,
        api_key: str,
        *,
        api_base: str = SENDGRID,
        sender: str,
        sender_name: str,
        within: float = 30.0,
    ) -> None:
        """``within`` is how many seconds the service may take for all of it."""
        self._client = client
        self._url = f"{api_base.rstrip('/')}/v3/mail/send"
        self._api_key = api_key
        self._within = within
        self._from = {"email": sender, "name": sender_name} if sender_name else {"email": sender}

    async def send(self, message: Message) -> None:
        headers = {"Authorization": f"Bearer {self._api_key}"}
        try:
            async with asyncio.timeout(self._within):
                answer = await self._client.post(self._url, json=self._body(message), headers=headers)
        except (httpx.TransportError, TimeoutError) as away:
            raise MailDelayedError(f"the mail service does not answer: {type(away).__name__}") from away
        if answer.is_success:
            return
        # Its words are not kept: they repeat what we sent.
        refused = f"the mail service answered {answer.status_code}"
        if answer.status_code in _OURS_TO_PUT_RIGHT or not answer.is_client_error:
            raise MailDelayedError(refused)
        raise MailRefusedError(refused)

    def _body(self, message: Message) -> dict[str, Any]:
        # The service refuses an empty list.
        attached = {"attachments": [_attached(each) for each in message.attachments]}
        return {
            **(attached if message.attachments else {}),
            "personalizations": [{"to": [{"email": message.to}]}],
            "from": self._from,
            "subject": message.subject,
            "content": [
                {"type": "text/plain", "value": message.text},
                {"type": "text/html", "value": message.html},
            ],
            "headers": {"Message-ID": message.message_id, **message.headers},
            # Links with tokens in them must not lead through anybody else's server.
            "tracking_settings": {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}},
        }


def _attached(attachment: Attachment) -> dict[str, str]:
    return {
        "content": b64encode(attachment.content).decode(),
        "type": attachment.content_type,
        "filename": attachment.name,
        "disposition": "attachment",
    }
