"""Linear models: River's, by River's names and parameters."""

from typing import Any, ClassVar

import numpy as np

from stream.errors import ConfigError
from stream.kernels.pages import new_pages
from stream.models.declaration import check_kind, check_number, check_whole, declaration
from stream.models.estimator import Estimator, Steps, group_ends
from stream.models.kernels.arguments import (
    BETA_1_POWER,
    BETA_2_POWER,
    CLIP,
    INITIAL_WEIGHT,
    INTERCEPT,
    INTERCEPT_RATE,
    L1,
    L2,
    LINEAR_PARAMETERS,
    LOSS,
    OPTIMIZER,
    RATE,
    State,
)
from stream.models.losses import BinaryLoss, Log, Loss, RegressionLoss, Squared
from stream.models.optimizers import SGD, Optimizer
from stream.models.schedules import Constant, Rate, Zeros, check_rate, rate_kernel, rate_numbers, river_rate
from stream.models.task import Task, TaskKind
from stream.records import FeatureLayout, Floats

LINEAR_SCALARS = 8
ARGUMENTS = "stream.models.kernels.arguments"
LINEAR = "stream.models.kernels.linear"
SCORE = (
    "out.scores[i, 0] = mean(total)",
    "name_strongest(products, out, i)",
)
SETUP = ("products = work.terms",)
SUM = ("total = linear_sum(rows, i, x, state, products)",)


class LinearModel(Estimator):
    """A model with one weight a feature."""

    __slots__ = ()

    def terms(self, layout: FeatureLayout, task: Task) -> int:
        return len(layout.dense) + len(layout.sparse)

    def metrics(self, state: State) -> dict[str, float]:
        squares = sum(float(np.nansum(np.square(weights[:, 0]))) for weights in (state.weights, state.table))
        return {"weight_norm": float(np.sqrt(squares)), "intercept": float(state.scalars[INTERCEPT])}


class GeneralizedLinearModel(LinearModel):
    """What LogisticRegression and LinearRegression share (river.linear_model.base.GLM)."""

    __slots__ = ()
    losses: ClassVar[type[Loss]]

    def __post_init__(self) -> None:
        check_kind(self, "optimizer", Optimizer)
        check_kind(self, "loss", self.losses)
        check_number(self, "l2", least=0.0)
        check_number(self, "l1", least=0.0)
        check_number(self, "intercept_init")
        check_rate(self, "intercept_lr")
        # More than River's default would let one event overflow a weight.
        check_number(self, "clip_gradient", above=0.0, most=1e12)
        check_kind(self, "initializer", Zeros, Constant)
        if self.l1 and self.l2:
            raise ConfigError(
                f"{type(self).__name__}: l1 and l2 exclude each other (as in River); set one of them to 0"
            )
        if self.l1 and self.optimizer.schedule is None:
            raise ConfigError(
                f"{type(self).__name__}.l1 needs an optimizer with a learning rate; give l1 to FTRLProximal itself"
            )

    optimizer: Optimizer
    loss: Loss
    l2: float
    l1: float
    intercept_init: float
    intercept_lr: Rate
    clip_gradient: float
    initializer: Zeros | Constant

    def steps(self) -> Steps:
        optimizer = self.optimizer.kernel
        starts = self.initializer.value != 0.0
        return Steps(
            imports=(
                f"{ARGUMENTS}:CLIP CUMULATED_L1 INITIAL_WEIGHT INTERCEPT INTERCEPT_RATE ITERATIONS L1 L2 RATE",
                f"{LINEAR}:linear_sum name_strongest start_weights",
                f"stream.models.kernels.losses:{self.loss.mean}=mean {self.loss.gradient}=loss_gradient",
                f"stream.models.kernels.optimizers:{optimizer}=step {optimizer}_rate=optimizer_rate penalise",
                f"stream.models.kernels.optimizers:{self.optimizer.rate_kernel}=learning_rate",
                f"stream.models.kernels.optimizers:{rate_kernel(self.intercept_lr)}=intercept_rate",
                "stream.kernels.pages:before_write",
                f"stream.models.kernels.rows:{'is_binary' if self.losses is BinaryLoss else 'is_number'} usable",
            ),
            setup=SETUP,
            learns=f"{'is_binary' if self.losses is BinaryLoss else 'is_number'}(targets[i], state)",
            score=SCORE,
            prepare=SUM,
            learn=(("start_weights(rows, i, x, state, parameters[INITIAL_WEIGHT])", *SUM) if starts else ()) + DESCEND,
        )

    def parameters(self, task: Task) -> Floats:
        parameters = np.zeros(LINEAR_PARAMETERS)
        parameters[L2] = self.l2
        parameters[L1] = self.l1
        parameters[CLIP] = self.clip_gradient
        parameters[RATE : RATE + 2] = self.optimizer.rate_numbers
        parameters[INTERCEPT_RATE : INTERCEPT_RATE + 2] = rate_numbers(self.intercept_lr)
        parameters[LOSS : LOSS + len(self.loss.numbers)] = self.loss.numbers
        parameters[INITIAL_WEIGHT] = self.initializer.value
        parameters[OPTIMIZER : OPTIMIZER + len(self.optimizer.numbers)] = self.optimizer.numbers
        return parameters

    def first_state(self, layout: FeatureLayout, task: Task, scalers: Floats) -> State:
        slots = 1 + self.optimizer.slots + (self.l1 != 0.0)
        state = linear_state(layout, slots, scalers)
        state.scalars[INTERCEPT] = self.intercept_init
        state.scalars[BETA_1_POWER] = state.scalars[BETA_2_POWER] = 1.0
        if self.initializer.value != 0.0:
            state.weights[:, 0] = state.table[:, 0] = np.nan  # not learned yet: worth nothing until it is
        return state

    def to_river(self) -> Any:
        from river import linear_model

        return getattr(linear_model, type(self).__name__)(
            optimizer=self.optimizer.to_river(),
            loss=self.loss.to_river(),
            l2=self.l2,
            l1=self.l1,
            intercept_init=self.intercept_init,
            intercept_lr=river_rate(self.intercept_lr),
            clip_gradient=self.clip_gradient,
            initializer=self.initializer.to_river(),
        )


