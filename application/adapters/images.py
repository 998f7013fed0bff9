"""Pictures that people send, made into pictures that we can show: what they are is judged by their bytes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps

from application.errors import InvalidImageError

FORMATS: Final = ("JPEG", "PNG", "WEBP")
LONGEST_SIDE: Final = 512
MOST_PIXELS: Final = 32_000_000
"""What a good camera makes. Beyond it a file of few bytes could fill the memory."""

MOST_SCANS: Final = 100
"""A progressive JPEG has about ten; one made of thousands keeps a processor busy for minutes."""

_QUALITY: Final = 82
_START_OF_SCAN: Final = b"\xff\xda"


class PillowImages:
    """``most`` is how many bytes a picture may have; ``threads`` bounds how many are in memory as pixels at once."""

    def __init__(self, most: int, *, threads: int = 2) -> None:
        self._most = most
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="images")

    async def avatar(self, content: bytes) -> bytes:
        if len(content) > self._most:
            raise InvalidImageError({"image": [f"Must be at most {self._most} bytes"]})
        return await asyncio.get_running_loop().run_in_executor(self._threads, small_picture, content)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def small_picture(content: bytes) -> bytes:
    """The first frame, turned as the camera was held, within a square, as WebP without a word about its origin."""
    try:
        return _small_picture(content)
    except InvalidImageError:
        raise
    # Pillow's parsers raise whatever they trip over, from struct.error to ZeroDivisionError; it is the file's fault.
    except Exception as broken:
        raise InvalidImageError({"image": ["Must be a whole JPEG, PNG or WebP image"]}) from broken


def _small_picture(content: bytes) -> bytes:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise InvalidImageError({"image": [f"Must have at most {MOST_PIXELS} pixels"]})
        if image.format == "JPEG" and content.count(_START_OF_SCAN) > MOST_SCANS:
            raise InvalidImageError({"image": ["Must be a whole JPEG, PNG or WebP image"]})
        # A JPEG is read at a fraction of its size where that is enough; the others know no such thing.
        image.draft("RGB", (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))
        image.load()
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # Shades of grey in sixteen bits, of which converting would keep the darkest.
        upright = upright.point(lambda shade: shade / 256).convert("L")
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    bare = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    bare.info.clear()  # the profile, EXIF, XMP and comments, which would be written again
    made = BytesIO()
    bare.save(made, "WEBP", quality=_QUALITY)
    return made.getvalue()
