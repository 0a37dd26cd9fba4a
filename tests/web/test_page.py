"""The page in a real browser: upload, compare, paint, run, download."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright
from skimage import data

import unsmear

from .makers import Server

WIDTH, HEIGHT = 320, 256
MOVED = (slice(96, 224), slice(64, 224))  # rows and columns of the photo that are blurred
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PATIENCE = 120_000  # ms
IN_THE_PAGE = re.compile("/page/files/")  # pictures that it shows
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

Open = Callable[..., Page]


@contextmanager
def serving(*words: str) -> Iterator[Server]:
    """`unsmear serve` while the block runs."""
    words += ("--port", "0", "--device", "cpu", "--max-bytes", str(1 << 20))
    process = subprocess.Popen(
        [sys.executable, "-m", "unsmear", "serve", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    try:
        yield Server(process.stdout.readline().split()[0], process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def served(checkpoint: Path) -> Iterator[Server]:
    """With the bundled weights, and a fresh network to choose instead."""
    with serving("--model", "lmdvit-tiny", "--model", str(checkpoint)) as served:
        yield served


@pytest.fixture(scope="module")
def address(served: Server) -> str:
    return served.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Open]:
    """Open the page; it must ask no other host for anything, and its scripts must not fail."""
    contexts, asked, failures = [], [], []

    def open_page(**options: object) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(address)
        expect(page.get_by_text("Drop a photo here")).to_be_visible()
        return page

    yield open_page
    for context in contexts:
        context.close()
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert (elsewhere, failures) == ([], [])


def scene() -> np.ndarray:
    """(H, W, 3): a person, a part of whom moved to the side."""
    sharp = data.astronaut()[20 : 20 + HEIGHT, 80 : 80 + WIDTH]
    shifted = [np.roll(sharp.astype(float), shift, axis=1) for shift in range(-9, 10)]
    blurred = sharp.copy()
    blurred[MOVED] = np.mean(shifted, axis=0).round()[MOVED]
    return blurred


def jpeg() -> bytes:
    exif = Image.Exif()
    exif[271] = "A maker"
    file = io.BytesIO()
    Image.fromarray(scene()).save(
        file, "JPEG", quality=92, subsampling=0, exif=exif, icc_profile=ICC
    )
    return file.getvalue()


def png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def pixels(file: bytes | Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file) if isinstance(file, bytes) else file))


def drop(page: Page, name: str, file: bytes) -> None:
    """Drop a photo on the page, and wait until something is said of it."""
    moved = page.evaluate_handle(
        """([name, bytes]) => {
            const moved = new DataTransfer();
            const file = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt());
            moved.items.add(new File([file], name));
            return moved;
        }""",
        [name, base64.b64encode(file).decode()],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": moved})
    wait(page)


def choose(page: Page, name: str, file: bytes) -> None:
    """Choose a photo from the disk, likewise."""
    chosen = {"name": name, "mimeType": "image/png", "buffer": file}
    page.locator("[data-part=file]").set_input_files(chosen)
    wait(page)


def wait(page: Page) -> None:
    expect(page.locator(".stage")).to_have_attribute("aria-busy", "false", timeout=PATIENCE)


def status(page: Page) -> Locator:
    return page.locator("[data-part=status]")


def download(page: Page) -> tuple[str, Path]:
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    return coming.value.suggested_filename, coming.value.path()


def shown_share(page: Page) -> float:
    """Share of the view's width, from the left, that shows the photo as it came."""
    return page.evaluate(
        """() => {
            const after = document.querySelector("[data-part=after]");
            return parseFloat(after.style.clipPath.split(" ").pop()) / after.clientWidth;
        }"""
    )


def test_drop_compare_and_download(open_page: Open) -> None:
    page, original = open_page(), jpeg()
    drop(page, "a person.jpg", original)
    expect(status(page)).to_have_text(
        re.compile(r"^\d+ % of the picture was blurred( and \d+ % changed)?; nothing else ")
    )

    sizes = "each => [each.naturalWidth, each.naturalHeight]"
    for name in ("before", "after"):  # full resolution, and not another encoding of it
        assert page.locator(f"[data-part={name}]").evaluate(sizes) == [WIDTH, HEIGHT]
    assert shown_share(page) == pytest.approx(0.5, abs=0.01)
    split = page.get_by_label("Share of the view that shows the photo before deblurring")
    split.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    moved = shown_share(page)
    assert moved < 0.45
    frame = page.locator("[data-part=frame]").bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + 40)
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.6 * frame["width"], frame["y"] + 60)
    page.mouse.up()
    assert shown_share(page) > 0.55
    page.get_by_role("button", name="Larger").click()
    expect(page.locator("[data-part=scale]")).to_have_text("400 %")

    name, path = download(page)
    assert name == "a person.unsmeared.jpg"
    before, after = Image.open(io.BytesIO(original)), Image.open(path)
    assert (after.format, after.info["icc_profile"]) == ("JPEG", ICC)
    assert after.getexif()[271] == "A maker"
    assert after.quantization == before.quantization
    changed = (np.asarray(after) != np.asarray(before)).any(axis=2)
    said = int(re.findall(r"\d+", status(page).inner_text())[-1])
    assert 100 * changed.mean() == pytest.approx(said, abs=5)  # 8x8 blocks change as a whole
    assert changed[MOVED].mean() > 0.5