# GLM._fit: the intercept by the rate before the step, the weights, then the L1 penalty by the rate after it.
DESCEND = (
    "gradient = loss_gradient(targets[i], total, parameters)",
    "gradient = max(min(gradient, parameters[CLIP]), -parameters[CLIP])",
    "iterations = state.scalars[ITERATIONS]",
    "state.scalars[ITERATIONS] = iterations + 1.0",
    "state.scalars[INTERCEPT] -= intercept_rate(parameters, INTERCEPT_RATE, iterations) * gradient",
    "rate = optimizer_rate(learning_rate(parameters, RATE, iterations), state, parameters)",
    "l1 = parameters[L1]",
    "l2 = parameters[L2]",
    "if l1 != 0.0:",
    "    state.scalars[CUMULATED_L1] += l1 * learning_rate(parameters, RATE, iterations + 1.0)",
    "for j in range(x.shape[0]):",
    "    if x[j] == x[j]:",
    "        step(state.weights, j, gradient * x[j] + l2 * state.weights[j, 0], rate, parameters)",
    "        if l1 != 0.0:",
    "            penalise(state.weights, j, state.scalars[CUMULATED_L1])",
    "for entry in range(rows.indptr[i], rows.indptr[i + 1]):",
    "    value = rows.values[entry]",
    "    index = rows.indices[entry]",
    "    if usable(value):",
    "        before_write(state.pages, index)",
    "        step(state.table, index, gradient * value + l2 * state.table[index, 0], rate, parameters)",
    "        if l1 != 0.0:",
    "            penalise(state.table, index, state.scalars[CUMULATED_L1])",
)


