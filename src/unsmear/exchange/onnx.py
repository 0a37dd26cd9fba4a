"""Networks as ONNX files, which onnxruntime, OpenVINO and others run without torch.

LMD-ViT is drawn by :mod:`unsmear.exchange.lmdvit_graph`, pruning included; other networks come from
torch's own exporter. Both stand between a padding and a cut, so that pictures of any size go in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear import __version__
from unsmear.errors import InputError, ModelError, UnsmearError
from unsmear.layers.confidence import window_scores
from unsmear.models import DeblurringNetwork, LMDViT
from unsmear.models.checkpoints import write_through
from unsmear.models.dmphn import DMPHN
from unsmear.models.lbag import LBAG
from unsmear.models.registry import FAMILIES, family_of
from unsmear.models.srn import SRN

try:
    import onnx

    from unsmear.exchange.graph import LOWEST_OPSET, Graph, Value
    from unsmear.exchange.lmdvit_graph import draw_lmdvit
except ModuleNotFoundError as missing:
    if (missing.name or "").startswith("unsmear"):
        raise
    raise UnsmearError(
        f"ONNX export needs {missing.name}, which is not installed: pip install 'unsmear[export]'"
    ) from None

HIGHEST_OPSET = 23
TOLERANCE = 1e-3
"""How far a file's results may lie from torch's."""

_TRACEABLE = (DMPHN, LBAG, SRN)
_PICTURE = ("batch", 3, "height", "width")
_PLANE = ("batch", 1, "height", "width")
_ABOUT_BLURRED = "RGB in [0, 1], of any size; sRGB levels divided by 255."
_ABOUT_THRESHOLD = "A number in [0, 1]: windows are kept whose blur confidence is above it; 0.5."
_ABOUT_RESTORED = "RGB, meant for [0, 1] but not clamped."
_ABOUT_GATE = "In [0.1, 1]: the share of the residual that was added."
_ABOUT_BLUR_MAP = "In [0, 1]: how surely a pixel is blurred; 1 where the network does not judge."


def onnx_model(
    network: DeblurringNetwork,
    *,
    name: str = "",
    license: str = "",
    pruned: bool = True,
    opset: int = LOWEST_OPSET,
) -> onnx.ModelProto:
    """Write a network as an ONNX model.

    Its input is ``blurred``, float32 [B, 3, H, W] in [0, 1], of any batch, H and W from 1, and for
    a network with predictors ``threshold``, a float32 number. Its outputs are ``restored`` and
    ``blur_map``; LMD-ViT adds ``gate`` and, for every predictor, the map of windows that it kept:
    ``keep_3`` of stage 3, ``keep_3_shifted`` of its shifted windows. All are as in
    :class:`unsmear.models.Restored`. Name, version, licence and configuration are in its metadata.

    Args:
        network: what to write, in eval mode; the file holds float32.
        name: of the network, for the metadata.
        license: of the weights, for the metadata.
        pruned: compute only windows that are kept. Otherwise every window is computed, and what
            would be pruned is left as it was: the same result in operations whose sizes depend
            on the picture's alone.
        opset: version of ONNX's operations.

    Raises:
        InputError: an opset outside 18 to 23.
        ModelError: a network that cannot be exported, or whose weights are not all finite.
    """
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise InputError(f"The opset lies from {LOWEST_OPSET} to {HIGHEST_OPSET}, got {opset}.")
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise ModelError("Some of the network's weights are no numbers: export one that is sound.")
    graph = Graph(opset)
    blurred = graph.input("blurred", _PICTURE, _ABOUT_BLURRED)
    padded = _padded(blurred, network.size_step)
    if isinstance(network, LMDViT):
        _draw(network, padded, pruned)
    else:
        _trace(network, padded)
    title = FAMILIES[family_of(network.config)].title
    facts = {
        "unsmear.model": name,
        "unsmear.network": family_of(network.config),
        "unsmear.config": json.dumps(dataclasses.asdict(network.config)),
        "unsmear.version": __version__,
        "unsmear.license": license,
    }
    about = f"{title}, which removes motion blur from parts of photos. blurred: {_ABOUT_BLURRED}"
    facts = {key: value for key, value in facts.items() if value}
    return graph.model(family_of(network.config), __version__, about, facts)


def export_onnx(
    network: DeblurringNetwork, path: str | Path, *, check: bool = True, **wishes: Any
) -> Agreement | None:
    """Write a network as an ONNX file, whole or not at all.

    Args:
        network: what to write.
        path: where; an existing file is replaced in one step.
        check: run the written file in onnxruntime and compare it with torch first.
        **wishes: those of :func:`onnx_model`.

    Returns:
        What the check found.

    Raises:
        ModelError: as :func:`onnx_model`, or the file computes something else than torch.
        OutputError: the folder is not there, the path is one, or the disk does not take it.
    """
    model = onnx_model(network, **wishes)
    found: list[Agreement] = []

    def write(temporary: str) -> None:
        onnx.save(model, temporary)
        if check:
            found.append(compare(temporary, network))
            if max(found[0]) > TOLERANCE:
                raise ModelError(
                    f"The exported network is {max(found[0]):.2g} off what torch computes, more "
                    f"than {TOLERANCE}: no file was written."
                )

    write_through(Path(path), write)
    return found[0] if found else None


class Agreement(NamedTuple):
    """How far a file's results lie from torch's, over a few pictures and thresholds.

    Attributes:
        pictures: the largest difference of a picture, gate or blur map, all decisions being those
            of the file; infinite where one is no number.
        decisions: where torch decides about a window otherwise, how far from the threshold its
            confidence lies; 0 where no decision differs.
    """

    pictures: float
    decisions: float


def compare(path: str | Path, network: DeblurringNetwork) -> Agreement:
    """Run an exported file in onnxruntime, on the CPU, beside the network that it was made of.

    Raises:
        ModelError: onnxruntime cannot run the file.
        UnsmearError: it is not installed.
    """
    session = _session(path)
    differences, margins = [0.0], [0.0]
    for height, width, threshold in _CASES:
        blurred = _half_noisy(height, width)
        feed = {"blurred": blurred.numpy(), "threshold": np.array(threshold, np.float32)}
        names = [each.name for each in session.get_inputs()]
        given = session.run(None, {name: feed[name] for name in names})
        outputs = zip((each.name for each in session.get_outputs()), given, strict=True)
        results = {name: torch.from_numpy(array) for name, array in outputs}
        keep = [map_ for name, map_ in results.items() if name.startswith("keep")]
        with torch.no_grad():
            wanted: Any = network(blurred, decisions=keep) if keep else network(blurred)
        for name, result in results.items():
            if not name.startswith("keep"):
                differences.append(_largest(result - getattr(wanted, name)))
        margins.extend(_margins(network, wanted, keep, threshold))
    return Agreement(max(differences), max(margins))


def _largest(difference: Tensor) -> float:
    """Infinite where a difference is no number, for such a one would pass every comparison."""
    return difference.abs().nan_to_num(nan=math.inf, posinf=math.inf).max().item()


_CASES = ((40, 48, 0.5), (40, 48, 0.0), (40, 48, 1.0), (9, 150, 0.5))
"""Height, width and threshold: some, all and no windows kept; a side that cannot be reflected."""


def _half_noisy(height: int, width: int) -> Tensor:
    """A picture [1, 3, H, W] of soft shades whose left half is noisy."""
    chance = torch.Generator().manual_seed(0)
    shades = torch.rand(1, 3, 4, 5, generator=chance)
    picture = F.interpolate(shades, size=(height, width), mode="bilinear")
    left = picture[..., : width // 2]
    left += 0.3 * torch.rand(left.shape, generator=chance) - 0.15
    return picture.clamp(0, 1)


def _margins(network: Any, wanted: Any, keep: Sequence[Tensor], threshold: float) -> list[float]:
    """Of every predictor: how far from the threshold torch would decide otherwise."""
    margins = []
    for i, ((_, shift), kept) in enumerate(zip(network.predictor_places, keep, strict=True)):
        means = window_scores(wanted.scores[i], network.config.window_size, shift)
        confidence = means.softmax(dim=-1)[..., 0]
        otherwise = (confidence > threshold) != (kept[:, 0] > 0)
        margins.append(((confidence - threshold).abs() * otherwise).max().item())
    return margins


def _session(path: str | Path) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as missing:
        raise UnsmearError(
            f"Checking needs {missing.name}, which is not installed: pip install 'unsmear[export]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # its kinds of error have no common name
        reason = " ".join(str(problem).split())[:200]
        raise ModelError(f"onnxruntime does not take the file: {reason}") from None


def _padded(blurred: Value, step: int) -> Value:
    """What :func:`unsmear.models.padding.pad_to_multiple` does."""
    g = blurred.graph
    sides = {dim: blurred.size(dim) for dim in (2, 3)}
    wholes = {dim: (side + (step - 1)) // step * step for dim, side in sides.items()}
    fits = (g.op("Less", wholes[dim] - sides[dim], sides[dim]) for dim in sides)
    reflects = g.op("And", *fits)
    padded = blurred
    for dim, side in sides.items():
        places, last = g.count(wholes[dim]), side - 1
        reflected = last - g.op("Abs", last - places)
        padded = padded.take(g.op("Where", reflects, reflected, g.op("Min", places, last)), dim)
    return padded


def _output(name: str, padded: Value, about: str, shape: Sequence[int | str]) -> None:
    """Declare an output of the picture's own size."""
    blurred = Value(padded.graph, "blurred")
    for dim in (2, 3):
        padded = padded.cut([0], blurred.size(dim), dim)
    padded.graph.output(name, padded, shape, about)


