"""Studies: the plan and its order, what happens to failures and kills, the table's figures, and whole commands."""

import concurrent.futures
import itertools
import json
import random
import signal
import statistics
import time

import numpy as np
import pytest
import scipy.stats

import tfdarts
from benchmarks import evidence
from tests.support.browser import requested
from tests.support.commands import Fresh
from tests.support.studies import SIZE, WHOLE, result_of
from tfdarts.cli import plans
from tfdarts.cli import study as command
from tfdarts.errors import UserError
from tfdarts.report.scatter import front, scatter
from tfdarts.study import local, perform, plan, record, runs, table
from tfdarts.study import page as pages
from tfdarts.study import statistics as figures
from tfdarts.study.estimate import estimate
from tfdarts.study.progress import Progress

FLAGS = [*SIZE, "--seeds", "3", "--train_seeds", "2", "--random", "4"]
STRATEGIES = ["--strategies", "darts --nounrolled,random"]


def parsed(*words):
    """The flags of the command, parsed."""
    values = command.define()
    values(["study.py", *FLAGS, *(() if "--strategies" in words else STRATEGIES), *words])
    return values


def planned(folder, *words):
    """The study that flags describe, in a folder."""
    folder.mkdir(exist_ok=True)
    return plan.Study(command.plan_of(parsed(*words))[0], folder)


class Written:
    """Stands for workers: a run ends at once, with results that depend on its cell and seed alone.

    Args:
        study: whose runs they are.
        failing: part of the names of runs that fail.
        most: after so many runs, `Interrupted` is raised.
    """

    jobs = 2

    def __init__(self, study, failing="nothing", most=None):
        self.study, self.failing, self.most, self.names = study, failing, most, []

    def submit(self, run, folder):
        if self.most is not None and len(self.names) >= self.most:
            raise perform.Interrupted(signal.SIGTERM)
        self.names.append(run.name)
        future = concurrent.futures.Future()
        if self.failing in run.name:
            future.set_result("the last line")
            return future
        place = folder / {"search": "search_arch", "train": "eval_arch"}[run.stage] / "20260101-000000"
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
        words = dict(zip(run.words[::1], [*run.words[1:], None]))
        seed = int(words["--seed"])
        if run.stage == "search":
            (genotype,) = tfdarts.random_genotypes(1, recipe="digits", seed=100 + seed, nodes=1, multiplier=1)
            (place / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "seconds": 5.0, "val_accuracy": seed / 10}))
            (place / "genotype.json").write_text(genotype.to_json())
        else:
            with open(words["--genotype_file"]) as file:
                quality = random.Random(file.read()).uniform(50, 60)
            which = "validation" if "--hold_out" in words else "test"
            results = {f"{which}_accuracy_percent": quality + seed, "seconds": 2.0}
            (place / "metrics.jsonl").write_text('{"epoch": 1}')
            results |= {"parameters": int(1000 * quality), "multiply_adds": int(100 * quality)}
            (place / "results.json").write_text(json.dumps(results))
        future.set_result(None)
        return future

    def stop(self):
        self.stopped = True


