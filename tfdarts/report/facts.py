"""Turns what a run's `config.json` and results say into HTML: its options, facts of its data, its outcome."""

import datetime
import html
import json

from tfdarts.runs.history import is_number

# Titles of the dictionaries in `config.json`; earlier versions called what a run remembers of its data `seen`.
_GROUPS = {"data_info": "Data", "seen": "Data", "space_info": "Search space", "versions": "Versions"}
_LABELS = {
    "images": "training images",
    "mean": "mean of each channel",
    "std": "deviation of each channel",
    "words": "words in the vocabulary",
    "sha256": "SHA-256 of the text",
    "format": "format of config.json",
}
_LONG = 100  # characters; what is longer is folded


def text(value):
    """Any value as HTML text."""
    return html.escape(str(value))


def configuration(config):
    """All of a run's configuration in groups, but the command, which has a place of its own.

    Args:
        config: `config.json`, a dictionary.

    Returns:
        A dictionary from title to a dictionary from name to value; the first title is `"Options"`.
    """
    groups = {"Options": {}}
    for name, value in config.items():
        if isinstance(value, dict):
            groups.setdefault(_GROUPS.get(name, name), {}).update(value)
        elif name == "format":
            groups.setdefault("Versions", {})[name] = value
        elif name != "command" and not (name in _GROUPS and value is None):  # no data is read to draw at random
            groups["Options"][name] = value
    return groups


def label(title, name):
    """The name of a value of the group `title`, for people: options are called as on the command line."""
    return text(name if title == "Options" else _LABELS.get(name, name))


def shown(title, value):
    """A value of the group `title`: as in the configuration file, or, of facts of the data, for people."""
    if title == "Data" and type(value) is int:
        return f"{value:,}"
    if title == "Data" and isinstance(value, list) and all(map(is_number, value)):
        rounded = ", ".join(f"{each:.4g}" for each in value)
        return f'<span title="{text(json.dumps(value))}">{rounded}</span>'
    if title == "Data" and isinstance(value, list):
        return _folded(f"{len(value):,}", ", ".join(map(str, value)))
    whole = value if isinstance(value, str) else json.dumps(value)
    return text(whole) if len(whole) <= _LONG else _folded(whole[:40] + "…", whole)


def _folded(summary, whole):
    return f"<details><summary>{text(summary)}</summary>{text(whole)}</details>"


def outcome(run):
    """What a run reached.

    Returns:
        A list of `(what, value)` as HTML, the value empty where it is not known (yet).
    """
    last, results = run.metrics[-1] if run.metrics else {}, run.results or {}
    found = run.newest if run.unit == "epoch" else None
    taken = last.get("genotype_of_epoch")
    epochs = f"{run.epochs}" if run.epochs == run.total else f"{run.epochs} of {text(run.total)}"
    return [
        ("epochs", epochs if run.unit == "epoch" else ""),
        ("validation accuracy", _percent(last.get("val_accuracy"), 100) if "perplexity" not in last else ""),
        ("validation error", _percent(results.get("validation_error_percent"), 1)),
        ("test error", _percent(results.get("test_error_percent"), 1)),
        ("validation perplexity", _number(last.get("val_perplexity"))),
        ("test perplexity", _number(results.get("test_perplexity"))),
        ("mean reward", _number(last.get("mean_reward"))),
        ("mean reward of uniform draws", _number(last.get("uniform_reward"))),
        ("parameters", _count(results.get("parameters"))),
        ("genotype taken", f"that of epoch {taken:.0f}" if is_number(taken) else ""),
        ("skip connections", str(found.skip_connections()) if found else ""),
        ("time", _time(results.get("seconds", last.get("seconds")))),
    ]


def exports(run):
    """The files that the run's model was exported to: a list of `(format, how it compares)` as HTML."""
    return [
        (
            f"exported to {text(' '.join(filter(None, (each['format'], each['quantize']))))}",
            f"{text(each['file'])}: {100 * each['agreement']:.1f} % of decisions the same, largest difference of a "
            f"logit {each['largest_difference']:.2g}, {each['size_bytes']:,} bytes, {each['latency_ms']:.3g} ms an "
            f"input (Keras {each['keras_latency_ms']:.3g})",
        )
        for each in run.exports
    ]


def _percent(value, factor):
    return f"{factor * value:.2f} %" if is_number(value) else ""


def _number(value):
    return f"{value:.2f}" if is_number(value) else ""


def _count(value):
    return f"{value:,}" if type(value) is int else ""


def _time(seconds):
    known = is_number(seconds) and 0 <= seconds < 1e9
    return str(datetime.timedelta(seconds=round(seconds))) if known else ""