@declaration
class LogisticRegression(GeneralizedLinearModel):
    """Logistic regression (river.linear_model.LogisticRegression). The score is the probability of 1."""

    optimizer: Optimizer = SGD(0.01)  # how weights follow gradients
    loss: Loss = Log()  # what is descended; class weights are parameters of `Log`
    l2: float = 0.0  # penalty on squared weights; excludes l1
    l1: float = 0.0  # penalty on absolute weights, cumulative (Tsuruoka et al. 2009); excludes l2
    intercept_init: float = 0.0  # the intercept before the first event
    intercept_lr: Rate = 0.01  # the intercept's own learning rate; 0 keeps it
    clip_gradient: float = 1e12  # most of the loss's gradient, either way
    initializer: Zeros | Constant = Zeros()  # the weight of a feature when it is first learned from

    tasks: ClassVar[tuple[TaskKind, ...]] = (TaskKind.BINARY,)
    losses: ClassVar[type[Loss]] = BinaryLoss


@declaration
class LinearRegression(GeneralizedLinearModel):
    """Linear regression (river.linear_model.LinearRegression). The score is the predicted number."""

    optimizer: Optimizer = SGD(0.01)  # how weights follow gradients
    loss: Loss = Squared()  # what is descended
    l2: float = 0.0  # penalty on squared weights; excludes l1
    l1: float = 0.0  # penalty on absolute weights, cumulative (Tsuruoka et al. 2009); excludes l2
    intercept_init: float = 0.0  # the intercept before the first event
    intercept_lr: Rate = 0.01  # the intercept's own learning rate; 0 keeps it
    clip_gradient: float = 1e12  # most of the loss's gradient, either way
    initializer: Zeros | Constant = Zeros()  # the weight of a feature when it is first learned from

    tasks: ClassVar[tuple[TaskKind, ...]] = (TaskKind.REGRESSION,)
    losses: ClassVar[type[Loss]] = RegressionLoss


@declaration
class PAClassifier(LinearModel):
    """Passive-aggressive classifier (river.linear_model.PAClassifier; Crammer et al. 2006).

    The score is the logistic function of the margin, as in River: not a calibrated probability.
    """

    C: float = 1.0  # most that one event may move the weights, in modes 1 and 2
    mode: int = 1  # 0: PA, 1: PA-I, 2: PA-II of the paper
    learn_intercept: bool = True  # whether an intercept is learned beside the weights

    tasks: ClassVar[tuple[TaskKind, ...]] = (TaskKind.BINARY,)

    def __post_init__(self) -> None:
        check_number(self, "C", above=0.0)
        check_whole(self, "mode", least=0, most=2)
        check_kind(self, "learn_intercept", bool)

    def steps(self) -> Steps:
        return Steps(
            imports=(
                f"{ARGUMENTS}:INTERCEPT",
                f"{LINEAR}:linear_sum name_strongest passive_aggressive_size shift squared_norm",
                "stream.models.kernels.losses:logistic_mean=mean",
                "stream.models.kernels.rows:is_binary",
            ),
            setup=SETUP,
            learns="is_binary(targets[i], state)",
            score=SCORE,
            prepare=SUM,
            learn=(
                "sign = 1.0 if targets[i] == 1.0 else -1.0",
                "loss = max(1.0 - sign * total, 0.0)",
                "size = passive_aggressive_size(parameters[1], parameters[0], loss, squared_norm(rows, i, x))",
                "shift(rows, i, x, state, sign * size)",
                "state.scalars[INTERCEPT] += parameters[2] * (sign * size)",
            ),
        )

    def parameters(self, task: Task) -> Floats:
        return np.array([self.C, self.mode, self.learn_intercept], dtype=np.float64)

    def first_state(self, layout: FeatureLayout, task: Task, scalers: Floats) -> State:
        return linear_state(layout, 1, scalers)

    def to_river(self) -> Any:
        from river import linear_model

        return linear_model.PAClassifier(C=self.C, mode=self.mode, learn_intercept=self.learn_intercept)


def linear_state(layout: FeatureLayout, slots: int, scalers: Floats) -> State:
    """Zero weights for every dense and sparse input."""
    return State(
        scalars=np.zeros(LINEAR_SCALARS),
        scalers=scalers,
        weights=np.zeros((len(layout.dense), slots)),
        table=np.zeros((layout.sparse_size, slots)),
        pages=new_pages(layout.sparse_size),
        group_ends=group_ends(layout),
    )
