"""Studies on Ray: a machine that dies, a storage that is no shared disk, and what is refused."""

import sys
import time

import pytest

import tfdarts.study
from tests.support.commands import Fresh
from tests.support.studies import WHOLE, result_of
from tfdarts.cli import study as command
from tfdarts.errors import UserError
from tfdarts.study import worker

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install ray")


@pytest.fixture(scope="module")
def sequential(forks, tmp_path_factory):
    """The table of the same study without Ray."""
    logs = tmp_path_factory.mktemp("sequential")
    forks.run("study.py", *WHOLE, "--logdir", logs)
    return result_of(logs)


@pytest.fixture
def cluster():
    """A cluster of two machines of one processor each, both of them here."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.second = found.add_node(num_cpus=1)
    yield found
    found.shutdown()


def until(condition, process, seconds=180):
    """Waits until a condition holds, while a process runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.1)


def test_a_study_whose_machine_dies_ends_with_the_same_table(cluster, sequential, tmp_path):
    study = Fresh("study.py", *WHOLE, "--logdir", tmp_path, "--ray_address", cluster.address)
    until(lambda: len(list(tmp_path.glob("study/*/runs/**/config.json"))) >= 2, study)
    cluster.remove_node(cluster.second, allow_graceful=False)
    study.wait(timeout=400)
    assert result_of(tmp_path) == sequential
    (folder,) = tmp_path.glob("study/*/runs")
    configs = [path.parent.parent for path in folder.glob("**/config.json")]
    assert len(configs) == len(set(configs)) == 5  # what the dead machine ran went on in its own folder


def test_runs_lie_in_a_storage_that_is_no_shared_disk(sequential, tmp_path):
    storage = f"file://{tmp_path / 'storage'}"
    study = Fresh("study.py", *WHOLE, "--logdir", tmp_path / "logs", "--ray", "--storage", storage)
    study.wait(timeout=400)
    assert result_of(tmp_path / "logs") == sequential
    there = {path.relative_to(tmp_path / "storage") for path in (tmp_path / "storage").glob("**/results.json")}
    (here,) = (tmp_path / "logs" / "study").iterdir()
    assert there == {path.relative_to(here) for path in here.glob("**/results.json")} and len(there) == 4


def test_a_storage_gives_back_what_was_put_into_it(tmp_path):
    folder, storage = tmp_path / "here", f"file://{tmp_path / 'storage'}"
    (folder / "runs" / "a" / "train").mkdir(parents=True)
    for name in ("runs/a/x.json", "runs/a/train/y.npz", "runs/a/x.json.next", "runs/a/lock"):
        (folder / name).write_text(name)
    worker.push(storage, "runs/a", folder)
    (folder / "runs" / "a" / "x.json").write_text("newer and longer")
    worker.push(storage, "runs/a", folder)
    worker.pull(storage, "runs/a", tmp_path / "there")
    worker.pull(storage, "runs/nothing", tmp_path / "there")
    found = {str(path.relative_to(tmp_path / "there")): path for path in (tmp_path / "there").rglob("*.*")}
    assert set(found) == {"runs/a/x.json", "runs/a/train/y.npz"}
    assert found["runs/a/x.json"].read_text() == "newer and longer"


def parsed(*words):
    """The command's flags, parsed."""
    values = command.define()
    values(["study.py", *words])
    return values


@pytest.mark.parametrize(
    "words,sentence",
    [
        (["--cpus", "2"], "--cpus goes with --ray"),
        (["--storage", "s3://bucket"], "--storage goes with --ray"),
        (["--ray", "--jobs", "2"], "--jobs is for one machine without Ray"),
        (["--ray", "--cpus", "0"], "--cpus must be above 0"),
        (["--ray_address", "127.0.0.1:1"], "no Ray cluster answers at --ray_address 127.0.0.1:1"),
        (["--ray_address", "nowhere"], "no Ray cluster answers at --ray_address nowhere"),
        (["--ray_address", "127.0.0.1:99999999"], "no Ray cluster answers at --ray_address 127.0.0.1:9"),
    ],
)
def test_what_does_not_go_together_is_refused(words, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        command.workers_of(parsed(*words), tmp_path)


def test_without_ray_a_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "tfdarts.study.cluster", raising=False)
    monkeypatch.delattr(tfdarts.study, "cluster", raising=False)
    with pytest.raises(UserError, match=r"pip install 'tfdarts\[ray\]'"):
        command.workers_of(parsed("--ray"), tmp_path)
