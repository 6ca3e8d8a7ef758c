"""Half-space trees: River's, by River's name and parameters."""

import random
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from stream.errors import ConfigError
from stream.kernels.pages import new_pages
from stream.models.declaration import check_whole, declaration
from stream.models.estimator import Estimator, Scaler, Steps
from stream.models.kernels.arguments import IS_FIRST_WINDOW, State
from stream.models.task import Task, TaskKind
from stream.records import FeatureLayout, Floats

Interval = tuple[float, float]
Limits = Mapping[str, Interval] | tuple[tuple[str, Interval], ...]
PADDING = 0.15  # River's: no split in the outer 15 % of a node's interval
SCALARS = 5


@declaration
class HalfSpaceTrees(Estimator):
    """Anomaly detector of Tan, Ting and Liu 2011 (river.anomaly.HalfSpaceTrees), for inputs between 0 and 1.

    Put a MinMaxScaler before it, or give each feature's `limits`. A seed draws the very trees that River draws. No
    label is needed: every event is learned from at its arrival, and the score is 0 during the first `window_size` ones.
    Only dense inputs are used. River's trees split on the features of the first event, these on all dense ones.
    """

    n_trees: int = 10  # trees
    height: int = 8  # of each tree
    window_size: int = 250  # events after which masses are exchanged
    limits: Limits | None = None  # smallest and largest value by feature's name; 0 to 1 if None
    seed: int | None = None  # of the splits; it must be given

    tasks: ClassVar[tuple[TaskKind, ...]] = (TaskKind.ANOMALY, TaskKind.BINARY)

    def __post_init__(self) -> None:
        check_whole(self, "n_trees", least=1, most=1000)
        check_whole(self, "height", least=1, most=15)
        check_whole(self, "window_size", least=1, most=1_000_000)
        if self.seed is None:
            raise ConfigError("HalfSpaceTrees.seed is None: give a number, so that every run draws the same trees")
        check_whole(self, "seed", least=0, most=2**63 - 1)
        object.__setattr__(self, "limits", tuple(sorted(dict(self.limits or ()).items())))
        for name, (low, high) in self.intervals.items():
            if not -1e100 < low < high < 1e100:
                raise ConfigError(
                    f"HalfSpaceTrees.limits[{name!r}] is ({low}, {high}): expected a lower, then an upper"
                )

    @property
    def intervals(self) -> dict[str, Interval]:
        """Limits by the feature's name."""
        return dict(self.limits or ())

    def check(self, task: Task, layout: FeatureLayout, scalers: tuple[Scaler, ...]) -> None:
        Estimator.check(self, task, layout, scalers)
        if not layout.dense:
            raise ConfigError("HalfSpaceTrees needs at least one dense (numeric) feature: the app has none")
        unknown = [name for name in self.intervals if name not in layout.dense]
        if unknown:
            raise ConfigError(
                f"HalfSpaceTrees.limits names {', '.join(unknown)}: the dense features are {', '.join(layout.dense)}"
            )

    def steps(self) -> Steps:
        return Steps(
            imports=("stream.models.kernels.half_space_trees:learn_trees score_trees",),
            setup=(),
            learns="is_arrival",
            score=("out.scores[i, 0] = score_trees(x, state, parameters)",),
            prepare=(),
            learn=("learn_trees(x, state, parameters)",),
        )

    def parameters(self, task: Task) -> Floats:
        return np.array([self.n_trees, self.height, self.window_size], dtype=np.float64)

    def first_state(self, layout: FeatureLayout, task: Task, scalers: Floats) -> State:
        nodes = self.nodes(layout.dense)
        scalars = np.zeros(SCALARS)
        scalars[IS_FIRST_WINDOW] = 1.0
        return State(
            scalars=scalars,
            scalers=scalers,
            weights=np.zeros((0, 1)),
            table=nodes,
            pages=new_pages(len(nodes)),
            group_ends=np.zeros(0, dtype=np.int64),
        )

    def nodes(self, names: tuple[str, ...]) -> Floats:
        """(trees * nodes, 4): all trees, drawn as River draws them from features in alphabetical order."""
        generator = random.Random(self.seed)
        limits = {name: self.intervals.get(name, (0.0, 1.0)) for name in sorted(names)}
        size = (1 << (self.height + 1)) - 1
        nodes = np.zeros((self.n_trees * size, 4))
        for tree in range(self.n_trees):
            draw_tree(nodes[tree * size : (tree + 1) * size], 0, limits, self.height, generator, names)
        return nodes

    def to_river(self) -> Any:
        from river import anomaly

        return anomaly.HalfSpaceTrees(
            n_trees=self.n_trees,
            height=self.height,
            window_size=self.window_size,
            limits=self.intervals,
            seed=self.seed,
        )


def draw_tree(
    nodes: Floats, node: int, limits: dict[str, Interval], height: int, generator: random.Random, names: tuple[str, ...]
) -> None:
    """Fill the subtree at `node`: a feature weighted by its interval's width, then a split within it."""
    if height == 0:
        nodes[node, 0] = -1.0
        return
    name = generator.choices(list(limits), weights=[high - low for low, high in limits.values()])[0]
    low, high = limits[name]
    split = generator.uniform(low + PADDING * (high - low), high - PADDING * (high - low))
    nodes[node, 0] = names.index(name)
    nodes[node, 1] = split
    limits[name] = (low, split)
    draw_tree(nodes, 2 * node + 1, limits, height - 1, generator, names)
    limits[name] = (split, high)
    draw_tree(nodes, 2 * node + 2, limits, height - 1, generator, names)
    limits[name] = (low, high)
