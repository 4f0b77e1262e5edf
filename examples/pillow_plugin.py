"""Make a .vqc file of a picture with Pillow, and a thumbnail of it: python examples/pillow_plugin.py IN FOLDER."""

import sys
from pathlib import Path

from PIL import Image

import vqcodec.pillow

folder = Path(sys.argv[2])
with Image.open(sys.argv[1]) as picture:
    picture.save(folder / "picture.vqc", quality=30, effort=1)
with Image.open(folder / "picture.vqc") as image:
    print(image.format, image.mode, image.size, image.get_format_mimetype())  # torch is not there yet
    image.thumbnail((64, 64))
    image.save(folder / "thumbnail.png")
print(vqcodec.pillow.OPTIONS)
