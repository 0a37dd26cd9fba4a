"""The web page: drop a photo, compare, paint where to deblur, download. A thin door to the service.

Gradio gives the frame, the settings and the wire to the server; the stage in the middle, where one
compares and paints, is plain HTML of our own (page_stage.html, page.js, page.css), because it must
show files as they are, at full resolution, on a phone and without a mouse. Photos go past Gradio's
upload, which would leave them in a folder for temporary files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import gradio as gr
from fastapi import FastAPI
from gradio.themes import Base
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from unsmear.errors import UnsmearError
from unsmear.web.page_desk import Desk, Leaf
from unsmear.web.page_files import MAP_SIDE, kind_of, map_picture, read_mask, result_name
from unsmear.web.page_routes import FILES, page_routes, view_of
from unsmear.web.page_words import as_sentence, figures, what_happened
from unsmear.web.service import Answer, Service, Wish

HERE = Path(__file__).parent
HEAD = """<div class="head"><h1>unsmear</h1>
<p>Removes motion blur only where things moved.</p></div>"""
ICON = (
    "<link rel='icon' href=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' "
    "viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' fill='%231d4ed8'/>"
    "<path d='M8 1a7 7 0 0 1 0 14z' fill='white'/></svg>\">"
)

_log = logging.getLogger(__name__)


def mount(app: FastAPI, service: Service) -> FastAPI:
    """Put the page at "/" of an app, where no route of the app's own leads.

    Args:
        app: what it is added to; tells of wrong addresses and methods in the page's stead.
        service: what deblurs; started and closed by the caller.

    Returns:
        The same app.
    """
    desk = Desk()
    app.include_router(page_routes(desk, service))
    gr.mount_gradio_app(
        app,
        build(desk, service),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=1,  # Gradio's own upload is not used, so it shall not fill the disk
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=Base(
            primary_hue="blue",
            neutral_hue="zinc",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ).set(  # Gradio's own are too pale to read well
            body_text_color_subdued="*neutral_600",
            body_text_color_subdued_dark="*neutral_300",
            block_label_text_color="*neutral_700",
            block_label_text_color_dark="*neutral_200",
            block_title_text_color="*neutral_800",
            block_title_text_color_dark="*neutral_100",
            slider_color="*primary_700",
        ),
        css_paths=HERE / "page.css",
        head=ICON,
    )
    # As a mount at "/" it would take all that the app's own routes do not: PUT /v1/deblur, too.
    mounted = app.router.routes.pop()
    assert isinstance(mounted, Mount)
    frame = cast(FastAPI, mounted.app)
    frame.add_exception_handler(HTTPException, app.exception_handlers[HTTPException])
    app.router.default = frame
    return app


def build(desk: Desk, service: Service) -> gr.Blocks:
    """The page's parts and what they do."""
    largest = f"{service.limits.max_bytes >> 20} MB"
    stage_html = (HERE / "page_stage.html").read_text(encoding="utf-8")
    with gr.Blocks(title="unsmear", analytics_enabled=False, delete_cache=(600, 600)) as page:
        gr.HTML(HEAD, apply_default_css=False)
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                stage = gr.HTML(
                    None,
                    html_template=stage_html.replace("LARGEST", largest),
                    js_on_load=(HERE / "page.js").read_text(encoding="utf-8"),
                    apply_default_css=False,
                    map_side=MAP_SIDE,
                )
            with gr.Column(scale=1, min_width=280, elem_id="panel"):
                gr.HTML("<h2>Settings</h2>", apply_default_css=False)
                # Gradio's dropdown stays open over what is below when one tabs on.
                model = gr.Radio(list(service.models), value=service.models[0], label="Model")
                strength = gr.Slider(
                    0,
                    1,
                    value=1,
                    step=0.05,
                    label="Strength",
                    info="1 applies all of the change.",
                )
                threshold = gr.Slider(
                    0,
                    1,
                    value=0.5,
                    step=0.05,
                    label="Threshold",
                    info="Lower finds more blur. Not used where you paint.",
                )
                again = gr.Button("Run again", elem_id="again")
        run = stage.submit(
            Run(desk, service).answer,
            [stage, model, strength, threshold],
            stage,
            show_progress="hidden",
            trigger_mode="multiple",
            concurrency_limit=None,  # the service has the queue
            api_visibility="private",
        )
        stage.clear(None, cancels=run, api_visibility="private")
        again.click(
            None,
            js="() => { document.dispatchEvent(new Event('unsmear:again')); }",
            api_visibility="private",
        )
    page.queue(api_open=False)
    # Gradio looks for work a thousand times a second; as often as on Windows leaves laptops cool.
    page._queue.sleep_when_free = 0.05
    page._queue.progress_update_sleep_when_free = 0.1
    return page


