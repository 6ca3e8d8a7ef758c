"""Half-space trees, in River's order of operations.

All trees lie in State.table, a node a row: (feature, threshold, mass of this window, mass of the last window). A tree
is complete, its nodes numbered by level: the children of node k are 2 k + 1 and 2 k + 2.
"""

from stream.kernels import kernel
from stream.kernels.pages import before_write
from stream.models.kernels.arguments import IS_FIRST_WINDOW, WINDOW_FILLED, State
from stream.records import Floats

TREES = 0
HEIGHT = 1
WINDOW = 2


@kernel
def next_node(nodes: Floats, first: int, node: int, x: Floats) -> int:
    """The child that x falls into; where the feature is missing, the one with more mass (the left among equals)."""
    left = 2 * node + 1
    value = x[int(nodes[first + node, 0])]
    if value != value:
        return left + 1 if nodes[first + left, 2] < nodes[first + left + 1, 2] else left
    return left if value < nodes[first + node, 1] else left + 1


@kernel
def score_trees(x: Floats, state: State, parameters: Floats) -> float:
    """0 in the first window, then from 0 (usual) to 1 (where the last window had nothing)."""
    if state.scalars[IS_FIRST_WINDOW] == 1.0:
        return 0.0
    height = int(parameters[HEIGHT])
    size = (1 << (height + 1)) - 1
    size_limit = 0.1 * parameters[WINDOW]
    score = 0.0
    for tree in range(int(parameters[TREES])):
        node = 0
        tree_score = 0.0
        weight = 1.0
        for level in range(height + 1):
            mass = state.table[tree * size + node, 3]
            tree_score += mass * weight
            if level == height or mass < size_limit:
                break
            node = next_node(state.table, tree * size, node, x)
            weight *= 2.0
        score += tree_score
    return float(1.0 - score / (parameters[TREES] * parameters[WINDOW] * size))


@kernel
def learn_trees(x: Floats, state: State, parameters: Floats) -> None:
    """Add x to the mass of the nodes on its path in every tree; at the window's end, the masses move on."""
    height = int(parameters[HEIGHT])
    size = (1 << (height + 1)) - 1
    for tree in range(int(parameters[TREES])):
        node = 0
        for level in range(height + 1):
            before_write(state.pages, tree * size + node)
            state.table[tree * size + node, 2] += 1.0
            if level < height:
                node = next_node(state.table, tree * size, node, x)
    state.scalars[WINDOW_FILLED] += 1.0
    if state.scalars[WINDOW_FILLED] == parameters[WINDOW]:
        start_window(state)


@kernel
def start_window(state: State) -> None:
    for node in range(state.table.shape[0]):
        before_write(state.pages, node)
        state.table[node, 3] = state.table[node, 2]
        state.table[node, 2] = 0.0
    state.scalars[IS_FIRST_WINDOW] = 0.0
    state.scalars[WINDOW_FILLED] = 0.0
