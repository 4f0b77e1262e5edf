"""EXIF and XMP as cameras and editors write them, and pictures that hold them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

MAKER_NOTE = b"maker's note \0\1\2" * 5
PLACE = {1: "N", 2: (10.0, 20.0, 30.5), 3: "E", 4: (1.0, 2.0, 3.0)}
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>'
    b'<rdf:Description exif:GPSLatitude="10,20N" tiff:Orientation="6" dc:title="a GPS tracker">'
    b"<exif:GPSLongitude>1,2E</exif:GPSLongitude><exif:GPSProcess><rdf:Bag><rdf:li>1</rdf:li></rdf:Bag></exif:GPSProcess>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta>\n   \n<?xpacket end='w'?>"
)
XMP_UPRIGHT = XMP.replace(b'Orientation="6"', b'Orientation="1"')


def thumbnail() -> bytes:
    """A small JPEG."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "JPEG")
    return file.getvalue()


def exif(orientation: int = 6, order: str = "<", dpi: float | None = 300.0, place: bool = True) -> bytes:
    """EXIF of a camera, without a thumbnail."""
    made = Image.Exif()
    made.endian = order
    made[0x010F], made[0x0110], made[0x0112] = "Maker of cameras", "Model", orientation
    if dpi is not None:
        made[0x011A], made[0x011B], made[0x0128] = dpi, dpi, 2
    made[0x8769] = {0x9003: "2024:01:01 00:00:00", 0x927C: MAKER_NOTE}
    if place:
        made[0x8825] = PLACE
    return made.tobytes().removeprefix(b"Exif\0\0")


def with_thumbnail(data: bytes) -> bytes:
    """The same EXIF with a second directory that shares a value with the first and has a thumbnail."""
    order = ">" if data[:2] == b"MM" else "<"
    (at,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[at : at + 2])
    data += bytes(len(data) % 2)
    entries = {data[place : place + 2]: data[place : place + 12] for place in range(at + 2, at + 2 + 12 * count, 12)}
    shared = entries[struct.pack(f"{order}H", 0x010F)]
    start = len(data) + 2 + 3 * 12 + 4
    places = [
        struct.pack(f"{order}HHII", 0x0201, 4, 1, start),
        struct.pack(f"{order}HHII", 0x0202, 4, 1, len(thumbnail())),
    ]
    second = struct.pack(f"{order}H", 3) + shared + b"".join(places) + bytes(4)
    link = at + 2 + 12 * count
    return data[:link] + struct.pack(f"{order}I", len(data)) + data[link + 4 :] + second + thumbnail()


def said_by(data: bytes) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
    """What Pillow reads of EXIF: the first directory, that of the camera, that of the place."""
    read = Image.Exif()
    read.load(b"Exif\0\0" + data)
    first = {tag: value for tag, value in read.items() if tag not in (0x8769, 0x8825)}
    return first, dict(read.get_ifd(0x8769)), dict(read.get_ifd(0x8825))


def picture_file(format: str, pixels: npt.NDArray[np.uint8], exif: bytes | None, xmp: bytes | None) -> bytes:
    """A picture of a format with EXIF and XMP."""
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    if exif is not None:
        options["exif"] = b"Exif\0\0" + exif
    if xmp is not None and format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    elif xmp is not None and format == "TIFF":
        options["exif"] = Image.Exif()
        options["exif"].load(b"Exif\0\0" + (exif or b""))
        options["exif"][700] = xmp
    elif xmp is not None:
        options["xmp"] = xmp
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()
