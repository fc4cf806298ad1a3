"""What a Ray worker does with a run of a study; it imports neither TensorFlow nor the program: it starts a command."""

import os
import pathlib
import tempfile
import threading

from tfdarts.study.local import Processes

PLACE = "{study}/"  # stands in a run's words for the study's folder, if that lies elsewhere on each machine
_SECONDS = 60  # between copies of what a run has written so far into a storage


def work(stage, words, name, study, storage, path):
    """Runs a run to its end.

    Args:
        stage, words: of the `Run`; `PLACE` in them is the study's folder.
        name: path of its logs below the study's folder.
        study: the study's folder where the study was started.
        storage: URL of a folder that `fsspec` opens, where the runs lie; None if all machines reach `study`.
        path: folders of Python modules where the study was started, the last one its working directory.

    Returns:
        None; of a run that failed the last line that it printed.
    """
    processes, cwd = Processes(), path[-1] if os.path.isdir(path[-1]) else None
    there = [folder for folder in path if os.path.isdir(folder)]
    environment = {"PYTHONPATH": os.pathsep.join([*there, *filter(None, [os.environ.get("PYTHONPATH")])])}
    if storage is None:
        return _execute(processes, stage, words, pathlib.Path(study, name), environment, cwd)
    with tempfile.TemporaryDirectory(prefix="tfdarts_study_") as scratch:
        needed = [word.removeprefix(PLACE) for word in words if word.startswith(PLACE)]
        for each in (name, *needed):
            pull(storage, each, scratch)
        words = [word.replace(PLACE, f"{scratch}/") for word in words]
        ended = threading.Event()
        copying = threading.Thread(target=_copy, args=(storage, name, scratch, ended))
        copying.start()
        try:
            return _execute(processes, stage, words, pathlib.Path(scratch, name), environment, cwd)
        finally:
            ended.set()
            copying.join()
            push(storage, name, scratch)


def _execute(processes, stage, words, folder, environment, cwd):
    """As `Processes.execute`; if the task is cancelled meanwhile, the run saves a checkpoint first."""
    result, thread = [], None

    def run():
        result.append(processes.execute(stage, words, folder, environment, cwd))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:  # by `ray.cancel`
        processes.stop()
        thread.join()
        raise
    return result[0]


def _copy(storage, name, folder, ended):
    while not ended.wait(_SECONDS):
        push(storage, name, folder)


def push(storage, name, folder):
    """Copies `name` below a folder into the storage, but for what is being written at the moment."""
    import fsspec

    system, root = fsspec.core.url_to_fs(storage)
    for path in sorted(pathlib.Path(folder, name).rglob("*")):
        if path.is_file() and path.suffix != ".next" and path.name != "lock":
            target = f"{root}/{path.relative_to(folder).as_posix()}"
            if system.exists(target) and system.size(target) == path.stat().st_size and path.suffix == ".npz":
                continue  # a checkpoint never changes
            try:
                system.makedirs(target.rpartition("/")[0], exist_ok=True)
                system.put_file(str(path), target)
            except FileNotFoundError:  # an older checkpoint that has just gone
                continue


def pull(storage, name, folder):
    """Copies `name`, a file or a folder, from the storage to below a folder; nothing if it is not there."""
    import fsspec

    system, root = fsspec.core.url_to_fs(storage)
    if not system.exists(f"{root}/{name}"):
        return
    for source in [f"{root}/{name}"] if system.isfile(f"{root}/{name}") else system.find(f"{root}/{name}"):
        target = pathlib.Path(folder, source.removeprefix(root).lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(source, str(target))
