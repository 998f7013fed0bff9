"""A file is gone: so is all that was stored of it."""

from __future__ import annotations

from application.media.processing import DropMediaFiles
from domain.media.events import MediaDeleted, MediaExpired


def drop_media_files_of(event: MediaExpired | MediaDeleted) -> list[DropMediaFiles]:
    return [DropMediaFiles(media_id=event.media_id)]
