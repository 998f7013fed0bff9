"""Pictures that people send, made into pictures that we can show: what they are is judged by their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Final

from PIL import ExifTags, Image, ImageCms, ImageOps

from application.errors import InvalidImageError
from application.ports import Rendition, Renditions

FORMATS: Final = ("JPEG", "PNG", "WEBP")
LONGEST_SIDE: Final = 512
MOST_PIXELS: Final = 50_000_000
"""What a good telephone makes. Beyond it a file of few bytes could fill the memory."""

MOST_SCANS: Final = 100
"""A progressive JPEG has about ten; one made of thousands keeps a processor busy for minutes."""

_FORMAT_OF: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/heic": "HEIF"}
_CALLED: Final = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP", "HEIF": "HEIC"}
_QUALITY: Final = 82
_START_OF_SCAN: Final = b"\xff\xda"
_TURNED: Final = range(5, 9)
"""Orientations of EXIF in which the camera was held upright, so that height and width change places."""


def small_picture(content: bytes) -> bytes:
    """The first frame, turned as the camera was held, within a square, as WebP without a word about its origin."""
    with _readable(FORMATS):
        return _as_webp(_bare(content, FORMATS, LONGEST_SIDE).picture)


def pictures_in_sizes(content: bytes, mime_type: str, sides: Sequence[tuple[str, int]]) -> Renditions:
    """The same in each size that is worth having; see ``Images.renditions``."""
    formats = (_FORMAT_OF[mime_type],)
    largest, longest = sides[-1]
    with _readable(formats):
        bare = _bare(content, formats, longest)
        made: list[Rendition] = []
        picture = bare.picture
        for name, side in reversed(sides):
            # One that would be as large as the next is the same twice; the smallest is always asked for by its name.
            if name not in (largest, sides[0][0]) and side >= max(bare.picture.size):
                continue
            if side < max(picture.size):
                picture = picture.copy()
                picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            made.append(
                Rendition(name=name, content=_as_webp(picture), width=picture.size[0], height=picture.size[1])
            )
    return Renditions(width=bare.width, height=bare.height, pictures=tuple(reversed(made)))


@dataclass(frozen=True)
class _Bare:
    """Pixels and nothing else; ``width`` and ``height`` are the original's, held upright."""

    picture: Image.Image
    width: int
    height: int


@contextmanager
def _readable(formats: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except InvalidImageError:
        raise
    # Pillow's parsers raise whatever they trip over, from struct.error to ZeroDivisionError; it is the file's fault.
    except Exception as broken:
        raise _broken(formats) from broken


def _broken(formats: tuple[str, ...]) -> InvalidImageError:
    *first, last = [_CALLED[each] for each in formats]
    kinds = f"{', '.join(first)} or {last}" if first else last
    return InvalidImageError({"image": [f"Must be a whole {kinds} image"]})


def _bare(content: bytes, formats: tuple[str, ...], longest: int) -> _Bare:
    if "HEIF" in formats:
        _know_heif()
    with Image.open(BytesIO(content), formats=formats) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise InvalidImageError({"image": [f"Must have at most {MOST_PIXELS} pixels"]})
        # A camera that puts several pictures into one JPEG calls that by another name.
        if image.format in ("JPEG", "MPO") and content.count(_START_OF_SCAN) > MOST_SCANS:
            raise _broken(formats)
        # A JPEG is read at a fraction of its size where that is enough; the others know no such thing.
        image.draft("RGB", (2 * longest, 2 * longest))
        image.load()
        turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
        # Made small before anything else: everything else takes the memory of a picture once more.
        small = _resizable(image)
        small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        upright = _in_our_colours(ImageOps.exif_transpose(small))
    bare = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    bare.info.clear()  # the profile, EXIF, XMP and comments, which would be written again
    return _Bare(bare, height if turned else width, width if turned else height)


def _resizable(image: Image.Image) -> Image.Image:
    """In shades that can be mixed."""
    if image.mode.startswith("I"):
        # Shades of grey in sixteen bits, of which converting would keep the darkest.
        return image.point(lambda shade: shade / 256).convert("L")
    if image.mode in ("1", "P"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


def _in_our_colours(image: Image.Image) -> Image.Image:
    """What the profile says of the colours is put into the pixels, because it does not stay with them."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if image.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a profile that makes no sense is as good as none
    assert converted is not None, "only where it is done in place is nothing returned"
    return converted


def _as_webp(picture: Image.Image) -> bytes:
    made = BytesIO()
    picture.save(made, "WEBP", quality=_QUALITY)
    return made.getvalue()


@cache
def _know_heif() -> None:
    import pi_heif  # noqa: PLC0415 - a large library, which only those need who work on uploads

    pi_heif.register_heif_opener(thumbnails=False, aux_images=False, depth_images=False, decode_threads=1)
