"""What people send as a picture of themselves, and what becomes of it."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin
from pillow_heif import from_pillow

from application.adapters.images import PillowImages
from application.adapters.pixels import LONGEST_SIDE, MOST_PIXELS, pictures_in_sizes, small_picture
from application.errors import InvalidImageError, UnavailableError
from domain.media.media import SIDES
from tests.projections.engine.shelf import until

MOST = 5_242_880
RED, BLUE = (250, 10, 10), (10, 10, 250)
SECRET = b"geheim: 52.5200N 13.4050E"


def an_image(kind: str = "PNG", size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: Any) -> bytes:
    """Red on the left and blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    written = io.BytesIO()
    image.convert(mode).save(written, kind, **options)
    return written.getvalue()


def a_heic(size: tuple[int, int] = (60, 40), **options: Any) -> bytes:
    """As telephones make them: compressed, in a container, with where they were."""
    written = io.BytesIO()
    from_pillow(opened(an_image("PNG", size))).save(written, **options)
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


TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


class TestSizes:
    @pytest.mark.parametrize(
        ("size", "made"),
        [
            (
                (3000, 1500),
                {"thumbnail": (256, 128), "small": (640, 320), "large": (1280, 640), "full": (2048, 1024)},
            ),
            ((1000, 1280), {"thumbnail": (200, 256), "small": (500, 640), "full": (1000, 1280)}),
            ((300, 200), {"thumbnail": (256, 171), "full": (300, 200)}),
            ((60, 40), {"thumbnail": (60, 40), "full": (60, 40)}),
        ],
    )
    def test_are_those_that_are_worth_having(
        self, size: tuple[int, int], made: dict[str, tuple[int, int]]
    ) -> None:
        renditions = pictures_in_sizes(an_image("PNG", size), "image/png", SIDES)
        assert (renditions.width, renditions.height) == size
        assert {each.name: (each.width, each.height) for each in renditions.pictures} == made
        for each in renditions.pictures:
            picture = opened(each.content)
            assert (picture.format, picture.size) == ("WEBP", (each.width, each.height))

    def test_of_a_telephones_picture_are_upright_and_tell_nothing(self) -> None:
        for content, mime_type in (
            (an_image("JPEG", (900, 600), exif=an_exif(6)), "image/jpeg"),
            (a_heic((900, 600), exif=an_exif(6).tobytes()), "image/heic"),
        ):
            assert SECRET in content
            made = pictures_in_sizes(content, mime_type, SIDES)
            assert (made.width, made.height) == (600, 900)
            for each in made.pictures:
                assert SECRET not in each.content
                assert (each.width, each.height) == opened(each.content).size
                assert each.width < each.height
                assert looks_like(opened(each.content).getpixel((each.width // 2, 5)), RED)

    def test_are_made_the_same_each_time(self) -> None:
        content = an_image("JPEG", (900, 600))
        assert pictures_in_sizes(content, "image/jpeg", SIDES) == pictures_in_sizes(
            content, "image/jpeg", SIDES
        )

    def test_show_the_colours_that_a_profile_means(self) -> None:
        """In one where red and green have changed places, what is stored as red is shown as green."""
        profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * profile[131], 12)}
        red, green = tags[b"rXYZ"], tags[b"gXYZ"]
        profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
            profile[green + 4 : green + 12],
            profile[red + 4 : red + 12],
        )
        made = pictures_in_sizes(an_image("PNG", icc_profile=bytes(profile)), "image/png", SIDES)
        pixel = opened(made.pictures[-1].content).getpixel((5, 20))
        assert isinstance(pixel, tuple)
        assert looks_like(pixel, (RED[1], RED[0], RED[2]))
        nonsense = an_image("PNG", icc_profile=b"nonsense")
        assert looks_like(
            opened(pictures_in_sizes(nonsense, "image/png", SIDES).pictures[-1].content).getpixel((5, 20)),
            RED,
        )

    @pytest.mark.parametrize("claimed", ["image/jpeg", "image/png", "image/webp", "image/heic"])
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "HEIC"])
    def test_are_of_what_it_claims_to_be(self, claimed: str, kind: str) -> None:
        content = a_heic() if kind == "HEIC" else an_image(kind)
        if claimed == TYPES.get(kind, "image/heic" if kind == "HEIC" else ""):
            assert pictures_in_sizes(content, claimed, SIDES).width == 60
            return
        with pytest.raises(InvalidImageError):
            pictures_in_sizes(content, claimed, SIDES)

    @pytest.mark.parametrize("part", [0.3, 0.7, 0.98])
    def test_are_not_made_of_a_part(self, part: float) -> None:
        for content, mime_type in (
            (a_heic((300, 300)), "image/heic"),
            (an_image("JPEG", (300, 300)), "image/jpeg"),
        ):
            with pytest.raises(InvalidImageError):
                pictures_in_sizes(content[: int(len(content) * part)], mime_type, SIDES)

    def test_are_not_made_of_what_would_fill_the_memory_or_keep_the_processor_busy(self) -> None:
        with pytest.raises(InvalidImageError):
            pictures_in_sizes(a_png_of(30_000, 30_000), "image/png", SIDES)
        picture = an_image("JPEG", (64, 64), progressive=True)
        scan = picture[picture.rindex(b"\xff\xda") : -2]
        with pytest.raises(InvalidImageError):
            pictures_in_sizes(picture[:-2] + scan * 2_000 + picture[-2:], "image/jpeg", SIDES)

    async def test_are_made_of_no_more_bytes_than_may_be_sent(self) -> None:
        images = PillowImages(1_000)
        try:
            with pytest.raises(InvalidImageError):
                await images.renditions(bytes(1_001), "image/png", SIDES)
            assert len((await images.renditions(an_image("PNG"), "image/png", SIDES)).pictures) == 2
        finally:
            images.close()

    async def test_are_made_elsewhere_as_they_would_be_here(self) -> None:
        images = PillowImages(MOST)
        content = a_heic((900, 600), exif=an_exif(6).tobytes())
        try:
            made = await images.renditions(content, "image/heic", SIDES)
            assert made == pictures_in_sizes(content, "image/heic", SIDES)
            with pytest.raises(InvalidImageError) as refused:
                await images.renditions(content, "image/png", SIDES)
            assert refused.value.details == {"image": ["Must be a whole PNG image"]}
        finally:
            images.close()

    @pytest.mark.parametrize(
        ("program", "fault"),
        [
            ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "Cannot be read"),
            ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "Cannot be read"),
            ("import time; time.sleep(60)", "Takes too long to be read"),
        ],
        ids=["breaks a decoder", "fills the memory", "never ends"],
    )
    async def test_are_not_made_of_what_ends_whoever_works_on_it(self, program: str, fault: str) -> None:
        images = PillowImages(MOST, program=(sys.executable, "-c", program), patience=5)
        try:
            with pytest.raises(InvalidImageError) as refused:
                await images.renditions(A_HEIC, "image/heic", SIDES)
            assert refused.value.details == {"image": [fault]}
        finally:
            images.close()

    @pytest.mark.parametrize(
        ("program", "fault"),
        [
            ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", UnavailableError),
            ("raise SystemExit(1)", RuntimeError),
        ],
        ids=["stopped", "a bug of ours"],
    )
    async def test_are_tried_again_where_it_is_not_the_files_fault(
        self, program: str, fault: type[Exception]
    ) -> None:
        images = PillowImages(MOST, program=(sys.executable, "-c", program))
        try:
            with pytest.raises(fault):
                await images.renditions(A_HEIC, "image/heic", SIDES)
        finally:
            images.close()

    async def test_are_not_made_any_more_once_nobody_waits_for_them(self, tmp_path: Path) -> None:
        started = tmp_path / "pid"
        program = (
            f"import os, time; open({str(started)!r} + '.new', 'w').write(str(os.getpid()));"
            f"os.rename({str(started)!r} + '.new', {str(started)!r}); time.sleep(60)"
        )
        images = PillowImages(MOST, program=(sys.executable, "-c", program))
        try:
            waiting = asyncio.create_task(images.renditions(A_HEIC, "image/heic", SIDES))
            await until(started.exists)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(ProcessLookupError):
                os.kill(int(started.read_text()), 0)
        finally:
            images.close()

    @given(
        changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=12),
        cut=st.floats(0.2, 1.0),
    )
    @settings(max_examples=100, deadline=None)
    def test_of_a_damaged_heic_are_others_or_none(self, changes: list[tuple[float, int]], cut: float) -> None:
        content = bytearray(A_HEIC)
        for place, value in changes:
            content[int(place * len(content))] = value
        try:
            made = pictures_in_sizes(bytes(content[: int(cut * len(content))]), "image/heic", SIDES)
        except InvalidImageError:
            return
        assert all(opened(each.content).format == "WEBP" for each in made.pictures)


A_HEIC = a_heic(exif=an_exif(6).tobytes())


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
