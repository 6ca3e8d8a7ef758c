"""Compiled drift detectors with River's names, parameters and detections, and when a detection is worth an alert."""

from stream.drift.alerts import AlertPolicy, Severity, describe, effect_size, severity
from stream.drift.declarations import ADWIN, DDM, KSWIN, Declaration, PageHinkley
from stream.drift.detections import Detection, Detections
from stream.drift.detector import Detector, compile_detector

__all__ = [
    "ADWIN",
    "DDM",
    "KSWIN",
    "AlertPolicy",
    "Declaration",
    "Detection",
    "Detections",
    "Detector",
    "PageHinkley",
    "Severity",
    "compile_detector",
    "describe",
    "effect_size",
    "severity",
]
