"""What people send as a picture of themselves, and what becomes of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from application.adapters.images import LONGEST_SIDE, MOST_PIXELS, PillowImages, small_picture
from application.errors import InvalidImageError

RED, BLUE = (250, 10, 10), (10, 10, 250)
SECRET = b"geheim: 52.5200N 13.4050E"


def an_image(kind: str = "PNG", size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: Any) -> bytes:
    """Red on the left and blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    written = io.BytesIO()
    image.convert(mode).save(written, kind, **options)
    return written.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def looks_like(pixel: Any, colour: tuple[int, int, int]) -> bool:
    return all(abs(ours - theirs) < 40 for ours, theirs in zip(pixel[:3], colour, strict=True))


def an_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = SECRET.decode()
    exif.get_ifd(0x8825)[29] = SECRET.decode()
    return exif


def a_png_of(width: int, height: int) -> bytes:
    """A header that promises a picture, and hardly anything behind it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


class TestAPicture:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_becomes_a_webp_of_its_size(self, kind: str, mode: str) -> None:
        made = opened(small_picture(an_image(kind, mode=mode)))
        assert (made.format, made.size, made.mode) == ("WEBP", (60, 40), "RGB")

    @pytest.mark.parametrize(
        ("size", "becomes"),
        [((2000, 1000), (512, 256)), ((700, 1400), (256, 512)), ((512, 512), (512, 512)), ((1, 1), (1, 1))],
    )
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_fits_into_the_square(self, kind: str, size: tuple[int, int], becomes: tuple[int, int]) -> None:
        assert opened(small_picture(an_image(kind, size))).size == becomes

    def test_one_like_a_thread_keeps_a_pixel_of_width(self) -> None:
        assert opened(small_picture(an_image("PNG", (2, 20_000)))).size == (1, LONGEST_SIDE)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_keeps_what_is_clear(self, mode: str) -> None:
        image = Image.new("RGBA", (40, 40), (*RED, 0))
        image.paste((*BLUE, 255), (20, 0, 40, 40))
        written = io.BytesIO()
        image.convert(mode).save(written, "PNG")
        made = opened(small_picture(written.getvalue()))
        assert made.mode == "RGBA"
        clear, solid = made.getpixel((5, 20)), made.getpixel((35, 20))
        assert isinstance(clear, tuple)
        assert isinstance(solid, tuple)
        assert (clear[3], solid[3]) == (0, 255)

    def test_of_a_printer_is_shown_in_our_colours(self) -> None:
        made = opened(small_picture(an_image("JPEG", mode="CMYK")))
        assert looks_like(made.getpixel((5, 20)), RED)

    def test_in_sixteen_bits_of_grey_is_not_all_white(self) -> None:
        written = io.BytesIO()
        Image.new("I;16", (20, 20), 32_768).save(written, "PNG")
        pixel = opened(small_picture(written.getvalue())).getpixel((5, 5))
        assert isinstance(pixel, tuple)
        assert 118 < pixel[0] < 138

    def test_is_turned_as_the_camera_was_held(self) -> None:
        made = opened(small_picture(an_image("JPEG", exif=an_exif(orientation=6))))
        assert made.size == (40, 60)
        assert looks_like(made.getpixel((20, 5)), RED)
        assert looks_like(made.getpixel((20, 55)), BLUE)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_that_moves_becomes_its_first_frame(self, kind: str) -> None:
        frames = [Image.new("RGB", (30, 30), colour) for colour in (RED, BLUE, BLUE)]
        written = io.BytesIO()
        frames[0].save(written, kind, save_all=True, append_images=frames[1:], duration=100)
        made = opened(small_picture(written.getvalue()))
        assert getattr(made, "n_frames", 1) == 1
        assert looks_like(made.getpixel((15, 15)), RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_is_left_of_where_it_was_taken(kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"
    options: dict[str, Any] = {"exif": an_exif(), "icc_profile": profile}
    if kind == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", SECRET.decode())
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options["pnginfo"] = texts
    else:
        options["xmp"] = xmp
        if kind == "JPEG":
            options["comment"] = SECRET
    sent = an_image(kind, **options)
    assert SECRET in sent
    made = small_picture(sent)
    assert SECRET not in made
    assert not [name for name in (b"EXIF", b"XMP ", b"ICCP") if name in made]
    assert set(opened(made).info) <= {"background", "loop", "timestamp", "duration"}


class TestRefused:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"GIF89a",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"%PDF-1.7",
            an_image("GIF"),
            an_image("BMP"),
            an_image("TIFF"),
            an_image("ICO", (32, 32)),
        ],
        ids=["nothing", "a word", "svg", "pdf", "gif", "bmp", "tiff", "ico"],
    )
    def test_what_is_no_picture_of_the_three_kinds(self, content: bytes) -> None:
        with pytest.raises(InvalidImageError) as refused:
            small_picture(content)
        assert refused.value.code == "VALIDATION_ERROR"
        assert refused.value.details == {"image": ["Must be a whole JPEG, PNG or WebP image"]}

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
    def test_what_is_cut_off(self, kind: str, part: float) -> None:
        whole = an_image(kind, (300, 300))
        with pytest.raises(InvalidImageError):
            small_picture(whole[: int(len(whole) * part)])

    @pytest.mark.parametrize("size", [(30_000, 30_000), (8_000, MOST_PIXELS // 8_000 + 1), (2**31 - 1, 1)])
    def test_what_would_fill_the_memory(self, size: tuple[int, int]) -> None:
        with pytest.raises(InvalidImageError):
            small_picture(a_png_of(*size))

    def test_what_would_keep_the_processor_busy(self) -> None:
        picture = an_image("JPEG", (64, 64), progressive=True)
        scan = picture[picture.rindex(b"\xff\xda") : -2]
        with pytest.raises(InvalidImageError):
            small_picture(picture[:-2] + scan * 2_000 + picture[-2:])

    async def test_what_is_too_long(self) -> None:
        images = PillowImages(1_000)
        try:
            with pytest.raises(InvalidImageError) as refused:
                await images.avatar(bytes(1_001))
            assert refused.value.details == {"image": ["Must be at most 1000 bytes"]}
            assert opened(await images.avatar(an_image("PNG"))).size == (60, 40)
        finally:
            images.close()


def is_made_or_refused(content: bytes) -> None:
    try:
        made = small_picture(content)
    except InvalidImageError:
        return
    assert opened(made).format == "WEBP"


WHOLE: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: an_image("JPEG", exif=an_exif(6), progressive=True),
    "png": lambda: an_image("PNG", mode="P", exif=an_exif(3)),
    "webp": lambda: an_image("WEBP", exif=an_exif(8)),
}


class TestWhateverComes:
    @given(st.binary(max_size=2_000))
    @settings(max_examples=200, deadline=None)
    def test_of_any_bytes_nothing_but_a_refusal(self, content: bytes) -> None:
        is_made_or_refused(content)

    @given(
        st.sampled_from([b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\0\0WEBPVP8X"]),
        st.binary(max_size=2_000),
    )
    @settings(max_examples=200, deadline=None)
    def test_of_a_good_beginning_nothing_but_a_refusal(self, beginning: bytes, rest: bytes) -> None:
        is_made_or_refused(beginning + rest)

    @pytest.mark.parametrize("kind", WHOLE)
    @given(
        changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=12),
        cut=st.floats(0.2, 1.0),
    )
    @settings(max_examples=200, deadline=None)
    def test_of_a_damaged_picture_another_one_or_a_refusal(
        self, kind: str, changes: list[tuple[float, int]], cut: float
    ) -> None:
        content = bytearray(WHOLE[kind]())
        for place, value in changes:
            content[int(place * len(content))] = value
        is_made_or_refused(bytes(content[: int(cut * len(content))]))
