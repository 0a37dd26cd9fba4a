import pytest
import torch

from unsmear.layers.content_aware import ContentAware


def test_fusion_goes_from_the_filter_to_the_attention():
    torch.manual_seed(0)
    module, x = ContentAware(4, 3), torch.randn(2, 4, 5, 6)
    pixels = x.flatten(2)
    torch.nn.init.zeros_(module.fusion.weight)
    attended, filtered = (
        module.self_attention(pixels, pixels, pixels),
        module.filter(x, pixels, None),
    )
    for bias, wanted in ((-50.0, filtered), (50.0, attended), (0.0, (attended + filtered) / 2)):
        torch.nn.init.constant_(module.fusion.bias, bias)
        torch.testing.assert_close(module(x, pixels, x), wanted)


def test_cross_attention_is_added_to_self_attention():
    torch.manual_seed(0)
    module, x = ContentAware(4, 3, cross_attention=True), torch.randn(1, 4, 5, 6)
    encoder, pixels = torch.randn(1, 4, 5, 6), x.flatten(2)
    torch.nn.init.constant_(module.fusion.bias, 50.0)
    wanted = module.self_attention(pixels, pixels, pixels)
    wanted = wanted + module.cross_attention(encoder.flatten(2), pixels, pixels)
    torch.testing.assert_close(module(x, pixels, x, encoder=encoder), wanted)


@pytest.mark.parametrize("switch", ["kernels", "offsets", "masks", "self_attention"])
def test_every_switch_takes_its_parameters_along(switch):
    def names(module):
        return {name for name, _ in module.named_parameters()}

    gone = {
        "kernels": {"filter.kernel_head"},
        "offsets": {"filter.offset_head"},
        "masks": {"self_attention.pixel_mask", "self_attention.channel_mask"},
        "self_attention": {
            "fusion",
            *(f"self_attention.{part}" for part in ("collect", "distribute")),
            *(f"self_attention.{part}" for part in ("pixel_mask", "channel_mask")),
        },
    }[switch]
    lost = names(ContentAware(4, 3)) - names(ContentAware(4, 3, **{switch: False}))
    assert lost == {f"{layer}.{kind}" for layer in gone for kind in ("weight", "bias")}
