"""Flags of other programs that have no meaning here, each with a sentence that says what does its work."""

_DERIVE = "`python3 search_cell.py --resume RUN --derive` derives from a search"
_SINGLE = "`python3 train.py --genotype_file FILE` trains one architecture"
_ALONE = "leave it out"
ANSWERS = {
    "mode": f"{_DERIVE}, {_SINGLE}; to search, {_ALONE}",  # ENAS in PyTorch
    "load_path": _DERIVE,
    "dag_path": _SINGLE,
    "search_for": "`--space macro` or `--space micro` says what is searched",  # ENAS in TensorFlow 1
    "child_fixed_arc": "write its numbers into a file: `python3 train.py --space macro --genotype_file FILE`, or micro",
    "genotype": "write it into a file: `python3 train.py --genotype_file FILE`",  # pt.darts
    "set": "`--dataset cifar100` names a data set",  # PC-DARTS
    "tmp_data_dir": "`--data_dir DIR` names the folder of prepared data",
    "continue_train": "`--resume RUN` goes on with a run",
    "save": "`--logdir DIR` names the folder of all runs",
    "gpu": f"CUDA_VISIBLE_DEVICES=0 before the command chooses a GPU; {_ALONE}",
    "gpus": f"CUDA_VISIBLE_DEVICES=0 before the command chooses a GPU; {_ALONE}",
    "report_freq": f"every epoch is reported; {_ALONE}",
    "workers": f"images are read side by side without it; {_ALONE}",
}