class Run:
    """Answers the stage's questions.

    Args:
        desk: where photos and results lie.
        service: what deblurs.
    """

    def __init__(self, desk: Desk, service: Service) -> None:
        self._desk = desk
        self._service = service

    async def answer(
        self, asked: dict[str, Any], model: str, strength: float, threshold: float
    ) -> AsyncIterator[dict[str, Any]]:
        """Deblur the photo on the stage.

        Args:
            asked: from the stage: "ask", its number for the question; "photo", a name on the desk;
                "size", width and height; "painted", None or a mask's "bits" and "size".
            model: one of the service's.
            strength: share of the change to apply.
            threshold: confidence above which a window is deblurred.

        Yields:
            Now and then the "progress" in [0, 1]; at last what to show, or the "problem".
        """
        number, name = asked["ask"], "The photo"
        try:
            photo = self._desk.get(asked["photo"])
            name = photo.name
            painted = asked["painted"]
            mask = None
            if painted is not None:
                mask = read_mask(painted["bits"], tuple(painted["size"]), self._size(asked))
            wish = Wish(model=model, strength=strength, threshold=threshold, mask=mask)
            async for share, answer in _progressing(self._service, photo.data, wish):
                if answer is None:
                    yield {"ask": number, "progress": share}
                else:
                    yield {"ask": number, **await self._shown(photo, wish, answer)}
        except UnsmearError as problem:
            yield {"ask": number, "problem": as_sentence(problem, name)}
        except Exception:
            _log.exception("the page could not deblur a photo")
            yield {"ask": number, "problem": "Something went wrong here; the server's log has it."}

    def _size(self, asked: dict[str, Any]) -> tuple[int, int]:
        """Width and height as the browser has them, small enough to make a mask of."""
        wide, high = asked["size"]
        pixels = self._service.limits.max_pixels
        return (wide, high) if wide * high <= pixels else (0, 0)

    async def _shown(self, photo: Leaf, wish: Wish, answer: Answer) -> dict[str, Any]:
        kind = kind_of(answer.data, photo.name)
        result = Leaf(answer.data, answer.media_type, result_name(photo.name, kind))
        token = self._desk.put(result)
        said = what_happened(
            answer.report,
            changed=answer.changed,
            painted=wish.mask is not None,
            strength=wish.strength,
            reencoded=kind_of(photo.data, photo.name).reencoded,
        )
        blur_map = await asyncio.to_thread(map_picture, answer.blur_map)
        map_token = self._desk.put(Leaf(blur_map, "image/png", "blur map.png"))
        return {
            "sentence": said,
            "changed": answer.changed,
            "threshold": wish.threshold,
            "after": FILES + await view_of(token, self._desk, self._service),
            "map": FILES + map_token,
            "figures": figures(answer.report),
            "download": {
                "url": f"{FILES}{token}?download=1",
                "name": result.name,
                "format": kind.format,
                "bytes": len(answer.data),
            },
        }


async def _progressing(
    service: Service, data: bytes, wish: Wish
) -> AsyncIterator[tuple[float, Answer | None]]:
    """Shares that are done, and the answer with the last of them."""
    shares: asyncio.Queue[float | None] = asyncio.Queue()
    task = asyncio.ensure_future(service.deblur(data, wish, shares.put_nowait))
    task.add_done_callback(lambda _: shares.put_nowait(None))
    try:
        while (share := await shares.get()) is not None:
            yield share, None
        yield 1.0, await task
    finally:
        task.cancel()  # the person left, or pressed Stop
