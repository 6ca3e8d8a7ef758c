"""Features: expressions over columns, their types, their compilation to one kernel, and keyed state."""

from stream.features.choice import when
from stream.features.costs import FeatureCost
from stream.features.expression import Expression, col, lit
from stream.features.key_hashes import key_hashes
from stream.features.places import distance_km, speed_kmh
from stream.features.plan import FeaturePlan, ForeignKey, compile_features
from stream.features.saved import keys_in
from stream.features.state import FeatureMetrics, Features, FeatureState
from stream.features.udf import udf

__all__ = [
    "Expression",
    "FeatureCost",
    "FeatureMetrics",
    "FeaturePlan",
    "FeatureState",
    "Features",
    "ForeignKey",
    "col",
    "compile_features",
    "distance_km",
    "key_hashes",
    "keys_in",
    "lit",
    "speed_kmh",
    "udf",
    "when",
]
