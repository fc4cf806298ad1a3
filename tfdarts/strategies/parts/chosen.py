"""The parts of DARTS that a search's options choose.

Each function here makes the part of one hook, or None for plain DARTS, from options that its signature names.
"""

import inspect

from tfdarts.options import OptionError
from tfdarts.strategies.monitors import RISES, asked
from tfdarts.strategies.parts import (
    beta_darts,
    darts_plus,
    drnas,
    fair_darts,
    gdas,
    p_darts,
    robust_darts,
    smooth_darts,
)

MIXINGS = {"sigmoid": fair_darts.Sigmoid, "dirichlet": drnas.Dirichlet}
PENALTIES = {
    "beta": beta_darts.BetaDecay,
    "zero_one": fair_darts.ZeroOne,
    "zero_one_l1": fair_darts.ZeroOneL1,
    "kl": drnas.ToUniform,
}
THRESHOLDS = {"threshold_sparse": fair_darts.sparse, "threshold_edge": fair_darts.every_edge}
PERTURBATIONS = {"random": smooth_darts.RandomNoise, "adversarial": smooth_darts.Adversarial}


def parts(space, settings):
    """The chosen parts, a list.

    Args:
        space: `spaces.base.Space`.
        settings: `options.Settings`.
    """
    made = (
        mixing_part(takes_edges(space), **settings.pick(mixing_part)),
        perturbation(**settings.pick(perturbation)),
        penalty_part(**settings.pick(penalty_part)),
        stop_part(**settings.pick(stop_part)),
        select_part(**settings.pick(select_part)),
    )
    return [part for part in made if part is not None]


def takes_edges(space):
    """Whether a part may bring the class of the layers on the edges of a space's supernet."""
    return "edges" in inspect.signature(space.supernet).parameters


def mixing_part(samples_edges, *, mixing, tau_max, tau_min, epochs):
    """The part that makes mixing weights."""
    if mixing == "gumbel":
        return gdas.Gumbel(tau_max, tau_min, epochs, samples_edges)
    return None if mixing == "softmax" else MIXINGS[mixing]()


def perturbation(*, perturb, epsilon_alpha):
    """The part that perturbs them where the weights are stepped."""
    return None if perturb == "none" else PERTURBATIONS[perturb](epsilon_alpha)


def penalty_part(*, penalty, penalty_weight):
    """The part that adds a penalty to the architecture's loss."""
    if penalty == "none":
        return None
    return PENALTIES[penalty]() if penalty_weight is None else PENALTIES[penalty](penalty_weight)


def stop_part(*, stop="none", stop_skips=0, stop_factor=1.3, stop_delta=4, monitor_every=1):
    """The part that stops a search; a space of one's own may have no such options."""
    if stop == "eigenvalue":
        return robust_darts.RiseStop(stop_factor, stop_delta)
    if stop == "adaptive":
        return robust_darts.Adaptive(stop_factor, stop_delta, monitor_every)
    return darts_plus.SkipStop(stop_skips) if stop == "skips" else None


def select_part(*, select="magnitude", gate_threshold=0.0, max_skips=0):
    """The part that chooses the cell at any moment of a search; `darts_pt` decides after it."""
    if select == "few_skips":
        return p_darts.FewSkips(max_skips)
    return fair_darts.Threshold(THRESHOLDS[select], gate_threshold) if select in THRESHOLDS else None


def check(values):
    """Raises OptionError for parts that do not go together.

    Args:
        values: dictionary from name to value of every option of a search by DARTS.
    """
    mixing, perturb, penalty = values["mixing"], values["perturb"], values["penalty"]
    if perturb != "none" and mixing != "softmax":
        raise OptionError(
            f"--perturb {perturb} needs --mixing softmax: it perturbs weights that sum to one, and --mixing {mixing} "
            "has none or draws them."
        )
    if penalty in ("zero_one", "zero_one_l1") and mixing != "sigmoid":
        raise OptionError(f"--penalty {penalty} needs --mixing sigmoid, whose gates it pulls to 0 and 1, not {mixing}.")
    if values.get("select") in THRESHOLDS and mixing != "sigmoid":
        raise OptionError(
            f"--select {values['select']} needs --mixing sigmoid: weights that compete do not reach a threshold each."
        )
    if penalty == "kl" and mixing != "dirichlet":
        raise OptionError(f"--penalty kl needs --mixing dirichlet, whose distributions it measures, not {mixing}.")
    if mixing == "gumbel" and values["jit_compile"]:
        raise OptionError("--jit_compile does not work with --mixing gumbel: XLA cannot compile sampled paths.")
    if mixing == "gumbel" and values["remat"] != "none":
        raise OptionError(f"--remat {values['remat']} does not work with --mixing gumbel, whose paths keep few maps.")
    if values["tau_min"] > values["tau_max"]:
        raise OptionError(f"--tau_min must be at most --tau_max ({values['tau_max']}). Received: {values['tau_min']}.")
    if values["arch_begin"] >= values["epochs"]:
        raise OptionError(
            f"--arch_begin must be below --epochs ({values['epochs']}), or the architecture never learns. "
            f"Received: {values['arch_begin']}."
        )
    check_monitors(values)


def check_monitors(values):
    """Raises OptionError for monitors, and a stop that rests on them, that do not go with other options.

    Args:
        values: as in `check`; a space of one's own may lack some.
    """
    stop, every = values.get("stop", "none"), values.get("monitor_every", 1)
    names = asked(values.get("monitors", ""), stop)
    if every != 1 and not names:
        raise OptionError("--monitor_every has no meaning without --monitors, or --stop eigenvalue or adaptive.")
    if "eigenvalue" in names and values["mixing"] == "gumbel":
        raise OptionError(
            "--mixing gumbel has no Hessian, since one operation an edge is drawn; leave eigenvalue out of --monitors "
            "and --stop."
        )
    if "gap" in names and values.get("partial_channels", 1) > 1 and not values.get("edge_normalization"):
        raise OptionError(
            "--monitors gap with --partial_channels needs --edge_normalization: without it the channels that pass "
            "cannot be taken from an edge that the cell drops."
        )
    if stop not in RISES:
        return
    if values.get("select") == "perturbation":
        raise OptionError(f"--stop {stop} needs --select magnitude: no earlier epoch has a cell by perturbation.")
    first = -(-values["stop_start"] // every) * every + (values["stop_delta"] + robust_darts.WINDOW // 2) * every
    if first >= values["epochs"]:
        raise OptionError(
            f"--stop {stop} can decide after {first + 1} epochs at the earliest, of {values['epochs']}; give more "
            "--epochs, or a smaller --stop_start, --stop_delta or --monitor_every."
        )
    decay = values.get("weight_decay", values.get("wdecay"))
    if stop == "adaptive" and not 0 < decay <= robust_darts.LARGEST_DECAY:
        raise OptionError(
            f"--stop adaptive needs a weight decay above 0 and at most {robust_darts.LARGEST_DECAY}, which it raises. "
            f"Received: {decay}."
        )
