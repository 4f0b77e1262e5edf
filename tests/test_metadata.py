"""EXIF and XMP come back byte for byte, but for the orientation and the thumbnail; what goes is really gone."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metadata_files import MAKER_NOTE, PLACE, XMP, XMP_UPRIGHT, exif, picture_file, said_by, thumbnail, with_thumbnail
from PIL import Image, PngImagePlugin, TiffImagePlugin
from test_image import chunk, encoded

from vqcodec.errors import InputError, SettingsError
from vqcodec.evaluation.pages import picture_uri
from vqcodec.exact.bitstream.sections import MOST_STREAM_BYTES
from vqcodec.image import Picture, read_picture, stripped, write_picture
from vqcodec.image import exif as exif_file

Pixels = npt.NDArray[np.uint8]
KEEP = ("png", "jpg", "webp", "avif", "tif")


def written(picture: Picture, suffix: str) -> tuple[bytes, tuple[str, ...]]:
    """A picture as a file, and the notes on it."""
    file = io.BytesIO()
    notes = write_picture(picture, file, suffix)
    return file.getvalue(), notes


@pytest.mark.parametrize("order", "<>")
def test_orientation_and_thumbnail_go_and_every_other_byte_stays(order: str) -> None:
    plain = exif(order=order)
    cleaned = exif_file.cleaned(with_thumbnail(plain))
    assert cleaned is not None
    upright = exif(orientation=1, order=order)
    assert cleaned.removesuffix(bytes(len(cleaned) - len(upright))) == upright
    assert thumbnail() not in cleaned and exif_file.cleaned(cleaned) == cleaned
    assert exif_file.cleaned(b"Exif\0\0" + upright) == upright


@pytest.mark.parametrize("order", "<>")
def test_places_go_and_nothing_else(order: str) -> None:
    data = exif(order=order)
    left = exif_file.without_gps(data)
    assert left is not None and len(left) <= len(data)
    first, camera, place = said_by(left)
    assert (first, camera, place) == (*said_by(data)[:2], {})
    assert said_by(data)[2] == PLACE and camera[0x927C] == MAKER_NOTE
    for number in (10, 20, 61):
        assert struct.pack(f"{order}II", number, 2 if number == 61 else 1) not in left
    assert exif_file.without_gps(left) == left


def test_exif_of_nothing_else_is_none() -> None:
    only = Image.Exif()
    only[0x0112] = 6
    assert exif_file.cleaned(only.tobytes()) is None
    place = Image.Exif()
    place[0x8825] = PLACE
    cleaned = exif_file.cleaned(place.tobytes())
    assert cleaned and exif_file.without_gps(cleaned) is None


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_exif_raises_nothing_but_value_errors(data: st.DataObject) -> None:
    original = with_thumbnail(exif(order=data.draw(st.sampled_from("<>"))))
    at = data.draw(st.integers(0, len(original) - 1))
    changed = original[:at] + data.draw(st.binary(max_size=6)) + original[at + data.draw(st.integers(0, 6)) :]
    exif_file.dots_per_inch(changed)
    try:
        cleaned = exif_file.cleaned(changed)
        assert cleaned is None or len(cleaned) <= len(changed)
        exif_file.without_gps(changed)
    except ValueError as error:
        assert "EXIF" in str(error)


@pytest.mark.parametrize("suffix", KEEP)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_metadata_come_back_from_every_format_that_holds_them(pixels: Pixels, format: str, suffix: str) -> None:
    data = exif() if format == "TIFF" else with_thumbnail(exif())
    picture = read_picture(picture_file(format, pixels, data, XMP))
    assert picture.notes == () and picture.pixels.shape == (101, 70, 3)
    assert picture.exif is not None and picture.xmp == XMP_UPRIGHT
    file, notes = written(picture, suffix)
    again = read_picture(file)
    assert notes == again.notes == () and again.pixels.shape == picture.pixels.shape
    assert again.xmp == XMP_UPRIGHT and again.exif is not None
    if suffix == "tif" or format == "TIFF":  # which say it in tags of their own
        here, there = (said_by(data) for data in (picture.exif, again.exif))
        here[0].pop(0x0112, None), there[0].pop(0x0112, None)
        assert here == there
    elif suffix == "avif":
        assert again.exif == exif_file.without_orientation(picture.exif)
    else:
        assert again.exif == picture.exif
    with Image.open(io.BytesIO(file)) as image:
        assert suffix in ("webp", "avif") or image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("suffix", ["jp2", "bmp", "ppm"])
def test_formats_that_hold_none_say_so(pixels: Pixels, suffix: str) -> None:
    for picture in (Picture(pixels, exif=exif(1)), Picture(pixels, xmp=XMP)):
        (note,) = written(picture, suffix)[1]
        assert note.startswith("EXIF and XMP metadata are not kept, because ")


def test_what_is_too_long_for_a_jpeg_is_said(pixels: Pixels) -> None:
    made = Image.Exif()
    made[0x010E] = "x" * 70000
    long = made.tobytes().removeprefix(b"Exif\0\0")
    picture = Picture(pixels, exif=long, xmp=b"y" * 65505)
    file, notes = written(picture, "jpg")
    assert notes == tuple(
        f"{name} metadata are not kept, because they are longer than JPEG files hold" for name in ("EXIF", "XMP")
    )
    assert (read_picture(file).exif, read_picture(file).xmp) == (None, None)
    again = read_picture(written(picture, "png")[0])
    assert (again.exif, again.xmp) == (picture.exif, picture.xmp)


@pytest.mark.parametrize("suffix", KEEP)
def test_nonsense_in_a_file_harms_no_output(pixels: Pixels, suffix: str) -> None:
    picture = Picture(pixels, exif=b"no EXIF at all", xmp=b"\xff\0no text")
    file, notes = written(picture, suffix)
    again = read_picture(file)
    assert again.pixels.shape == pixels.shape
    assert notes == () or "damaged" in notes[0]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_what_may_be_stripped(pixels: Pixels, format: str) -> None:
    picture = read_picture(picture_file(format, pixels, exif(), XMP))
    assert stripped(picture, "none") is picture
    bare = stripped(picture, "all")
    assert (bare.exif, bare.xmp, bare.notes) == (None, None, ())
    elsewhere = stripped(picture, "gps")
    assert elsewhere.notes == () and elsewhere.exif is not None and elsewhere.xmp is not None
    assert said_by(elsewhere.exif)[2] == {}
    assert b"exif:GPS" not in elsewhere.xmp and b'dc:title="a GPS tracker"></rdf:Description>' in elsewhere.xmp
    with pytest.raises(SettingsError, match="choose one of none, gps, all"):
        stripped(picture, "everything")


@pytest.mark.parametrize(
    "xmp", [XMP.decode().encode("utf-16"), b"<exif:GPSLatitude>10", b"<![CDATA[<exif:GPSLatitude>]]>"]
)
def test_xmp_with_places_that_cannot_be_taken_out_is_left_out(pixels: Pixels, xmp: bytes) -> None:
    picture = stripped(Picture(pixels, xmp=xmp), "gps")
    assert picture.xmp is None
    assert picture.notes == ("the XMP metadata are left out, because not all places in them can be taken out",)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_dots_per_inch_become_exif_where_there_is_none(pixels: Pixels, format: str) -> None:
    picture = read_picture(encoded(Image.fromarray(pixels), format, dpi=(300, 150)))
    assert picture.notes == () and picture.exif is not None
    assert exif_file.dots_per_inch(picture.exif) == (300, 150)
    assert read_picture(encoded(Image.fromarray(pixels), format, dpi=(72, 72))).exif is None
    both = read_picture(encoded(Image.fromarray(pixels), format, dpi=(300, 300)))
    assert both.exif is not None and len(both.exif) == 46 and exif_file.dots_per_inch(both.exif) == (300, 300)
    one = read_picture(encoded(Image.fromarray(pixels), format, dpi=(72, 300)))
    assert one.exif is not None and exif_file.dots_per_inch(one.exif) == (72, 300)
    data = exif(1, dpi=None)
    picture = read_picture(encoded(Image.fromarray(pixels), "PNG", dpi=(300, 300), exif=b"Exif\0\0" + data))
    assert (picture.exif, picture.notes) == (data, ("dots per inch are not kept",))


def test_tiff_says_dots_per_centimeter(pixels: Pixels) -> None:
    data = encoded(Image.fromarray(pixels), "TIFF", resolution=100.0, resolution_unit="cm")
    picture = read_picture(data)
    assert picture.exif is not None and exif_file.dots_per_inch(picture.exif) == pytest.approx((254, 254))


def test_orientation_that_only_xmp_says_is_applied(pixels: Pixels) -> None:
    for format in ("PNG", "JPEG", "WEBP"):
        picture = read_picture(picture_file(format, pixels, None, XMP))
        assert picture.pixels.shape == (101, 70, 3) and picture.xmp == XMP_UPRIGHT


def test_metadata_of_a_pil_image(pixels: Pixels) -> None:
    image = Image.fromarray(pixels)
    image.info |= {"exif": b"Exif\0\0" + exif(1), "xmp": XMP_UPRIGHT}
    picture = read_picture(image)
    assert (picture.exif, picture.xmp, picture.notes) == (exif(1), XMP_UPRIGHT, ())


def test_exif_as_old_writers_pack_it_into_a_png(pixels: Pixels) -> None:
    info, data = PngImagePlugin.PngInfo(), b"Exif\0\0" + exif(6)
    info.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n", zip=True)
    picture = read_picture(encoded(Image.fromarray(pixels), "PNG", pnginfo=info))
    assert (picture.exif, picture.notes, picture.pixels.shape) == (exif(1), (), (101, 70, 3))


def noted(pixels: Pixels, kind: bytes, payload: bytes) -> tuple[str, ...]:
    """The notes on a PNG with one more chunk."""
    data = encoded(Image.fromarray(pixels), "PNG")
    picture = read_picture(data[:33] + chunk(kind, payload) + data[33:])
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.xmp is None
    return picture.notes


@pytest.mark.parametrize(
    ("kind", "payload", "note"),
    [
        (b"tIME", bytes([7, 232, 1, 1, 0, 0, 0]), "the PNG's time of change is not kept"),
        (b"vpAg", bytes(9), "private parts of the PNG (vpAg) are not kept"),
        (b"tEXt", b"Author\0somebody", "texts are not kept"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0nonsense", "XMP metadata are damaged or too long and not kept"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0", "XMP metadata are damaged or too long and not kept"),
    ],
)
def test_what_is_not_kept_is_one_line(pixels: Pixels, kind: bytes, payload: bytes, note: str) -> None:
    assert noted(pixels, kind, payload) == (note,)


def test_xmp_that_is_too_long_is_not_unpacked_further(pixels: Pixels) -> None:
    packed = zlib.compress(bytes(MOST_STREAM_BYTES + 1), 9)
    note = "XMP metadata are damaged or too long and not kept"
    assert noted(pixels, b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed) == (note,)
    image = Image.fromarray(pixels)
    image.info["xmp"] = bytes(MOST_STREAM_BYTES + 1)
    assert read_picture(image).notes == ("XMP metadata of more than 2^24 bytes are not kept",)


def test_comments_are_noted(pixels: Pixels) -> None:
    options: dict[str, Any] = {"comment": b"hello"}
    assert read_picture(encoded(Image.fromarray(pixels), "JPEG", **options)).notes == ("comments are not kept",)


@pytest.mark.parametrize("suffix", KEEP)
def test_texts_in_other_letters_stay(pixels: Pixels, suffix: str) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x010E], tags[0x013B] = "Größe".encode(), b"Ren\xe9"
    tags[0x8769] = {0xA434: "Objektiv für alles".encode()}
    picture = read_picture(encoded(Image.fromarray(pixels), "TIFF", tiffinfo=tags))
    again = read_picture(written(picture, suffix)[0])
    for data in (picture.exif, again.exif):
        assert data is not None and {"Größe".encode(), b"Ren\xe9", "für alles".encode()} == {
            text for text in ("Größe".encode(), b"Ren\xe9", "für alles".encode()) if text in data
        }


def test_pixels_are_turned_even_where_exif_is_damaged(pixels: Pixels) -> None:
    data = exif()
    count_at = struct.unpack("<I", data[4:8])[0]
    longer = data[:count_at] + struct.pack("<H", 200) + data[count_at + 2 :]
    picture = read_picture(picture_file("JPEG", pixels, longer, None))
    assert picture.pixels.shape == (101, 70, 3) and picture.exif is None
    assert picture.notes[0] == "the EXIF metadata are damaged; they are ignored and not kept"
    (note,) = stripped(Picture(pixels, exif=longer), "gps").notes
    assert "damaged" in note


def test_a_page_tells_nothing_of_the_picture_s_place(pixels: Pixels) -> None:
    address = picture_uri(read_picture(picture_file("JPEG", pixels, exif(), XMP)))
    shown = read_picture(base64.b64decode(address.partition(",")[2]))
    assert (shown.exif, shown.xmp) == (None, None)


def test_xmp_of_an_odd_type_costs_no_picture(pixels: Pixels) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700] = 5
    tags.tagtype[700] = 3
    picture = read_picture(encoded(Image.fromarray(pixels), "TIFF", tiffinfo=tags))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.xmp is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_beside_the_pixels_costs_no_more_than_an_input_error(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF"]))
    original = picture_file(format, np.zeros((8, 8, 3), np.uint8), exif(), XMP)
    at = data.draw(st.integers(0, len(original) - 1))
    try:
        picture = read_picture(original[:at] + data.draw(st.binary(max_size=8)) + original[at + 1 :])
    except InputError as error:
        assert "the image data" in str(error)
    else:
        for suffix in KEEP:
            written(stripped(picture, "gps"), suffix)