def test_paint_on_a_phone_and_run_only_there(open_page: Open) -> None:
    page, original = open_page(**PHONE), png(scene())
    choose(page, "person.png", original)
    assert page.evaluate("document.documentElement.scrollWidth") == 390  # nothing sticks out
    page.get_by_role("button", name="Paint").tap()
    share = page.locator("[data-part=share]")
    expect(share).to_have_text(re.compile("of the picture is painted"))  # what was found
    page.get_by_role("button", name="Clear").tap()
    expect(share).to_have_text("Nothing is painted yet")
    page.get_by_role("button", name="Run again only there").tap()
    expect(status(page)).to_contain_text("Nothing is painted yet")

    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    place = canvas.bounding_box()
    assert place is not None
    touch = page.context.new_cdp_session(page)
    way = [(place["x"] + place["width"] * (0.3 + 0.02 * i)) for i in range(12)]
    y = place["y"] + 0.6 * place["height"]
    for i, x in enumerate(way):
        kind = "touchMove" if i else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(share).not_to_have_text("Nothing is painted yet")
    page.wait_for_timeout(500)  # a finger's way; a tap at once counts as the second of a double tap
    page.get_by_role("button", name="Run again only there").tap()
    wait(page)
    expect(status(page)).to_have_text(
        re.compile(r"[\d.]+ % of the picture changed where you painted; nothing else did\.")
    )

    name, path = download(page)
    assert name == "person.unsmeared.png"
    rows, columns = np.nonzero((pixels(path) != pixels(original)).any(axis=2))
    radius = 0.3**2 * 0.3 * WIDTH + 2  # of the brush as it comes, and a pixel or two of rounding
    assert abs(rows - 0.6 * HEIGHT).max() <= radius
    assert columns.min() >= 0.3 * WIDTH - radius
    assert columns.max() <= 0.52 * WIDTH + radius
    assert len(rows) > 500


def test_all_of_it_with_the_keyboard(open_page: Open) -> None:
    page, original = open_page(), png(scene())
    choose(page, "person.png", original)
    page.get_by_role("button", name="Paint").press("Enter")
    page.get_by_role("button", name="Clear").press("Enter")
    share = page.locator("[data-part=share]")
    page.locator("canvas").focus()
    for key in ("Space", "Shift+ArrowRight", "p", "ArrowDown", "ArrowDown", "p"):
        page.keyboard.press(key)
    painted = share.inner_text()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect(share).not_to_have_text(painted)
    page.get_by_role("button", name="Clear").press("Enter")
    box = page.get_by_label("A box to paint")
    box.fill("64, 96")
    box.press("Enter")
    expect(status(page)).to_contain_text("A box is x, y, width, height in whole pixels")
    box.fill("64, 96, 80, 60")
    box.press("Enter")
    page.get_by_role("button", name="Run again only there").press("Enter")
    wait(page)
    expect(status(page)).to_contain_text("changed where you painted; nothing else did.")

    changed = (pixels(download(page)[1]) != pixels(original)).any(axis=2)
    assert changed[96:156, 64:144].mean() > 0.5
    changed[96:156, 64:144] = False
    assert not changed.any()


def test_settings_reach_the_engine(open_page: Open) -> None:
    page = open_page()
    choose(page, "person.png", png(scene()))
    page.get_by_label("number input for Strength").fill("0")
    page.get_by_role("radio", name="little").check()
    page.get_by_role("button", name="Run again", exact=True).click()
    expect(status(page)).to_have_text("Nothing changed: the strength is 0.", timeout=PATIENCE)
    page.get_by_text("Figures").click()
    expect(page.locator("dl")).to_contain_text("little")
    expect(page.get_by_role("link", name="Download")).to_be_hidden()

    page.get_by_label("number input for Strength").fill("1")
    page.get_by_label("number input for Threshold").fill("1")
    page.get_by_role("button", name="Run again", exact=True).click()
    expect(status(page)).to_contain_text("no motion blur was found", timeout=PATIENCE)


def test_what_browsers_cannot_show_is_shown_and_kept(open_page: Open) -> None:
    page, deep = open_page(), io.BytesIO()
    tifffile.imwrite(deep, scene().astype(np.uint16) * 257)
    choose(page, "deep.tif", deep.getvalue())
    expect(status(page)).to_contain_text("; nothing else ")
    for name in ("before", "after"):
        size = page.locator(f"[data-part={name}]").evaluate("each => each.naturalWidth")
        assert size == WIDTH
    name, path = download(page)
    assert name == "deep.unsmeared.tif"
    assert tifffile.imread(path).dtype == np.uint16