def _draw(network: LMDViT, padded: Value, pruned: bool) -> None:
    """Put LMD-ViT and its outputs into the graph."""
    g, places = padded.graph, network.predictor_places
    threshold = g.input("threshold", (), _ABOUT_THRESHOLD) if places else None
    drawn = draw_lmdvit(network, padded, threshold, pruned)
    _output("restored", drawn.restored, _ABOUT_RESTORED, _PICTURE)
    _output("gate", drawn.gate, _ABOUT_GATE, _PLANE)
    _output("blur_map", drawn.blur_map, _ABOUT_BLUR_MAP, _PLANE)
    for (stage, shift), keep in zip(places, drawn.keep, strict=True):
        name = f"keep_{stage}_shifted" if shift else f"keep_{stage}"
        shape = ("batch", 1, f"rows_{stage}", f"columns_{stage}")
        g.output(name, keep, shape, f"1 where stage {stage} kept a window, else 0.")


class _Core(nn.Module):
    """A network on padded pictures, with the outputs that all networks have."""

    def __init__(self, network: DeblurringNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, padded: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] -> the picture and [B, 1, H, W]."""
        out = self.network(padded)
        return out.restored, out.blur_map


def _trace(network: DeblurringNetwork, padded: Value) -> None:
    """Put what torch's exporter makes of a network, and its outputs, into the graph."""
    title = FAMILIES[family_of(network.config)].title
    if network.takes_budget or not isinstance(network, _TRACEABLE):
        kind = f"{title} that samples pixels" if network.takes_budget else title
        raise ModelError(
            f"A {kind} cannot be exported to ONNX: torch's exporter comes to no end with it. "
            "LMD-ViT, LBAG, and DMPHN and SRN without sampling can."
        )
    g, step = padded.graph, network.size_step
    most = 2**16 // step
    rows, columns = (torch.export.Dim(side, min=1, max=most) for side in ("rows", "columns"))
    free = {0: torch.export.Dim("batch"), 2: step * rows, 3: step * columns}
    try:
        with torch.no_grad(), _quiet("torch.onnx"):
            program = torch.onnx.export(
                _Core(network).eval(),
                (torch.rand(2, 3, 2 * step, 3 * step),),
                dynamo=True,
                opset_version=g.opset,
                dynamic_shapes=(free,),
                verbose=False,
            )
        assert program is not None, "the new exporter gives a program"
        model = program.model_proto
    except torch.onnx.OnnxExporterError:
        raise ModelError(
            f"{title} cannot be exported: torch's exporter does not take it."
        ) from None
    if (made := model.opset_import[0].version) != g.opset:
        raise ModelError(f"{title} cannot be exported in opset {g.opset}; it can in {made}.")
    restored, blur_map = g.include(model, padded)
    _output("restored", restored, _ABOUT_RESTORED, _PICTURE)
    _output("blur_map", blur_map, _ABOUT_BLUR_MAP, _PLANE)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep what a library logs and warns of to itself: it tells its own developers."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
