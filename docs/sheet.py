"""`make sheet`: every preset's picture on one sheet, docs/sheet.jpg."""

from io import BytesIO
from pathlib import Path

from PIL import Image

import core
from app.facts import picture_file
from app.picture.standalone import png
from core.library import preset

COLUMNS, WIDTH, GAP = 12, 260, 14  # pictures in a row, how wide each is, and what is between them


def main() -> None:
    pictures = [Image.open(BytesIO(png(picture_file(preset(name)), WIDTH))).convert("RGB") for name in core.presets()]
    ends, places = [GAP] * COLUMNS, []
    for picture in pictures:  # each below the shortest column so far
        column = ends.index(min(ends))
        places.append((GAP + column * (WIDTH + GAP), ends[column]))
        ends[column] += picture.height + GAP
    sheet = Image.new("RGB", (COLUMNS * (WIDTH + GAP) + GAP, max(ends)), "#dfe4ec")
    for picture, place in zip(pictures, places, strict=True):
        sheet.paste(picture, place)
    sheet.save(Path(__file__).with_name("sheet.jpg"), quality=55, optimize=True)


if __name__ == "__main__":
    main()
