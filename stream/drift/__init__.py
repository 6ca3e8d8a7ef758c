"""Compiled drift detectors with River's names, parameters and detections, and when a detection is worth an alert."""

from stream.drift.declarations import ADWIN, DDM, KSWIN, Declaration, PageHinkley
from stream.drift.detections import Detection, Detections
from stream.drift.detector import Detector, compile_detector

__all__ = [
    "ADWIN",
    "DDM",
    "KSWIN",
    "Declaration",
    "Detection",
    "Detections",
    "Detector",
    "PageHinkley",
    "compile_detector",
]