def performed(study, **options):
    """Performs a study with `Written`; returns the workers and what failed."""
    workers = Written(study, **options)
    with Progress(study.plan.expected, 2, live=False) as progress:
        return workers, perform.perform(study, workers, progress)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study that has been performed, and its table."""
    study = planned(tmp_path_factory.mktemp("study") / "done")
    performed(study)
    return study, table.table(study, {})


def test_strategies_are_divided_at_commas_outside_of_flags():
    labels = ["darts --monitors eigenvalue,gap, darts_pt_digits,random", "enas --seed_of_none 1"]
    assert plans.strategies_of(labels) == [
        "darts --monitors eigenvalue,gap",
        "darts_pt_digits",
        "random",
        "enas --seed_of_none 1",
    ]


@pytest.mark.parametrize(
    "words,sentence",
    [
        (["--strategies", "dart"], "begins with neither a strategy"),
        (["--strategies", "random --seeds 4"], "have no flags of their own"),
        (["--strategies", "darts --seed 4"], "--seed is the study's own"),
        (["--strategies", "darts --layer 4"], "layer"),
        (["--strategies", "darts four"], "is no flag"),
        (["--strategies", "darts --arch_portion -1"], "must be at least 0"),
        (["--strategies", "topics", "--search_flags", ""], "but the study is of conv"),
        (["--select", "best"], "leave random out"),
        (["--strategies", "darts", "--select", "best", "--hold_out", "0.1"], "--hold_out is of short trainings"),
        (
            ["--strategies", "pc_darts_cifar10", "--search_flags", ""],
            "searches on cifar10, the trainings are on digits: give --dataset",
        ),
        (["--budget", "latency<=3"], "parameters<=100000,multiply_adds<=2e6"),
        (["--hold_out", "1"], "between 0 and 1"),
        (["--train_flags", "--genotype_file x.json"], "is the study's own"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(words, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        planned(tmp_path, *words)


def test_every_run_is_an_ordinary_command_and_none_runs_twice(done):
    study, _ = done
    names = [run.name for run in study.runs()]
    assert len(names) == len(set(names)) == sum(study.plan.expected.values()) == 3 + 10 + 12
    searches = [run for run in study.runs() if run.kind == "search"]
    assert {run.words[run.words.index("--seed") + 1] for run in searches} == {"0", "1", "2"}
    assert all("--nounrolled" in run.words and "--nodes" in run.words for run in searches)
    for run in study.runs():
        assert ("--hold_out" in run.words) == (run.kind == "short")
        assert run.words[run.words.index("--split_seed") + 1] == "0"


def test_the_short_training_chooses_and_the_search_s_validation_does_with_best(done, tmp_path):
    study, result = done
    for strategy in study.plan.strategies:
        scores = {cell: study.short_score(cell) for cell in study.cells(strategy.name)}
        assert study.chosen(strategy) == [max(scores, key=scores.get)]
    assert result["strategies"][0]["chosen_by_own"] == 2
    other = planned(tmp_path / "best", "--strategies", "darts --nounrolled", "--select", "best")
    workers, _ = performed(other)
    assert not any("short" in name for name in workers.names)
    assert [cell.number for cell in other.chosen(other.plan.strategies[0])] == [2]
    whole = planned(tmp_path / "all", "--select", "all")
    performed(whole)
    assert len(whole.chosen(whole.plan.strategies[0])) == 3


def test_the_table_is_what_the_results_say(done):
    study, result = done
    baseline = [cell for cell in result["cells"] if cell["owner"] == "baseline"]
    others = [statistics.fmean(cell["full"]) for cell in baseline]
    line = result["strategies"][0]
    (cell,) = [each for each in result["cells"] if each["owner"] == line["name"] and each["full"]]
    assert cell["full"][1] == cell["full"][0] + 1  # by its seed
    assert line["mean"] == pytest.approx(np.mean(cell["full"])) and line["runs"] == 2
    assert line["difference"] == pytest.approx(np.mean(cell["full"]) - np.mean(others))
    assert line["ranks"] == [1 + sum(other > cell["mean"] for other in others)]
    assert line["search_seconds"] == 5.0 and line["parameters"] == cell["parameters"]
    assert line["best_of"]["count"] == 1 + int(3 * 5.0 / 2.0)
    pairs = [(each["short"], each["mean"]) for each in result["cells"] if each["full"]]
    assert result["correlation"]["short"]["tau"] == pytest.approx(scipy.stats.kendalltau(*zip(*pairs))[0])
    assert result["correlation"]["short"]["tau"] > 0.99  # a short training of these says it all


def test_the_page_is_legible_in_a_browser_and_its_table_true(browser, done, tmp_path):
    study, result = done
    path = tmp_path / "study.html"
    path.write_text(pages.page(study, result, [("go on", "python3 study.py --resume x")]))
    browser.get(path.as_uri())
    first, *_ = browser.find_elements("css selector", "table")
    head, *rows = [
        [cell.text.strip() for cell in row.find_elements("css selector", "th, td")]
        for row in first.find_elements("css selector", "tr")
    ]
    shown = {row[0]: dict(zip(head, row)) for row in rows}
    for line in result["strategies"]:
        row = shown[line["label"]]
        assert row["mean"] == f"{line['mean']:.2f}" and row["deviation"] == f"{line['deviation']:.2f}"
        assert row["difference to random"] == f"{line['difference']:+.2f}"
        assert row["95 % interval"] == f"{line['interval'][0]:+.2f} to {line['interval'][1]:+.2f}"
        assert row["rank among random"] == f"{line['ranks'][0]} of 5"
        assert row["parameters"] == f"{line['parameters']:,.0f}"
    assert shown["4 random cells"]["mean"] == f"{result['random']['mean']:.2f}"
    drawn = browser.find_elements("css selector", "svg")
    assert len(drawn) == 2 + 2 * 2 and all(each.is_displayed() for each in drawn)  # charts; cells of two winners
    assert "python3 study.py --resume x" in browser.find_element("css selector", "body").text
    width = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert browser.execute_script(width)
    sizes = "return [...document.querySelectorAll('td, th, p')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    assert min(browser.execute_script(sizes)) >= 12
    assert requested(browser) == {path.as_uri()}


def test_a_stopped_study_goes_on_without_repeating_and_gives_the_same_table(done, tmp_path):
    for most in (0, 4, 13, 20):
        folder, names = tmp_path / str(most), []
        workers = Written(planned(folder), most=most)
        with pytest.raises(perform.Interrupted), Progress(workers.study.plan.expected, 2, live=False) as progress:
            perform.perform(workers.study, workers, progress)
        assert workers.stopped
        names += workers.names
        workers, failed = performed(planned(folder))
        names += workers.names
        assert not failed and sorted(names) == sorted(run.name for run in done[0].runs())
        assert table.table(workers.study, {}) == _elsewhere(done[1], workers.study)


def _elsewhere(result, study):
    """A table as a study in another folder has it: paths are relative, so it is the same."""
    assert study.folder.is_dir()
    return result


def test_a_failed_run_is_told_with_its_last_line_and_the_others_go_on(tmp_path, capsys):
    study = planned(tmp_path / "study")
    workers, failed = performed(study, failing="search_1")
    assert failed == {"darts_nounrolled/search_1": "the last line"}
    assert "FAILED" in capsys.readouterr().out
    assert [cell.number for cell in study.cells("darts_nounrolled")] == [0, 2]
    result = table.table(study, failed)
    assert result["strategies"][0]["failed_searches"] == 1 and "mean" in result["strategies"][0]
    text = pages.page(study, result, [])
    assert "darts_nounrolled/search_1 failed: the last line" in text and "(1 failed)" in text
    again, failed = performed(study)  # what failed is tried again, and its strategy's choice is made anew
    assert not failed and "darts_nounrolled/search_1" in again.names


@pytest.mark.parametrize("failing,lost", [("search", "darts_nounrolled"), ("full", "every"), ("short", "every")])
def test_a_strategy_without_any_result_is_told_as_such(failing, lost, tmp_path):
    study = planned(tmp_path / "study")
    _, failed = performed(study, failing=failing)
    result = table.table(study, failed)
    without = [line["name"] for line in result["strategies"] if "mean" not in line]
    assert without == (["darts_nounrolled"] if lost != "every" else ["darts_nounrolled", "random"])
    assert "no result" in pages.page(study, result, []) and "no result" in command.summary(result)


def test_a_run_that_ends_without_a_result_has_failed(tmp_path):
    study = planned(tmp_path / "study", "--seeds", "1")

    class Nothing(Written):
        def submit(self, run, folder):
            future = concurrent.futures.Future()
            future.set_result(None)
            return future

    with Progress(study.plan.expected, 2, live=False) as progress:
        failed = perform.perform(study, Nothing(study), progress)
    assert set(failed.values()) == {"it ended without a result"}


def test_cells_above_the_budget_are_neither_drawn_nor_chosen(tmp_path, monkeypatch):
    free = planned(tmp_path / "free", "--random", "6")
    performed(free)
    everything = [plan.genotypes.load(cell.path) for owner in free.owners() for cell in free.cells(owner)]
    sizes = sorted(tfdarts.build(each, (8, 8, 1), 10, channels=2, layers=1).count_params() for each in everything)
    assert sizes[0] < sizes[-1]
    budget = f"parameters<={sizes[len(sizes) // 2]}"
    study = planned(tmp_path / "study", "--random", "6", "--budget", budget)
    performed(study)
    limit = study.plan.budget["parameters"]
    kept = [plan.genotypes.load(cell.path) for owner in study.owners() for cell in study.cells(owner)]
    for genotype in kept:
        trainable = tfdarts.build(genotype, (8, 8, 1), 10, channels=2, layers=1).trainable_weights
        assert sum(np.prod(weight.shape) for weight in trainable) <= limit
    assert len(study.cells("baseline")) == 6
    monkeypatch.setattr(plan, "_DRAWS_PER_CELL", 2)
    with pytest.raises(UserError, match="of 2 random cells only 0 are within parameters<=1; raise the budget"):
        planned(tmp_path / "small", "--budget", "parameters<=1")


def test_welch_s_interval():
    values, others = [3.1, 2.9, 3.5], [1.0, 2.0, 1.5, 1.7]
    found = figures.difference(values, others)
    a, b = np.var(values, ddof=1) / 3, np.var(others, ddof=1) / 4
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 3)
    half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(a + b)
    mean = np.mean(values) - np.mean(others)
    np.testing.assert_allclose(found["interval"], [mean - half, mean + half])
    assert found["deviations"] == pytest.approx(mean / np.std(others, ddof=1))
    assert figures.difference([1.0], others)["interval"] is None
    assert figures.difference([1.0, 1.0], [2.0, 2.0]) == {"difference": -1.0, "interval": None, "deviations": None}


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_of_some_cells_is_the_mean_over_all_choices(higher):
    values = [5.0, 1.0, 4.0, 4.0, 9.0]
    for count in range(1, 6):
        best = [(max if higher else min)(chosen) for chosen in itertools.combinations(values, count)]
        assert figures.best_of(count, values, higher) == pytest.approx(np.mean(best))
    assert figures.best_of(99, values, higher) == (9.0 if higher else 1.0)


def test_ranks_and_correlations():
    assert [figures.rank(value, [1, 2, 2, 3], True) for value in (4, 2, 0)] == [1, 2, 5]
    assert [figures.rank(value, [1, 2, 2, 3], False) for value in (4, 2, 0)] == [5, 2, 1]
    assert figures.kendall([(1, 2)]) is None and figures.kendall([(1, 2), (1, 3)]) is None
    assert figures.kendall([(1, 2), (2, 3), (3, 4)])["tau"] == pytest.approx(1.0)


@pytest.mark.parametrize("higher", [True, False])
def test_the_pareto_front_holds_what_nothing_beats(higher):
    generator = np.random.default_rng(0)
    points = [tuple(map(int, point)) for point in generator.integers(0, 9, (40, 2))]

    def beaten(point, other):
        better = other[1] >= point[1] if higher else other[1] <= point[1]
        return other != point and other[0] <= point[0] and better

    expected = {point for point in points if not any(beaten(point, other) for other in points)}
    found = front(points, higher)
    assert set(found) == expected and len(found) == len(expected) and found == sorted(found)


def test_a_scatter_chart_has_a_dot_for_each_cell_also_for_one_alone():
    assert scatter("t", {"a": [(1, 2), (3, 4)], "b": [(2, 2)]}, "x", "y", True).svg().count("<circle") == 3
    assert "nan" not in scatter("t", {"a": [(0, 0)]}, "x", "y", True).svg()


def test_shares_of_processors_do_not_overlap():
    cores = local.os.sched_getaffinity(0)
    parts = [own for own, _ in local.shares(len(cores))]
    if len(cores) > 1:
        assert set.union(*parts) == cores and sum(map(len, parts)) == len(cores)
    assert local.shares(1) == [(None, None)]
    assert all(own for own, _ in local.shares(3 * len(cores)))


def test_each_run_has_a_gpu_in_turn(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert [gpu for _, gpu in local.shares(3)] == ["2", "5", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert local.visible_gpus() == []


def test_a_failing_process_tells_its_last_line(tmp_path):
    workers = local.Workers(2)
    wrong = runs.Run("wrong", "train", ("--arch", "NOTHING"), "full")
    assert "no genotype is called 'NOTHING'" in workers.submit(wrong, tmp_path / "wrong").result()
    workers.stop()


def test_the_time_left_counts_every_kind(monkeypatch):
    clock = itertools.count(0, 10)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = Progress({"search": 2, "full": 3}, jobs=2, live=False)
    for kind in ("search", "full"):
        run = runs.Run(kind, "train", (), kind)
        progress.started(run)
        assert progress.left() is None
        progress.ended(run)
    assert progress.left() == (1 * 10 + 2 * 10) / 2


def test_a_terminal_shows_what_runs_in_a_table_that_changes(capsys):
    with Progress({"search": 2, "full": 1}, jobs=2, live=True) as progress:
        run = runs.Run("darts/search_0", "search", (), "search")
        progress.started(run)
        progress.live.refresh()
        progress.ended(run)
        progress.live.refresh()
    shown = capsys.readouterr().out
    assert "[1/3] search darts/search_0: done in" in shown and "1 of 3 runs done" in shown


def test_a_study_s_options_come_back_and_others_are_refused(tmp_path):
    folder = record.start(tmp_path, command.options(parsed()))
    again = command.define()
    again(["study.py", "--resume", str(folder), "--jobs", "3"])
    command.restore(again, folder)
    assert command.plan_of(again)[0] == command.plan_of(parsed())[0] and again.jobs == 3
    other = command.define()
    other(["study.py", "--resume", str(folder), "--seeds", "9"])
    with pytest.raises(UserError, match="leave out --seeds"):
        command.restore(other, folder)
    with pytest.raises(UserError, match="is not the folder of a study"):
        command.restore(other, tmp_path)


def test_an_estimate_names_every_run_that_there_will_be(tmp_path):
    values = parsed("--seeds", "1", "--random", "1", "--train_seeds", "1")
    made, searches = command.plan_of(values)
    lines, whole = estimate(plan.Study(made, tmp_path), searches, 2)
    assert whole["runs"] == len(lines) == sum(made.expected.values())
    assert all(line["seconds"] > 0 and line["peak_memory_estimate_bytes"] > 1e8 for line in lines)
    assert not (tmp_path / "runs").exists()


def test_a_study_that_is_killed_ends_with_the_table_of_one_that_is_not(forks, tmp_path):
    killed = Fresh("study.py", *WHOLE, "--logdir", tmp_path / "killed", "--jobs", "2")
    until = time.monotonic() + 120
    while not list(tmp_path.glob("killed/study/*/runs/*/search_0/search_arch/*/config.json")):
        assert time.monotonic() < until and killed.poll() is None
        time.sleep(0.1)
    killed.kill()
    killed.wait(None)
    (folder,) = tmp_path.glob("killed/study/*")
    done = forks.run("study.py", "--resume", folder, "--jobs", "2")
    assert f"{folder / 'study.html'}" in done.stdout and not done.stderr.strip()
    searches = list(folder.glob("runs/*/search_0/search_arch/*/config.json"))
    assert len(searches) == 1  # the run that was killed went on
    forks.run("study.py", *WHOLE, "--logdir", tmp_path / "whole", "--jobs", "2")
    assert result_of(tmp_path / "killed") == result_of(tmp_path / "whole")


def test_the_evidence_says_what_the_table_does(done):
    _, result = done
    line = result["strategies"][0] | {"interval": [0.5, 2.0], "difference": 1.25, "mean": 60.0}
    line |= {"best_of": {"count": 3, "mean": 61.0, "there": 4}, "trained": [0, 2], "deviation": 1.0, "ranks": [1, 3]}
    assert evidence.sentence(line).startswith("better than the mean random cell (+1.25 points")
    assert "its mean is not above the best of 3 random cells" in evidence.sentence(line)
    assert "not told apart from" in evidence.sentence(line | {"interval": [-0.5, 2.0]})
    assert "worse than" in evidence.sentence(line | {"interval": [-2.0, -0.5]})
    assert "| +1.25 | +0.50 to +2.00 |" in evidence.row(line)
    assert "no cell" in evidence.sentence({"label": "x"})
    alone = line | {"trained": [0]}
    assert "nothing follows" in evidence.sentence(alone) and "| +1.25 | | | |" in evidence.row(alone)
    chosen, random = evidence.choices(result)
    by_owner = [cell for cell in result["cells"] if cell["owner"] == "baseline"]
    best = max(by_owner, key=lambda cell: cell["short"])
    assert f"random cells {best['mean']:.2f} % (of {len(by_owner)})." in chosen
    assert f"best random cell: {max(cell['mean'] for cell in by_owner):.2f} %" in random


def test_finished_runs_travel_to_another_machine(done, tmp_path, monkeypatch):
    study, result = done
    monkeypatch.setattr(evidence, "record", lambda preset: tmp_path / "kept.json")
    (tmp_path / "kept.json").write_text(json.dumps({"files": dict(evidence.packed(study))}))
    assert evidence.unpack("small", tmp_path / "logs", [*FLAGS, *STRATEGIES])
    (folder,) = (tmp_path / "logs" / "study").iterdir()
    other = plan.Study(command.plan_of(parsed())[0], folder)
    assert evidence.done(other) == "25 of 25" and table.table(other, {}) == result
