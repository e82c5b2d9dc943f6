"""Llama 3 8B becomes another model by the controls of the workbench alone, in a real browser: `make reach` says how long each takes.

Not in `make test`, where tests/test_strip.py does the same without a browser."""

import time

import pytest
from pages import change, settled, workbench
from playwright.sync_api import Page, expect

import core
from app.kit import forms
from core.library import preset

NARROW = 640
MODEL = "The whole model"


class Hand:
    """What a person does on the page; `clicks` counts the controls that are used."""

    def __init__(self, page: Page) -> None:
        self.page, self.strip, self.inspector = page, page.locator(".strip"), page.locator(".st-key-inspector")
        self.drawer, self.clicks = page.locator(".st-key-drawer"), 0

    @property
    def narrow(self) -> bool:
        return self.page.viewport_size["width"] <= NARROW

    def rest(self) -> None:
        self.page.wait_for_timeout(200)  # a person looks, too
        settled(self.page)

    @property
    def arch(self) -> core.Architecture:
        self.rest()
        return core.load(self.page.url)

    def press(self, what) -> None:
        self.clicks += 1
        what.click()

    def close(self) -> None:
        """On a phone the inspector lies over the page."""
        button = self.page.get_by_role("button", name="Close the inspector")
        if self.narrow and button.is_visible():
            button.click()
            expect(button).to_be_hidden()

    def select(self, part: str, block: int = 0) -> None:
        """A part of a block; those of the whole model with an empty name."""
        self.close()
        if part:
            one = self.strip.locator(".block, .ahead").nth(block).get_by_role("button", name=part, exact=True)
            if one.get_attribute("aria-pressed") != "true" or self.narrow:
                self.press(one)
            expect(one).to_have_attribute("aria-pressed", "true")
        else:
            self.choose("Inspect", MODEL)
            self.page.wait_for_timeout(500)
            if self.narrow and (button := self.page.get_by_role("button", name="Open the inspector")).is_visible():
                self.press(button)  # it was chosen before
        self.rest()

    def choose(self, label: str, option: str, within=None) -> None:
        self.clicks += 1
        within = within or self.page
        box = within.get_by_label(label, exact=True)
        box.click()
        box.fill(option)
        self.page.get_by_role("option", name=option, exact=True).first.click()
        self.rest()

    def swap(self, part: str, title: str, block: int = 0) -> None:
        self.select(part, block)
        self.press(self.inspector.locator("button.head"))
        self.inspector.get_by_label("Find a kind").fill(title)
        self.inspector.get_by_label("Find a kind").press("Enter")
        expect(self.inspector.locator("button.head")).to_contain_text(title)
        self.rest()

    def number(self, box, value: int) -> None:
        self.clicks += 1
        box.fill(str(value))
        box.press("Enter")
        self.rest()

    def open(self, name: str) -> None:
        self.close()
        self.press(self.page.get_by_role("button", name=name))
        expect(self.drawer).to_be_visible()
        self.rest()

    def apply(self) -> None:
        self.press(self.drawer.get_by_role("button", name="Apply"))
        expect(self.drawer).to_have_count(0)
        self.rest()

    def rename(self, part: str, new: str, block: int) -> None:
        self.select(part, block)
        self.open(f"Rename {part} …")
        self.number(self.drawer.get_by_role("textbox"), new)
        self.apply()

    def every(self, part: str, n: int, first: int, others: str) -> None:
        self.select(part)
        self.open("Every n-th layer")
        self.number(self.drawer.get_by_label("Every … layers"), n)
        self.number(self.drawer.get_by_label("from layer"), first)
        self.choose("the others are", others, self.drawer)
        self.apply()

    def repeat(self, times: int) -> None:
        self.close()
        self.number(self.strip.locator(".segment input").first, times)

    # ---- fields ----

    def fields(self, target: core.Architecture) -> None:
        """Each field that differs gets the target's value."""
        wanted = target.model_dump(mode="json")
        for _ in range(8):  # what a control turns on has fields of its own
            arch = self.arch
            paths = [c.path for c in core.diff(arch, target).changes if c.path.split(".")[0] not in ("layers", "precision", "mtp")]
            if not paths:
                return
            for path in paths:
                self.set(path, wanted)
        raise AssertionError(f"{paths} are not reached")

    def set(self, path: str, wanted: dict) -> None:
        arch, parts = self.arch, path.startswith("parts.")
        name = path.split(".")[1] if parts else ""
        own = {c.path: c for c in forms.controls(arch.parts[name] if parts else arch, f"parts.{name}" if parts else "")}
        control = own.get(path) or own.get(path.removesuffix(".kind"))
        if not control:
            return  # of what is turned on by another field
        value = wanted
        for key in control.path.split("."):
            value = value[key]
        self.show(name, control.path)
        self.clicks += 1
        holder = self.page.locator(f".st-key-f-{control.path.replace('.', '-')}:not([data-stale=true])")
        if control.kind in ("integer", "number", "word"):
            change(self.page, control.path, "" if value is None else f"{value}")
        elif control.kind in ("switch", "optional"):
            holder.locator("label").first.click()
        else:
            option = value.get("kind") if isinstance(value, dict) else value
            option = {None: "none" if control.starters else "not set", True: "on", False: "off"}.get(option, option)
            if row := holder.get_by_role("radio").or_(holder.get_by_test_id("stButtonGroup").get_by_role("button")).all():
                next(one for one in row if one.inner_text().strip() == option).click()
            else:
                holder.locator("input").click()
                holder.locator("input").fill(str(option))
                self.page.get_by_role("option", name=str(option), exact=True).first.click()
        self.rest()

    def show(self, part: str, path: str) -> None:
        """The form with a field comes into sight."""
        holder = self.page.locator(f".st-key-f-{path.replace('.', '-')}:not([data-stale=true])")
        if holder.is_visible():
            return
        if part:
            place = next(i for i, block in enumerate(self.strip.locator(".block, .ahead").all())
                         if block.get_by_role("button", name=part, exact=True).count())  # fmt: skip
            self.select(part, place)
        else:
            self.select("")
        fold = "More settings" if part else "Norm, residual stream, positions, head"
        if not holder.is_visible():
            self.press(self.inspector.get_by_text(fold))
        expect(holder).to_be_visible()


