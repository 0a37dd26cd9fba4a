"""spandrel, which the tests of this machine may have without a torchvision that fits its torch."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def spandrel() -> Iterator[ModuleType]:
    """spandrel itself, over a stand-in for the three names of torchvision that it imports.

    Two of its architectures use them when they run; none of these runs here.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            module = ModuleType(name)
            for needed in ("InterpolationMode", "rotate", "normalize"):
                setattr(module, needed, None)
            patch.setitem(sys.modules, name, module)
        yield pytest.importorskip("spandrel")
    for name in list(sys.modules):
        if name.split(".")[0] == "spandrel" or name == "unsmear.exchange.spandrel":
            del sys.modules[name]
