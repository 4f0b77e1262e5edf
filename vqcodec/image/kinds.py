"""What kind of file some bytes are, by how they begin, for messages; the kinds that vqc does not read too."""

from __future__ import annotations

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"qoif", "QOI"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"<svg", "SVG"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"FUJIFILM", "RAW"),
    (b"\x89VQC\r\n\x1a\n", ".vqc"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "RAW"}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def kind_of(data: bytes) -> str:
    """Return the name of a kind of file, or "" where none begins like this."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return "HEIC" if data[8:12] in _HEIC_BRANDS else _BRANDS.get(data[8:12], "")
    return next((name for beginning, name in _BEGINNINGS if data.startswith(beginning)), "")
