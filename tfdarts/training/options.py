"""Options of the optimizers that step weights, and of their learning rates."""

from tfdarts.options import Option

SCHEDULES = ("cosine", "linear", "exponential", "restarts")
LEARNING_RATE = Option(0.025, "learning rate of the weights' SGD in the first epoch")
LEARNING_RATE_MIN = Option(
    0.001,
    "learning rate of the weights where each cosine, or the line, ends",
    zero=True,
    only_with=("schedule", "cosine", "linear", "restarts"),
)
WARMUP = Option(0, "first epochs, in which the learning rate rises in equal steps to --learning_rate", zero=True)
WEIGHT_DECAY = Option(3e-4, "weight decay of the weights, added to their gradient", zero=True)
GRAD_CLIP = Option(5.0, "largest norm of the weights' gradient; a longer one is scaled to it")
SGD = {
    "learning_rate": LEARNING_RATE,
    "learning_rate_min": LEARNING_RATE_MIN,
    "warmup_epochs": WARMUP,
    "momentum": Option(0.9, "momentum of the weights' SGD", zero=True, fraction=True),
    "weight_decay": WEIGHT_DECAY,
    "grad_clip": GRAD_CLIP,
    "nesterov": Option(False, "step along Nesterov's form of the momentum of the weights' SGD"),
}
SCHEDULE = {
    "schedule": Option(
        "cosine",
        "course of the learning rate: cosine, linear, restarts (of a cosine) or exponential (--gamma each epoch)",
        choices=SCHEDULES,
    ),
    "gamma": Option(
        0.97,
        "factor of the learning rate from one epoch to the next with --schedule exponential",
        only_with=("schedule", "exponential"),
    ),
}
RESTARTS = {
    "restart_epochs": Option(10, "epochs of the first cosine of the learning rate", only_with=("schedule", "restarts")),
    "restart_factor": Option(
        2,
        "factor by which every further cosine of the learning rate is longer than the one before it",
        only_with=("schedule", "restarts"),
    ),
}
NONMONO = Option(5, "epochs without a better validation loss after which SGD begins to average the weights")
LABEL_SMOOTH = Option(0.0, "share of the training target that is spread over all classes", zero=True, fraction=True)
AUXILIARY = {
    "auxiliary": Option(True, "train with an auxiliary head two thirds of the way"),
    "auxiliary_weight": Option(0.4, "weight of the auxiliary head's loss", zero=True, only_with=("auxiliary", True)),
}
DROP_PATH = Option(
    0.2, "probability of dropping an edge at the end of training, rising linearly from 0", zero=True, fraction=True
)