def test_problems_and_nothing_to_do_are_said(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Run again", exact=True).click()
    expect(status(page)).to_have_text("Drop a photo first.")
    choose(page, "note ${alert(1)} <b>.txt", b"hello")
    expect(status(page)).to_have_text(
        "note ${alert(1)} <b>.txt is not a picture that unsmear reads: "
        "give it a JPEG, PNG, TIFF, WebP or BMP."
    )
    choose(page, "huge.png", bytes((1 << 20) + 1))
    expect(status(page)).to_contain_text("make the picture smaller")
    choose(page, "cut.png", png(scene())[:20_000])
    expect(status(page)).to_contain_text("cut.png is a damaged PNG")

    # at this threshold no weights find blur, whatever they make of an even grey
    page.get_by_label("number input for Threshold").fill("1")
    choose(page, "still.png", png(np.full((200, 300, 3), 128, np.uint8)))
    expect(status(page)).to_contain_text("Nothing to do: no motion blur was found.")
    expect(page.get_by_role("link", name="Download")).to_be_hidden()


def test_a_photo_stopped_while_it_is_decoded_is_not_run(open_page: Open) -> None:
    page = open_page()
    held: list[Route] = []
    page.route(IN_THE_PAGE, lambda route: held.append(route))
    with page.expect_request(IN_THE_PAGE):
        chosen = {"name": "moved.png", "mimeType": "image/png", "buffer": png(scene())}
        page.locator("[data-part=file]").set_input_files(chosen)
    page.get_by_role("button", name="Stop", exact=True).click()
    held[0].continue_()
    expect(page.locator("[data-part=work]")).to_be_visible()
    expect(status(page)).to_have_text("Stopped.")


def test_other_doors_are_shut(address: str) -> None:
    with httpx.Client(base_url=address) as client:
        foreign = client.post(
            "page/photos", content=png(scene()), headers={"Content-Type": "text/plain"}
        )
        assert foreign.status_code == 415  # all that another site's page may send
        assert client.post("gradio_api/upload", files={"files": b"hello"}).status_code == 413
        assert client.get(f"gradio_api/file={Path(__file__)}").status_code == 403
        assert client.get("page/files/unknown").status_code == 410
        assert client.get("gradio_api/info").json()["named_endpoints"] == {}
        told = client.get("").text + client.get("config").text
        assert str(Path(unsmear.__file__).parent) not in told
        assert tempfile.gettempdir() not in told

        headers = {"Content-Type": "application/octet-stream", "X-Photo-Name": "a%22%0A.png"}
        taken = client.post("page/photos", content=png(scene()), headers=headers).json()
        shown = client.get(taken["before"])
        assert (shown.content, shown.headers["Content-Type"]) == (png(scene()), "image/png")
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
        kept = client.get(taken["before"], params={"download": 1})
        assert kept.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%22.png"


def test_beside_the_page_wrong_methods_and_addresses_are_told_in_words(address: str) -> None:
    wrong = [
        ("PUT", "v1/deblur", 405, "POST"),
        ("GET", "v1/nothing", 404, "/docs"),
        ("POST", "v1/deblur/", 404, "/docs"),
    ]
    for method, path, status, why in wrong:
        answer = httpx.request(method, address + path)
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert why in answer.json()["detail"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there it is counted")
def test_with_nothing_to_do_it_rests(open_page: Open, served: Server) -> None:
    def wakings() -> int:
        """Of its main thread so far."""
        words = Path(f"/proc/{served.pid}/status").read_text().split()
        return int(words[words.index("voluntary_ctxt_switches:") + 1])

    choose(open_page(), "person.png", png(scene()))
    before = wakings()
    time.sleep(2)
    assert wakings() - before < 300


def test_a_proxy_can_offer_it_under_a_path(browser: Browser) -> None:
    def pass_on(route: Route) -> None:
        route.continue_(url=route.request.url.replace(path, "/"))

    asked, path = [], "/photos/unsmear/"
    with serving("--model", "lmdvit-tiny", "--root-path", path) as served:
        here = served.url.rstrip("/") + path
        page = browser.new_page()
        page.route(here + "**", pass_on)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(here)
        choose(page, "person.png", png(scene()))
        expect(status(page)).to_contain_text("changed; nothing else did")
        page.wait_for_function("document.querySelector('[data-part=after]').naturalWidth == 320")
        page.goto(here + "docs")
        expect(page.get_by_text("/v1/models").first).to_be_visible()
        page.close()
    elsewhere = [url for url in asked if not url.startswith((here, "data:", "blob:"))]
    assert elsewhere in ([], [served.url + "favicon.ico"])


def test_every_control_has_a_name(open_page: Open) -> None:
    page = open_page()
    choose(page, "person.png", png(scene()))
    page.get_by_role("button", name="Paint").click()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, a, canvas, img, [role=img]")]
            .filter((each) => each.checkVisibility())
            .filter((each) => !(each.ariaLabel || each.alt || each.textContent.trim()
                || each.closest("label") || each.labels?.length))
            .map((each) => each.outerHTML)"""
    )
    assert nameless == []
    expect(status(page)).to_have_attribute("aria-live", "polite")
