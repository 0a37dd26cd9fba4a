"""From photo to deblurred photo."""

from unsmear.inference.deblurrer import Deblurred, Deblurrer
from unsmear.inference.report import KeptWindows, Report
from unsmear.inference.steering import Steering

__all__ = ["Deblurred", "Deblurrer", "KeptWindows", "Report", "Steering"]
