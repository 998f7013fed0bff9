"""A file was sent: it is made into the pictures that everybody sees."""

from __future__ import annotations

from application.media.processing import ProcessMedia
from domain.media.events import MediaUploaded


def process_media_of(event: MediaUploaded) -> list[ProcessMedia]:
    return [ProcessMedia(media_id=event.media_id)]
