"""The statistics of a study; intervals and correlations are SciPy's."""

import math
import statistics

import scipy.stats


def summary(values):
    """Mean, sample deviation (None of a single value) and number of some values, as a dictionary."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "deviation": deviation, "runs": len(values)}


def difference(values, others):
    """How much higher the mean of some values is than that of others.

    Args:
        values, others: lists of numbers.

    Returns:
        A dictionary: `difference` of the means; `interval`, two numbers between which it lies with a probability of
        95 % (Welch's t interval for unequal deviations, `scipy.stats.ttest_ind`), None where a list has fewer than two
        values or neither varies; `deviations`, the difference in deviations of the others, None likewise.
    """
    mean = statistics.fmean(values) - statistics.fmean(others)
    result = {"difference": mean, "interval": None, "deviations": None}
    if len(others) > 1 and statistics.stdev(others) > 0:
        result["deviations"] = mean / statistics.stdev(others)
    if min(len(values), len(others)) > 1 and max(statistics.stdev(values), statistics.stdev(others)) > 0:
        low, high = scipy.stats.ttest_ind(values, others, equal_var=False).confidence_interval(0.95)
        result["interval"] = [float(low), float(high)]
    return result


def rank(value, others, higher):
    """The place of a value among others, 1 for the best; equal ones share the better place."""
    return 1 + sum(other > value if higher else other < value for other in others)


def best_of(count, values, higher):
    """The mean of the best of `count` values drawn without putting back.

    Args:
        count: int; if there are not so many values, all of them are taken.
        values: list of numbers.
        higher: whether the best is the highest.
    """
    ordered = sorted(values, reverse=not higher)  # the best is last
    count = min(count, len(ordered))
    ways = math.comb(len(ordered), count)
    return sum(math.comb(place, count - 1) / ways * value for place, value in enumerate(ordered))


def kendall(pairs):
    """Kendall's tau-b of pairs of numbers, its p-value and the number of pairs, as a dictionary; None where undefined.

    Args:
        pairs: list of pairs.
    """
    if len(pairs) < 2:
        return None
    tau, p = scipy.stats.kendalltau(*zip(*pairs))
    return None if math.isnan(tau) else {"tau": float(tau), "p": float(p), "pairs": len(pairs)}
