"""From a declaration to a model that runs."""

from stream.errors import ConfigError
from stream.models.compiled import CompiledModel
from stream.models.declaration import Declaration
from stream.models.model import Model, ScaleAt
from stream.models.river_declaration import is_river
from stream.models.task import Task
from stream.records import FeatureLayout


def compile_model(declared: object, layout: FeatureLayout, task: Task, scale_at: ScaleAt = ScaleAt.ARRIVAL) -> Model:
    """A new, untaught model for features of `layout`.

    `declared` is a declaration of stream.models (its kernel is compiled at the first batch, which may be empty), or an
    estimator or pipeline of River, which runs at River's own speed and is not touched: the model works on a clone.

    Raises ConfigError where declaration, layout and task do not go together, or where River's object is not
    reproducible (a parameter `seed=None`) or cannot be stored.
    """
    if isinstance(declared, Declaration):
        return CompiledModel(declared, layout, task, scale_at)
    if is_river(declared):
        from stream.models.river_adapter import RiverModel

        return RiverModel(declared, layout, task, scale_at)
    raise ConfigError(
        f"{declared!r} is no model: expected a declaration such as "
        f"models.StandardScaler() | models.LogisticRegression(), or an estimator of River"
    )
