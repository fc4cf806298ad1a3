"""SmoothDARTS (Chen and Hsieh 2020, arXiv:2002.05283)."""

from tfdarts.recipes import darts

RANDOM = darts.CIFAR10.but(
    "sdarts_rs",
    "Weights trained under randomly perturbed mixing weights (SDARTS-RS): `python3 search_cell.py --recipe sdarts_rs`.",
    search={"perturb": "random", "restrict": "without_none"},
    arch="SDARTS_RS",
)
ADVERSARIAL = RANDOM.but(
    "sdarts_adv",
    "The same under the worst mixing weights near by (SDARTS-ADV): "
    "`python3 search_cell.py --recipe sdarts_adv`. The paper reports 2.61 +- 0.02 % test error.",
    search={"perturb": "adversarial"},
    arch="SDARTS_ADV",
)
DIGITS = darts.DIGITS.but(
    "sdarts_rs_digits",
    "SDARTS-RS on the embedded digits, for a first try: `python3 search_cell.py --recipe sdarts_rs_digits`. A few "
    "minutes on two cores.",
    search={"unrolled": False, "perturb": "random", "restrict": "without_none"},
)
ADVERSARIAL_DIGITS = DIGITS.but(
    "sdarts_adv_digits",
    "SDARTS-ADV on the embedded digits, for a first try: `python3 search_cell.py --recipe sdarts_adv_digits`. Some ten "
    "minutes on two cores.",
    search={"perturb": "adversarial"},
)
RECIPES = (RANDOM, ADVERSARIAL, DIGITS, ADVERSARIAL_DIGITS)
