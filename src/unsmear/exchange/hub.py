"""Networks on the Hugging Face hub: saved, loaded and pushed with ``PyTorchModelHubMixin``.

A repository holds three files: ``model.safetensors``, our checkpoint, from which everything is read
again; ``config.json``, which the hub counts downloads by; and ``README.md``, the model card.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unsmear.errors import ModelError, OutputError, UnsmearError
from unsmear.models import DeblurringNetwork, bundled_weights, load_model, save_model
from unsmear.models.hub import WEIGHTS, fetch_weights
from unsmear.models.registry import FAMILIES, family_of
from unsmear.models.weights import find_checkpoint, stored_as

try:
    from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
    from yaml import YAMLError
except ModuleNotFoundError as missing:
    raise UnsmearError(
        f"The hub needs {missing.name}, which is not installed: pip install 'unsmear[hub]'"
    ) from None

_TEMPLATE = resources.files("unsmear.exchange") / "model_card.md.jinja"
_FACTS = "unsmear.card"
_CARD = "README.md"
_USE = re.compile(r"^## Use\n\nWith unsmear .*?^```python\n.*?^```\n*", re.M | re.S)
"""What the template ends with, which names the repository that a card was made for."""


class HubModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="unsmear",
    pipeline_tag="image-to-image",
    tags=["deblurring", "motion-blur", "image-restoration"],
    model_card_template=_TEMPLATE.read_text(encoding="utf-8"),
):
    """A network with the hub's methods: ``from_pretrained``, ``save_pretrained``, ``push_to_hub``.

    ``HubModel.of("lmdvit-tiny").push_to_hub("owner/name")`` publishes a network, and
    ``HubModel.from_pretrained("owner/name").network`` is the same one again, in eval mode; so is
    ``unsmear.load_model("hf://owner/name")``.

    Args:
        network: any network of this package.
        about: strings to keep with the weights, such as a checkpoint's own metadata.
        card: the model card's text, which may begin with fields between ``---``, as the hub has
            them; by default what ``about`` tells.
        license: of the weights, as the hub names it, such as "apache-2.0"; by default that of
            ``card``. Without one the card names none: weights converted from others keep their
            authors' terms.
        dtype: store the weights in this type; default as they are.
    """

    def __init__(
        self,
        network: DeblurringNetwork,
        *,
        about: Mapping[str, str] | None = None,
        card: str = "",
        license: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.about = dict(about or {})
        self.card = card
        self.license = license
        self.dtype = dtype
        self.train(network.training)

    @classmethod
    def of(cls, source: str | Path, *, license: str | None = None, **overrides: Any) -> HubModel:
        """A network with all that is known of it, to be stored in the type it was stored in.

        Args:
            source: as in :func:`unsmear.load_model`. A card ``NAME.md`` beside a checkpoint
                ``NAME.safetensors`` comes along, as does that of a folder which was saved here.
            license: of the weights; those that come with this package are "apache-2.0".
            **overrides: fields of the network's configuration.

        Raises:
            ModelError: no such name or file, weights that do not fit, or a card whose fields are no
                YAML.
        """
        path = find_checkpoint(source)
        network = load_model(path, **overrides)
        if license is None and bundled_weights(str(source)):
            license = "apache-2.0"
        dtype, about = stored_as(path)
        return cls(network, about=about, card=_card_beside(path), license=license, dtype=dtype)

    def forward(self, blurred: Tensor, **wishes: Any) -> Any:
        """What the network makes of [B, 3, H, W]; see its own ``forward``."""
        return self.network(blurred, **wishes)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **choices: Any) -> HubModel:
        """Open a folder that was saved, or a repository on the hub.

        Args:
            pretrained_model_name_or_path: the folder, or "owner/name".
            **choices: those of ``PyTorchModelHubMixin.from_pretrained``, such as ``revision`` or
                ``token``; the others are overrides of the configuration.

        Raises:
            ModelError: there is neither, or it cannot be read.
        """
        source = str(pretrained_model_name_or_path)
        try:
            return super().from_pretrained(source, **choices)
        except (OSError, ValueError) as error:  # what the hub raises: its own kinds of both
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{source!r} cannot be opened, as a folder or from the hub: {reason}"
            ) from None

    def save_pretrained(self, save_directory: str | Path, **choices: Any) -> str | None:
        """Write weights, configuration and card into a folder; a card that is there stays.

        Args:
            save_directory: the folder; it is made where it is not there.
            **choices: those of ``PyTorchModelHubMixin.save_pretrained``.

        Raises:
            OutputError: there can be no such folder, or the disk does not take the weights.
        """
        try:
            Path(save_directory).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The folder {save_directory} cannot be made ({error.strerror}): give another."
            ) from None
        return super().save_pretrained(save_directory, **choices)

    def push_to_hub(
        self, repo_id: str, *, model_card_kwargs: dict[str, Any] | None = None, **choices: Any
    ) -> str:
        """Upload weights, configuration and card in one commit; gives its address.

        Args:
            repo_id: "owner/name"; it is made where it is not there.
            model_card_kwargs: more values for the card's template.
            **choices: those of ``PyTorchModelHubMixin.push_to_hub``, such as ``private``,
                ``token``, ``branch``, ``commit_message``, ``create_pr``.
        """
        values = {"repo_id": repo_id, **(model_card_kwargs or {})}
        return super().push_to_hub(repo_id, model_card_kwargs=values, **choices)

    def generate_model_card(self, *args: Any, **values: Any) -> ModelCard:
        """The model card; ``values`` go to its template."""
        told = ModelCard(self.card) if self.card.startswith("---") else None
        text = told.text if told else self.card
        card = super().generate_model_card(
            *args,
            card=_USE.sub("", text).strip(),
            title=FAMILIES[family_of(self.network.config)].title,
            parameters=sum(parameter.numel() for parameter in self.network.parameters()),
            facts=json.loads(self.about.get(_FACTS, "{}")),
            **values,
        )
        for field, value in (told.data.to_dict() if told else {}).items():
            card.data[field] = value
        if self.license is not None:
            card.data["license"] = self.license
        return card

    def _save_pretrained(self, save_directory: Path) -> None:
        path = save_directory / WEIGHTS
        save_model(self.network, path, dtype=self.dtype, metadata=self.about)
        config = self.network.config
        named = {"architecture": family_of(config), **dataclasses.asdict(config)}
        (save_directory / "config.json").write_text(json.dumps(named, indent=2) + "\n")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **choices: Any) -> HubModel:
        """Open a folder or a repository; the other choices are overrides of the configuration."""
        hubs = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        of_hub = {name: choices.pop(name) for name in hubs}
        if Path(model_id).is_dir():
            return cls.of(model_id, **choices)
        weights = fetch_weights(model_id, **of_hub)
        with contextlib.suppress(OSError):  # a repository may be without a card
            hf_hub_download(model_id, _CARD, **of_hub)  # it comes to lie beside the weights
        return cls.of(weights, **choices)


def _card_beside(path: Path) -> str:
    """The text of a checkpoint's card; empty where it has none."""
    beside = path.with_suffix(".md")
    if beside.is_file():
        return _read_card(beside)
    saved = path.with_name(_CARD)
    text = _read_card(saved) if path.name == WEIGHTS and saved.is_file() else ""
    return text if "library_name: unsmear" in text else ""


def _read_card(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
        ModelCard(text)  # its fields are YAML
    except (ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"The model card {path} cannot be read: {reason}. Mend it, or move it away."
        ) from None
    return text
