#!/usr/bin/env python3
"""GIMP 3: deblur a layer, or what is selected of it, into a new layer above it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import gi
from deblurring import DeblurringError, Wishes, deblur, write_grey_png

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
gi.require_version("GimpUi", "3.0")
from gi.repository import Gegl, Gimp, GimpUi, Gio, GLib, GObject  # noqa: E402

NAME = "plug-in-unsmear"
QUIETLY = Gimp.RunMode.NONINTERACTIVE
NOTHING_FOUND = "Nothing was changed: no motion blur was found, or the change would not show."
NOTHING_MARKED = (
    "Nothing was changed in what is selected of the layer; changes fade near its border: "
    "select more."
)


class Unsmear(Gimp.PlugIn):
    """The plug-in; GIMP calls these methods by their names."""

    def do_set_i18n(self, name: str) -> bool:
        """Say that nothing is translated."""
        return False

    def do_query_procedures(self) -> list[str]:
        """Name what there is."""
        return [NAME]

    def do_create_procedure(self, name: str) -> Any:
        """Describe it: menu entry and choices."""
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label("_Deblur what moved (unsmear)...")
        procedure.add_menu_path("<Image>/Filters/Enhance")
        procedure.set_attribution("The unsmear authors", "Apache-2.0", "2025")
        procedure.set_documentation(
            "Remove motion blur where something moved",
            "A network finds what moved and restores it in a new layer. A selection says where to "
            "deblur instead. The command unsmear must be installed.",
            name,
        )
        chosen, both = Wishes(), GObject.ParamFlags.READWRITE
        procedure.add_double_argument(
            "threshold",
            "_Threshold",
            "How sure of blur; lower touches more. Without effect where there is a selection.",
            *(0.0, 1.0, chosen.threshold, both),
        )
        procedure.add_double_argument(
            "strength",
            "_Strength",
            "Share of the change that is applied.",
            *(0.0, 1.0, chosen.strength, both),
        )
        procedure.add_string_argument(
            "model", "_Model", "A name or a checkpoint's path.", chosen.model, both
        )
        procedure.add_string_argument(
            "command", "_Command", "Name or path of the command unsmear.", chosen.command, both
        )
        return procedure


def run(
    procedure: Any, run_mode: Any, image: Any, drawables: list[Any], config: Any, _data: Any
) -> Any:
    """Ask, deblur, and tell GIMP how it went; it shows errors itself."""

    def ended(status: Any, problem: str = "") -> Any:
        error = GLib.Error(problem) if problem else GLib.Error()
        return procedure.new_return_values(status, error)

    if run_mode == Gimp.RunMode.INTERACTIVE and not _ask(procedure, config):
        return ended(Gimp.PDBStatusType.CANCEL)
    if len(drawables) != 1 or not isinstance(drawables[0], Gimp.Layer) or drawables[0].is_group():
        return ended(Gimp.PDBStatusType.CALLING_ERROR, "Choose one layer that is no group.")
    wishes = Wishes(**{name: config.get_property(name) for name in Wishes._fields})
    Gegl.init(None)
    Gimp.progress_init("Deblurring")
    try:
        if not deblur_layer(image, drawables[0], wishes):
            Gimp.message(NOTHING_FOUND if Gimp.Selection.is_empty(image) else NOTHING_MARKED)
    except DeblurringError as problem:
        return ended(Gimp.PDBStatusType.EXECUTION_ERROR, str(problem))
    Gimp.displays_flush()
    return ended(Gimp.PDBStatusType.SUCCESS)


def deblur_layer(image: Any, layer: Any, wishes: Wishes) -> bool:
    """Deblur a layer into a new one above it; gives whether there was anything to do.

    Raises:
        DeblurringError: the command is not there, or could not do it.
    """
    with tempfile.TemporaryDirectory(prefix="unsmear-") as folder:
        photo, result, mask = (Path(folder, name) for name in ("in.png", "out.png", "mask.png"))
        write_layer(image, layer, photo)
        selected = write_selection(image, layer, mask)
        if not deblur(photo, result, wishes, mask if selected else None):
            return False
        image.undo_group_start()
        try:
            insert_result(image, layer, result)
        finally:
            image.undo_group_end()
        return True


def write_layer(image: Any, layer: Any, path: Path) -> None:
    """Write a layer by itself, whole and opaque as it is, in the image's depth and profile."""
    alone = Gimp.Image.new_with_precision(
        layer.get_width(), layer.get_height(), image.get_base_type(), image.get_precision()
    )
    try:
        profile = image.get_color_profile()
        if profile is not None:
            alone.set_color_profile(profile)
        copy = Gimp.Layer.new_from_drawable(layer, alone)
        alone.insert_layer(copy, None, 0)
        if copy.get_mask() is not None:
            copy.remove_mask(Gimp.MaskApplyMode.DISCARD)
        copy.set_offsets(0, 0)
        copy.set_opacity(100.0)
        copy.set_mode(Gimp.LayerMode.NORMAL)
        copy.set_visible(True)
        Gimp.file_save(QUIETLY, alone, Gio.File.new_for_path(str(path)), None)
    finally:
        alone.delete()
    if not path.is_file():
        raise DeblurringError("GIMP could not write the layer to a temporary PNG file.")


def write_selection(image: Any, layer: Any, path: Path) -> bool:
    """Write what is selected of a layer, white where it is; gives whether anything is."""
    if Gimp.Selection.is_empty(image):
        return False
    _, x, y = layer.get_offsets()
    width, height = layer.get_width(), layer.get_height()
    area = Gegl.Rectangle.new(x, y, width, height)
    buffer = image.get_selection().get_buffer()
    levels = buffer.get(area, 1.0, "Y u8", Gegl.AbyssPolicy.NONE)  # black beyond the image
    write_grey_png(path, width, height, bytes(levels))
    return True


def insert_result(image: Any, layer: Any, path: Path) -> None:
    """Put a picture file above a layer, as a layer of its own."""
    made = Gimp.file_load_layer(QUIETLY, image, Gio.File.new_for_path(str(path)))
    made.set_name(f"{layer.get_name()}, deblurred")
    image.insert_layer(made, layer.get_parent(), image.get_item_position(layer))
    _, x, y = layer.get_offsets()
    made.set_offsets(x, y)


def _ask(procedure: Any, config: Any) -> bool:
    GimpUi.init(NAME)
    dialog = GimpUi.ProcedureDialog.new(procedure, config, "Deblur what moved")
    dialog.fill(None)
    agreed = dialog.run()
    dialog.destroy()
    return agreed


Gimp.main(Unsmear.__gtype__, sys.argv)
