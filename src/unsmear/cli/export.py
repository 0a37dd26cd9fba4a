"""``unsmear export``: a network as a file that runs without torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from unsmear.cli.console import note, say, size_in_words
from unsmear.cli.extras import needing
from unsmear.cli.options import DEFAULT_MODEL
from unsmear.cli.page import page
from unsmear.errors import OutputError

PAGE = page(
    "[MODEL] [-o FILE.onnx] [--dense] [--opset N]",
    {
        "Examples": {
            "unsmear export lmdvit-tiny -o model.onnx": "any size, computing only what is blurred",
            "unsmear export mine.safetensors --dense": "for runtimes that want fixed sizes",
        },
        "Inputs of the file": {
            "blurred": "float32 (B, 3, H, W), RGB in 0..1, any size",
            "threshold": "float32, one number in 0..1, such as 0.5",
        },
        "Outputs of the file": {
            "restored": "(B, 3, H, W), to be clamped to 0..1",
            "gate, blur_map": "(B, 1, H, W)",
            "keep_3, keep_3_shifted, ...": "which windows a stage kept, 0 or 1",
        },
    },
)
LICENSE_OF_BUNDLED = "Apache-2.0"


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, or a checkpoint file.")
    ] = DEFAULT_MODEL,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.onnx",
            help="File to write. [dim]Default: MODEL.onnx in this folder.[/]",
            show_default=False,
        ),
    ] = None,
    pruned: Annotated[
        bool,
        typer.Option(
            "--pruned/--dense",
            help="Compute kept windows only, or every window, with the same result.",
        ),
    ] = True,
    opset: Annotated[
        int, typer.Option(metavar="N", help="Version of ONNX's operations, 18 to 23.")
    ] = 18,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="Run the file in onnxruntime and compare it with torch before it gets its name. "
            "[dim]Default: where onnxruntime is installed.[/]",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FILE.onnx where it is there already.")
    ] = False,
) -> None:
    """Write a network as an ONNX file, for onnxruntime, OpenVINO and others.

    LMD-ViT skips what it prunes there, too. LBAG, and DMPHN and SRN without sampling, can be
    exported as well.
    """
    name = Path(model).resolve().stem  # resolved, so that "." has one, too
    path = output or Path(f"{name}.onnx")
    if path.suffix != ".onnx":
        raise OutputError(f"{path} must end in .onnx.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give a file's name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists: use --overwrite, or another name.")
    with needing("export", "ONNX export"):
        from unsmear.exchange.onnx import export_onnx
    from unsmear.models import bundled_weights, load_model

    found = export_onnx(
        load_model(model),
        path,
        name=name,
        license=LICENSE_OF_BUNDLED if bundled_weights(model) else "",
        pruned=pruned,
        opset=opset,
        check=find_spec("onnxruntime") is not None if check is None else check,
    )
    say(f"{path}  {size_in_words(path.stat().st_size)}")
    if found is None:
        note("not checked against torch: that needs onnxruntime, and no --no-check")
        return
    say(f"largest difference from torch, in onnxruntime: {found.pictures:.1e}")
    if found.decisions:
        note(f"torch decides otherwise about windows within {found.decisions:.1e} of the threshold")
