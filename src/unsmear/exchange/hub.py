"""Networks on the Hugging Face hub: saved, loaded and pushed with ``PyTorchModelHubMixin``.

A repository holds three files: ``model.safetensors``, our checkpoint, from which everything is read
again; ``config.json``, which the hub counts downloads by; and ``README.md``, the model card.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unsmear.errors import UnsmearError
from unsmear.models import DeblurringNetwork, bundled_weights, load_model, save_model
from unsmear.models.checkpoints import read_checkpoint
from unsmear.models.hub import WEIGHTS, fetch_weights
from unsmear.models.registry import FAMILIES, family_of
from unsmear.models.weights import find_checkpoint

try:
    from huggingface_hub import ModelCard, PyTorchModelHubMixin
except ModuleNotFoundError as missing:
    raise UnsmearError(
        f"The hub needs {missing.name}, which is not installed: pip install 'unsmear[hub]'"
    ) from None

_TEMPLATE = resources.files("unsmear.exchange") / "model_card.md.jinja"
_FACTS = "unsmear.card"


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
        card: the model card's text; by default what ``about`` tells.
        license: of the weights, as the hub names it, such as "apache-2.0". Without one the card
            names none: weights converted from others keep their authors' terms.
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
                ``NAME.safetensors`` comes along.
            license: of the weights; those that come with this package are "apache-2.0".
            **overrides: fields of the network's configuration.

        Raises:
            ModelError: no such name or file, or weights that do not fit.
        """
        path = find_checkpoint(source)
        network = load_model(path, **overrides)
        if license is None and bundled_weights(str(source)):
            license = "apache-2.0"
        if path.is_dir():
            return cls(network, license=license)
        state, about = read_checkpoint(path)
        beside = path.with_suffix(".md")
        card = beside.read_text(encoding="utf-8") if beside.is_file() else ""
        dtype = next(each.dtype for each in state.values() if each.is_floating_point())
        return cls(network, about=about, card=card, license=license, dtype=dtype)

    def forward(self, blurred: Tensor, **wishes: Any) -> Any:
        """What the network makes of [B, 3, H, W]; see its own ``forward``."""
        return self.network(blurred, **wishes)

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
        card = super().generate_model_card(
            *args,
            card=self.card,
            title=FAMILIES[family_of(self.network.config)].title,
            parameters=sum(parameter.numel() for parameter in self.network.parameters()),
            facts=json.loads(self.about.get(_FACTS, "{}")),
            **values,
        )
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
        source = model_id if Path(model_id).is_dir() else fetch_weights(model_id, **of_hub)
        return cls.of(source, **choices)
