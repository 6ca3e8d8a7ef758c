"""A user's own numba function as an operator."""

import ast
import hashlib
import inspect
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream.errors import ConfigError
from stream.features.expression import Expression, lit

_BUILTINS = frozenset({"abs", "bool", "float", "int", "max", "min", "range", "round"})


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A function of floats, called with expressions: `@udf` makes it.

    NaN is null. `math` means functions with the same bits on every machine. The function becomes part of the fused
    kernel: it may use its arguments, constants and `math`, and other names of its module that hold numbers.
    """

    name: str
    source: str  # a definition that stands alone, under a name made of its content
    parameters: int

    @property
    def compiled_name(self) -> str:
        """The name of the definition in `source`."""
        return self.source.split("(")[0].removeprefix("def ")

    def __call__(self, *operands: Any) -> Expression:
        if len(operands) != self.parameters:
            raise ConfigError(f"udf {self.name} takes {self.parameters} expressions, got {len(operands)}")
        bound = tuple(value if isinstance(value, Expression) else lit(value) for value in operands)
        return Expression("udf", bound, (("definition", self.compiled_name), ("udf", self)))


def udf(function: Callable[..., float]) -> UserFunction:
    """Make a row function of floats an operator that is compiled with the features.

    ```python
    @udf
    def excess(amount, limit):
        return max(0.0, amount - limit)

    features(excess=excess(col("amount"), col("limit")))
    ```

    Raises:
        ConfigError: where the source cannot be read, or uses a name that is neither a number nor `math`.
    """
    name = function.__name__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError) as error:
        raise ConfigError(f"udf {name}: its source cannot be read; define it in a file, with def") from error
    if not isinstance(tree, ast.FunctionDef):
        raise ConfigError(f"udf {name}: expected a function made with def")
    if tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs or tree.args.defaults:
        raise ConfigError(f"udf {name}: only plain positional parameters, without defaults, can be compiled")
    return UserFunction(name, _standalone(tree, function), len(tree.args.args))


def _standalone(tree: ast.FunctionDef, function: Callable[..., float]) -> str:
    """The function's text with every free name replaced by what it stands for, named after its content."""
    tree.decorator_list = []
    tree.returns = None
    for argument in tree.args.args:
        argument.annotation = None
    if isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant) and len(tree.body) > 1:
        del tree.body[0]  # the docstring
    _FreeNames(function, tree).visit(tree)
    tree.name = "udf"
    tree.name = "udf_" + hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]
    return ast.unparse(ast.fix_missing_locations(tree))


class _FreeNames(ast.NodeTransformer):
    """Replaces names from outside the function: numbers by their values, the module math by its name here."""

    def __init__(self, function: Callable[..., float], tree: ast.FunctionDef) -> None:
        closure = inspect.getclosurevars(function)
        self._function = function.__name__
        self._outside = {**closure.globals, **closure.nonlocals}
        assigned = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self._inside = assigned | {argument.arg for argument in tree.args.args}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._inside or (node.id not in self._outside and node.id in _BUILTINS):
            return node
        value = self._outside.get(node.id)
        if isinstance(value, bool | int | float):
            return ast.Constant(value) if value == value and abs(value) != math.inf else _not_finite(value)
        if value is math:
            return ast.Name("math", ast.Load())
        raise ConfigError(
            f"udf {self._function}: {node.id} is neither a number nor the module math; compute it inside the function"
        )


def _not_finite(value: float) -> ast.expr:
    return ast.parse("math.nan" if value != value else ("math.inf" if value > 0 else "-math.inf"), mode="eval").body
