"""Options of the strategies."""

from tfdarts.options import Option
from tfdarts.training.options import RESTARTS


def strategy(default):
    """The option that chooses the strategy, and what `random` needs."""
    return {
        "strategy": Option(
            default,
            "darts (gradient descent); enas (a controller over shared weights); random_ws (uniform draws over shared "
            "weights); random (write --samples architectures drawn uniformly, the baseline of any search)",
            random=True,
        ),
        "samples": Option(
            10, "architectures that --strategy random draws", only_with=("strategy", "random"), random=True
        ),
    }


_RISE = ("stop", "eigenvalue", "adaptive")
_STOPS = (
    "eigenvalue (RobustDARTS: when the largest eigenvalue of the Hessian has risen, with the genotype of the epoch "
    "before the rise); adaptive (the same, but go on from that epoch with three times the weight decay, up to 0.0243)"
)
DARTS = strategy("darts") | {
    "unrolled": Option(False, "second-order search: look one step of the weights ahead"),
    "arch_learning_rate": Option(3e-4, "learning rate of the Adam that steps the architecture parameters"),
    "arch_weight_decay": Option(
        1e-3, "weight decay of the architecture parameters, added to their gradient", zero=True
    ),
    "arch_beta_1": Option(0.5, "share of the old gradient in the first moment of that Adam", zero=True, fraction=True),
    "arch_grad_clip": Option(0.0, "largest norm of the architecture's gradient; 0: it is not clipped", zero=True),
    "arch_begin": Option(0, "first epoch in which the architecture is stepped; before it weights only", zero=True),
    "mixing": Option(
        "softmax",
        "mixing weights of the candidates: softmax (DARTS); sigmoid (FairDARTS: each by itself); gumbel (GDAS: one is "
        "drawn, and only that is computed); dirichlet (DrNAS: drawn from a Dirichlet distribution)",
        choices=("softmax", "sigmoid", "gumbel", "dirichlet"),
    ),
    "tau_max": Option(10.0, "temperature of the Gumbel softmax in the first epoch", only_with=("mixing", "gumbel")),
    "tau_min": Option(0.1, "temperature of the Gumbel softmax in the last epoch", only_with=("mixing", "gumbel")),
    "perturb": Option(
        "none",
        "perturbation of the mixing weights where the network's weights are stepped (SmoothDARTS): none, random or "
        "adversarial (seven gradients and two passes more a step)",
        choices=("none", "random", "adversarial"),
    ),
    "epsilon_alpha": Option(
        0.3,
        "size of the perturbation that is approached from 0.03 over the epochs",
        only_with=("perturb", "random", "adversarial"),
    ),
    "penalty": Option(
        "none",
        "penalty in the architecture's loss, beside the weight decay: none; beta (beta-DARTS: decay of the mixing "
        "weights); zero_one or zero_one_l1 (FairDARTS: gates become 0 or 1, by squares or absolute values); kl (DrNAS: "
        "distributions stay near the uniform one)",
        choices=("none", "beta", "zero_one", "zero_one_l1", "kl"),
    ),
    "penalty_weight": Option(
        None,
        "weight of --penalty, at the end of the search for beta, which rises from 0; unset: 50 for beta, 10 for "
        "zero_one, 0.001 for kl",
        kind=float,
        only_with=("penalty", "beta", "zero_one", "zero_one_l1", "kl"),
    ),
    "monitors": Option(
        "",
        "what is measured besides at the end of an epoch, with commas between: eigenvalue (the largest of the Hessian "
        "of the validation loss with respect to the architecture); gap (validation accuracy that the supernet loses "
        "when its cell is discretised)",
    ),
    "monitor_every": Option(1, "epochs from one measurement of --monitors, or for --stop, to the next"),
    "stop": Option("none", f"when a search stops early: none; {_STOPS}", choices=("none", *_RISE[1:])),
    "stop_factor": Option(1.3, "rise of the smoothed eigenvalue at which a search stops", only_with=_RISE),
    "stop_delta": Option(4, "measurements over which the rise is looked for", only_with=_RISE),
    "stop_start": Option(
        10, "first epoch, counted from 0, whose genotype may be taken at a stop", zero=True, only_with=_RISE
    ),
}
CELLS = {
    "restrict": Option(
        "",
        "candidates edge by edge: without_none; s1, s2, s3 or s4 (RobustDARTS's spaces, in which DARTS fails); or a "
        "JSON file with the lists normal and reduce, a list of operations for each edge. Unset: all on every edge",
        random=True,
    ),
    "partial_channels": Option(
        1, "K of PC-DARTS: operations see 1/K of the channels, the others pass and are shuffled; 1: all"
    ),
    "select": Option(
        "magnitude",
        "how the cell is chosen: magnitude (DARTS: largest mixing weights); perturbation (DARTS-PT: after the search, "
        "one decision after the other by what the network loses without a candidate, with tuning between)",
        choices=("magnitude", "perturbation"),
    ),
    "stop": Option(
        "none",
        f"when a search stops early: none; skips (DARTS+: when the normal cell has --stop_skips skip connections); "
        f"{_STOPS}",
        choices=("none", "skips", *_RISE[1:]),
    ),
    "stop_skips": Option(2, "skip connections at which a search stops", only_with=("stop", "skips")),
    "projection_every": Option(
        5, "epochs of tuning from one decision to the next", only_with=("select", "perturbation")
    ),
    "projection_criterion": Option(
        "accuracy",
        "what a decision measures on the validation images: accuracy or loss",
        choices=("accuracy", "loss"),
        only_with=("select", "perturbation"),
    ),
}
PAIRS = {  # of cells, where a node keeps some of its inputs
    "edge_normalization": Option(False, "let each node weigh its incoming edges too (PC-DARTS)"),
    "select": CELLS["select"].but(
        "magnitude",
        "how the cell is chosen: magnitude (DARTS: largest mixing weights); perturbation (DARTS-PT: after the search, "
        "one decision after the other by what the network loses without a candidate, with tuning between); "
        "threshold_sparse (FairDARTS: as magnitude, but gates below --gate_threshold are left out); threshold_edge "
        "(all edges, up to two operations each); few_skips (P-DARTS: at most --max_skips in the normal cell)",
        choices=("magnitude", "perturbation", "threshold_sparse", "threshold_edge", "few_skips"),
    ),
    "projection_first": Option(
        "operations",
        "what is decided first: operations (of all edges, as in the paper); edges (each node's two inputs)",
        choices=("operations", "edges"),
        only_with=("select", "perturbation"),
    ),
    "gate_threshold": Option(
        0.85,
        "smallest gate of an operation that is kept",
        fraction=True,
        only_with=("select", "threshold_sparse", "threshold_edge"),
    ),
    "max_skips": Option(
        2, "skip connections that the normal cell may have", zero=True, only_with=("select", "few_skips")
    ),
    "stages": Option(
        "none",
        "stages of equally many epochs, each with fewer candidates: none; fresh (P-DARTS: each with new weights and "
        "architecture parameters); in_place (DrNAS: each goes on with those of the last, widened)",
        choices=("none", "fresh", "in_place"),
    ),
    "stage_candidates": Option(
        "",
        "candidates that an edge keeps from one stage to the next, as in 5,3 for three stages",
        only_with=("stages", "fresh", "in_place"),
    ),
    "stage_layers": Option(
        "", "cells in each stage, as in 5,11,17; unset: --layers in all", only_with=("stages", "fresh")
    ),
    "stage_partial_channels": Option(
        "",
        "--partial_channels in each stage, as in 6,4; unset: the same in all",
        only_with=("stages", "fresh", "in_place"),
    ),
    "skip_dropout": Option(
        "",
        "rate of the dropout behind skip connections in each stage, as in 0.0,0.4,0.7 (P-DARTS); unset: none",
        only_with=("stages", "fresh"),
    ),
}
ENAS = strategy("enas") | {
    "controller_optim": Option(
        "adam",
        "optimizer of the controller: adam, sgd, or momentum (SGD with Nesterov's momentum of 0.9)",
        choices=("adam", "sgd", "momentum"),
        controller=True,
    ),
    "controller_lr_cosine": Option(
        False, "let the controller's learning rate fall from --controller_lr_max by half a cosine", controller=True
    ),
    "controller_lr": Option(
        1e-3,
        "learning rate of the controller without --controller_lr_cosine",
        only_with=("controller_lr_cosine", False),
        controller=True,
    ),
    "controller_lr_max": Option(
        1e-3,
        "start of the controller's cosine schedule, a learning rate",
        only_with=("controller_lr_cosine", True),
        controller=True,
    ),
    "controller_lr_min": Option(
        1e-4,
        "end of the controller's cosine schedule, a learning rate",
        zero=True,
        only_with=("controller_lr_cosine", True),
        controller=True,
    ),
    "controller_hid": Option(64, "units of the controller's LSTM", controller=True),
    "controller_max_step": Option(50, "updates of the controller in an epoch", controller=True),
    "entropy_coeff": Option(1e-4, "weight of the controller's entropy in the reward", zero=True, controller=True),
    "ema_baseline_decay": Option(
        0.99,
        "share of the old value in the reward's moving average, the controller's baseline",
        zero=True,
        fraction=True,
        controller=True,
    ),
    "tanh_c": Option(1.5, "largest magnitude of the controller's logits", controller=True),
    "shared_optim": Option("sgd", "optimizer of the shared weights: sgd or adam", choices=("sgd", "adam")),
    "shared_lr": Option(0.05, "learning rate of the shared weights in the first epoch"),
    "shared_max_step": Option(0, "steps of the shared weights in an epoch; 0: one pass over the data", zero=True),
    "derive_num_sample": Option(
        100,
        "architectures that are drawn and scored at the end of an epoch, the best of which is kept",
        resume="change",
    ),
}
ENAS_IMAGES = ENAS | RESTARTS | {
    "shared_lr_min": Option(5e-4, "learning rate of the shared weights where each cosine ends", zero=True),
    "momentum": Option(
        0.9,
        "momentum of the shared weights' SGD",
        zero=True,
        fraction=True,
        only_with=("shared_optim", "sgd"),
    ),
    "weight_decay": Option(5e-4, "weight decay of the shared weights, added to their gradient", zero=True),
    "controller_num_aggregate": Option(
        20, "architectures that an update of the controller averages", controller=True
    ),
}  # fmt: skip