def to_gpt_oss(hand: Hand) -> None:
    hand.swap("dense", "Mixture of experts")
    hand.every("attention", 2, 1, "new · Softmax · Sliding window")
    hand.repeat(18)
    hand.rename("attention", "global", 1)
    hand.rename("sliding_window", "local", 0)


def to_qwen3_next(hand: Hand) -> None:
    hand.swap("dense", "Mixture of experts")
    hand.every("attention", 4, 3, "new · Recurrent · Gated delta net")
    hand.repeat(12)
    hand.press(hand.strip.locator(".ahead.new"))


def to_deepseek_v3(hand: Hand) -> None:
    hand.swap("attention", "Multi-head latent attention")
    hand.swap("dense", "Mixture of experts")
    hand.repeat(61)
    hand.number(hand.page.get_by_role("spinbutton", name="Dense layers at the start"), 3)
    hand.press(hand.strip.locator(".ahead.new"))


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    "name, steps", [("gpt-oss-120b", to_gpt_oss), ("qwen3-next-80b-a3b", to_qwen3_next), ("deepseek-v3", to_deepseek_v3)]
)
def test_llama_becomes_another_model(visitor, name, steps, width):
    target, page = preset(name), visitor("/workbench?preset=llama-3-8b", width)
    page.set_default_timeout(15_000)
    workbench(page)
    hand, begun = Hand(page), time.monotonic()
    steps(hand)
    assert hand.arch.layers == target.layers
    hand.fields(target)
    made = hand.arch
    assert made.parts == target.parts and made.layers == target.layers
    assert core.cost(made).parameters == core.cost(target).parameters and core.cost(made).kv_bytes == core.cost(target).kv_bytes
    assert (made.mtp and made.mtp.block) == (target.mtp and target.mtp.block)
    print(f"\n{name}, {width} px: {hand.clicks} controls, {time.monotonic() - begun:.0f} s")
