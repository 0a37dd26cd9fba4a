"""A small photo and small networks of every family."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unsmear.models import DeblurringNetwork, LMDViT, LMDViTConfig
from unsmear.models.dmphn import DMPHN, DMPHNConfig
from unsmear.models.lbag import LBAG, LBAGConfig
from unsmear.models.saphn import ABLATIONS, SAPHN, SAPHNConfig
from unsmear.models.srn import SRN, SRNConfig

SIZE = (40, 56)


def photo(height: int = SIZE[0], width: int = SIZE[1]) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def lmdvit(**changes: object) -> LMDViT:
    """Two predictors a stage, on windows of 2 x 2 tokens; a photo of 40 x 56 needs padding."""
    torch.manual_seed(0)
    sizes = {"embed_dim": 4, "depths": (2,) * 9, "num_heads": (1,) * 9, "window_size": 2}
    return LMDViT(LMDViTConfig(**(sizes | changes))).eval()


def saphn(**changes: object) -> SAPHN:
    """With filters that say something else for every pixel; fresh ones do not."""
    torch.manual_seed(0)
    network = SAPHN(SAPHNConfig(**({"widths": (4, 5, 6), "maps": 4} | changes)))
    for name, parameter in network.named_parameters():
        if name.endswith(("kernel_head.weight", "offset_head.weight")):
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


NOTHING = ABLATIONS["net1"]
NETWORKS: dict[str, Callable[[], DeblurringNetwork]] = {
    "lmdvit": lmdvit,
    "lmdvit-unpruned": lambda: lmdvit(pruned_stages=()),
    "saphn": saphn,
    "saphn-uniform": lambda: saphn(sampling=False, progressive=False),
    "saphn-bare": lambda: saphn(**NOTHING),
    "lbag": lambda: LBAG(LBAGConfig(embed_dim=4, blocks=1)),
    "dmphn": lambda: DMPHN(DMPHNConfig(embed_dim=2)),
    "dmphn-nu": lambda: DMPHN(DMPHNConfig(embed_dim=2, sampling=True)),
    "srn": lambda: SRN(SRNConfig(embed_dim=2, blocks=1)),
    "srn-nu": lambda: SRN(SRNConfig(embed_dim=2, blocks=1, sampling=True)),
}


def network(name: str) -> DeblurringNetwork:
    torch.manual_seed(0)
    return NETWORKS[name]().eval()
