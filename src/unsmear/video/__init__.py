"""Clips: frame after frame through the same engine."""

from unsmear.video.run import VideoReport, VideoSettings, deblur_clip

__all__ = ["VideoReport", "VideoSettings", "deblur_clip"]
