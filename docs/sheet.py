"""`make sheet`: every preset's picture on one sheet, docs/sheet.jpg, by the chromium that the tests use too."""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

import core
from app.facts import picture_file
from core.library import preset

HERE = Path(__file__).resolve().parent
COLUMNS, WIDTH = 12, 260  # pictures in a row, and how wide each is


def page() -> str:
    pictures = "".join(f"<figure>{picture_file(preset(name))}</figure>" for name in core.presets())
    return f"""<!doctype html><meta charset="utf-8"><style>
        body {{ margin: 16px; columns: {COLUMNS}; column-gap: 14px }}
        figure {{ margin: 0 0 14px; break-inside: avoid; border: 1px solid #dfe4ec; border-radius: 8px; overflow: hidden }}
        figure svg {{ display: block; width: 100%; height: auto }}
    </style>{pictures}"""


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        sheet = browser.new_page(viewport={"width": COLUMNS * (WIDTH + 14) + 18, "height": 900})
        sheet.set_content(page())
        sheet.screenshot(path=HERE / "sheet.jpg", type="jpeg", quality=55, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
