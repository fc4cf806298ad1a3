"""The commands of the programs that tfdarts comes from, and ours: the one place that pages and tests go by.

In a command, FILE is a genotype, MODEL a saved model, TEXT a folder of text, RUN the folder of a search, ARC numbers.
"""

import typing


class Row(typing.NamedTuple):
    """One command.

    Attributes:
        program: whose it is.
        there: what its users type.
        here: our command.
        tiny: arguments that make ours small enough for a test; None where other tests run it.
        same: whether the arguments there run word for word behind our program's name; or a part of the one sentence
            that answers them.
    """

    program: str
    there: str
    here: str
    tiny: str | None = "--dry_run"
    same: bool | str = True


CELL = "--dry_run --layers 2 --init_channels 4"
TRAINED = "--dry_run --init_channels 4"
WORDS = "--dry_run --nhid 8 --batch_size 4"
ENAS = " --controller_optim adam --controller_lr 0.00035 --shared_optim sgd --shared_lr 20.0 --entropy_coeff 0.0001"
CNN = (
    "--network_type cnn --dataset cifar --controller_optim momentum --controller_lr_cosine=True "
    "--controller_lr_max 0.05 --controller_lr_min 0.0001 --entropy_coeff 0.1"
)
TF2 = "--batch_size 32 --epochs 600 --init_channels 42 --layers 20 --cutout --auxiliary --nodes 4 --multiplier 4"
ROWS = [
    Row("DARTS", "cd cnn && python train_search.py --unrolled", "python3 search_cell.py --unrolled", CELL),
    Row("DARTS", "python train_search.py", "python3 search_cell.py", CELL),
    Row("DARTS", "python train.py --auxiliary --cutout", "python3 train.py --auxiliary --cutout", CELL + " --layers 5"),
    Row(
        "DARTS",
        "python train.py --auxiliary --cutout --arch DARTS_V1",
        "python3 train.py --auxiliary --cutout --arch DARTS_V1",
        CELL,
    ),
    Row("DARTS", "python test.py --auxiliary --model_path MODEL", "python3 evaluate.py --model_path MODEL", ""),
    Row("DARTS", "python visualize.py DARTS", "python3 visualize.py DARTS", ""),
    Row(
        "DARTS",
        "cd rnn && python train_search.py --unrolled",
        "python3 search_cell.py --data TEXT --unrolled",
        WORDS,
    ),
    Row("DARTS", "cd rnn && python train.py", "python3 train.py --data TEXT", WORDS),
    Row("DARTS", "cd rnn && python test.py --model_path MODEL", "python3 evaluate.py --model_path MODEL", ""),
    Row(
        "Att-DARTS",
        "python train_search.py --location after_every",
        "python3 search_cell.py --location after_every",
        CELL + " --nodes 1 --multiplier 1",
    ),
    Row("Att-DARTS", "python train.py --arch_path FILE", "python3 train.py --arch_path FILE", CELL),
    Row("Att-DARTS", "python visualize.py Att_DARTS", "python3 visualize.py Att_DARTS", ""),
]
for cell in ("vanilla", "sigmoid", "directional"):
    search, train = f"--rnn_cell={cell}", f"--rnn_cell={cell} --arch=DARTS_{cell.title()}"
    sweep = "--dry_run --nhid 8 --layers 1" if cell == "vanilla" else "--show"
    ROWS += [
        Row("DartsReNet", f"python train_search.py {search}", f"python3 search_cell.py {search}", sweep),
        Row("DartsReNet", f"python train.py {train}", f"python3 train.py {train}", sweep),
    ]
ROWS += [
    Row(
        "ENAS, PyTorch",
        f"python main.py --network_type rnn --dataset {text}{flags}",
        f"python3 search_cell.py --network_type rnn --dataset {text}{flags}",
        WORDS,
    )
    for text, flags in (("ptb", ENAS), ("wikitext", ""))
]
ROWS += [
    Row("ENAS, PyTorch", f"python main.py {CNN}", f"python3 search_cell.py {CNN}", CELL),
    Row(
        "ENAS, PyTorch",
        "python main.py --mode derive --load_path RUN",
        "python3 search_cell.py --resume RUN --derive",
        None,
        "`python3 search_cell.py --resume RUN --derive`",
    ),
    Row(
        "ENAS, PyTorch",
        "python main.py --mode single --dag_path FILE",
        "python3 train.py --recipe enas_ptb --data TEXT --arch ENAS",
        WORDS,
        "`python3 train.py --genotype_file FILE`",
    ),
    Row("ENAS, TensorFlow 1", "scripts/cifar10_macro_search.sh", "python3 search_cell.py --space macro", "--show"),
    Row("ENAS, TensorFlow 1", "scripts/cifar10_micro_search.sh", "python3 search_cell.py --space micro", "--show"),
    Row("ENAS, TensorFlow 1", "scripts/cifar10_macro_final.sh", "python3 train.py --space macro", "--show"),
    Row("ENAS, TensorFlow 1", "scripts/cifar10_micro_final.sh", "python3 train.py --space micro", "--show"),
    Row(
        "ENAS, TensorFlow 1",
        'python main.py --child_fixed_arc "0 3 0"',
        "python3 train.py --space macro --genotype_file ARC",
        TRAINED,
        "`python3 train.py --space macro --genotype_file FILE`",
    ),
    Row("TensorFlow 2", "python3 search_cell.py", "python3 search_cell.py", CELL),
    Row(
        "TensorFlow 2",
        f"python3 train.py --genotype_file FILE {TF2}",
        f"python3 train.py --genotype_file FILE {TF2}",
        CELL + " --layers 5",
    ),
    Row("TensorFlow 2", "python3 visualize.py FILE", "python3 visualize.py FILE", ""),
]


def table(rows=ROWS):
    """The rows as a table of Markdown, as pages have it."""
    lines = [f"| {row.program}: `{row.there}` | `{row.here}` |" for row in rows]
    return "\n".join(["| there | here |", "|---|---|", *lines])
