"""Measures of restored pictures and of kept windows."""

from unsmear.metrics.masks import MaskAgreement, mask_agreement, mean_agreement
from unsmear.metrics.psnr import psnr, weighted_psnr
from unsmear.metrics.ssim import masked_mean, ssim, ssim_map, weighted_ssim
from unsmear.metrics.windows import WindowAgreement, kept_pixels, window_agreement

__all__ = [
    "MaskAgreement",
    "WindowAgreement",
    "kept_pixels",
    "mask_agreement",
    "masked_mean",
    "mean_agreement",
    "psnr",
    "ssim",
    "ssim_map",
    "weighted_psnr",
    "weighted_ssim",
    "window_agreement",
]
