"""RobustDARTS (Zela et al. 2020, arXiv:1909.09656)."""

from tfdarts.recipes import darts

EARLY_STOPPING = darts.CIFAR10.but(
    "robust_darts_es",
    "DARTS that stops before the largest eigenvalue of the Hessian rises (DARTS-ES): `python3 search_cell.py --recipe "
    "robust_darts_es`, in the paper's spaces with `--restrict s1` to `s4`.",
    search={"stop": "eigenvalue"},
)
ADAPTIVE = darts.CIFAR10.but(
    "robust_darts_ada",
    "DARTS that goes back under a stronger weight decay instead (DARTS-ADA): `python3 search_cell.py --recipe "
    "robust_darts_ada`, in the paper's spaces with `--restrict s1` to `s4`.",
    search={"stop": "adaptive"},
)
_SHORT = {"unrolled": False, "stop_start": 2, "stop_delta": 2, "stop_factor": 1.1}
EARLY_STOPPING_DIGITS = darts.DIGITS.but(
    "robust_darts_es_digits",
    "DARTS-ES on the embedded digits, for a first try: `python3 search_cell.py --recipe robust_darts_es_digits`. Some "
    "minutes on two cores.",
    search=_SHORT | {"stop": "eigenvalue"},
)
ADAPTIVE_DIGITS = darts.DIGITS.but(
    "robust_darts_ada_digits",
    "DARTS-ADA on the embedded digits, for a first try: `python3 search_cell.py --recipe robust_darts_ada_digits`. "
    "Some minutes on two cores.",
    search=_SHORT | {"stop": "adaptive", "epochs": 20},
)
RECIPES = (EARLY_STOPPING, ADAPTIVE, EARLY_STOPPING_DIGITS, ADAPTIVE_DIGITS)
