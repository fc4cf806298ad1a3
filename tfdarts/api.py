"""The public functions: what notebooks and command lines call."""

import dataclasses
import pathlib
import typing

import keras
import numpy as np

from tfdarts import precision, recipes, spaces, strategies, tasks
from tfdarts.classifier import Classifier, network_of
from tfdarts.errors import UserError
from tfdarts.genotype import Genotype
from tfdarts.report.drawing import svgs
from tfdarts.runs import environment, memory
from tfdarts.runs.callbacks import GenotypeCallback
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.saving import load_model
from tfdarts.spaces import genotypes
from tfdarts.spaces.base import ImageInputs
from tfdarts.strategies.parts import Part
from tfdarts.training import trainer


@dataclasses.dataclass(frozen=True)
class Search:
    """A search that has ended.

    In a notebook it shows its cells.

    Attributes:
        genotype: what it found.
        history: dictionary from metric to a list of its values, one an epoch; as `keras.callbacks.History.history`.
        mixing: dictionary from table to the last mixing weights, `(choices, candidates)` numpy arrays.
        choices: dictionary from table to a tuple of `layers.choices.Choice`, what its rows and columns are.
        folder: `pathlib.Path` of the run; None without a log folder.
        model: the Keras model that searched: a `Darts` or an `Enas`.
        stopped: of a search that one of its parts stopped (`--stop`) a dictionary with the epoch that it stopped after,
            `stopped_after_epoch`, and the one whose genotype it is, `genotype_of_epoch`; otherwise None.
    """

    genotype: Genotype
    history: dict
    mixing: dict
    choices: dict
    folder: pathlib.Path | None
    model: keras.Model
    stopped: dict | None = None

    def _repr_html_(self):
        return "".join(svgs(self.genotype))


def search(
    data: typing.Any = None,
    *,
    recipe: str | None = None,
    space: str | None = None,
    strategy: str | None = None,
    logdir: str | None = None,
    callbacks: typing.Sequence[keras.callbacks.Callback] = (),
    parts: typing.Sequence[Part] = (),
    **options: typing.Any,
) -> Search:
    """Searches an architecture.

    Args:
        data: what to search on; None for the recipe's data set. Of images: a pair of arrays `(x, y)`, pixels from 0 to
            255 `(n, height, width)` or `(n, height, width, channels)` and integer labels `(n,)`; a `tf.data.Dataset` of
            such `(image, label)`, which is read into memory; a name as `--dataset` takes (`"cifar10"`,
            `"folder:photos"`). Of text: a folder with `train.txt`, `valid.txt` and `test.txt`, `"topics"`, or a
            dictionary from `"train"`, `"valid"` and `"test"` to text.
        recipe: name of a paper's hyperparameters; None for the space's.
        space: name of the search space, or dotted path of a module with `SPACE`; None for the recipe's, or `"conv"`.
        strategy: `"darts"`, `"enas"` or `"random_ws"`; None for the recipe's.
        logdir: folder of all runs; None to write nothing.
        callbacks: Keras callbacks, run before an epoch's checkpoint.
        parts: what is to differ from plain DARTS, see `Part`.
        options: any option of the command line, by name: `epochs=5`.

    Returns:
        A `Search`.

    Raises:
        UserError: for options, data or operations that cannot be, with a sentence.

    Examples:
        >>> import numpy as np, tfdarts
        >>> x, y = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
        >>> tiny = {"init_channels": 2, "layers": 3, "nodes": 1, "multiplier": 1, "batch_size": 15, "unrolled": False}
        >>> found = tfdarts.search((x, y), recipe="digits", epochs=1, **tiny)  # doctest: +ELLIPSIS
        epoch 1 of 1, about ... left
        2/2 - ...
        >>> len(found.genotype.normal), found.mixing["normal"].shape, found.folder
        (2, (2, 8), None)
    """
    if strategy == "random":
        raise UserError("random architectures need no search; call tfdarts.random_genotypes")
    given = options | ({} if strategy is None else {"strategy": strategy})
    settings = recipes.resolve(recipe, "search", _with_name(data, given, recipes.space_of(recipe, space)), space)
    environment.configure(**settings.pick(environment.configure))
    where = spaces.load(settings.space)
    source, settings = _read(where, data, None, settings)
    job = strategies.load(settings.strategy).job(where, source, settings, parts)
    space_info = where.remembered(**settings.pick(where.remembered))
    folder = _folder(logdir, settings, source, {"space_info": space_info})
    found = fit_search(job, settings, folder, callbacks)
    if folder:
        folder.write("genotype.json", found.genotype.to_json())
    return found


def fit_search(job, settings, folder, callbacks=()):
    """Fits a search, and writes its genotype and mixing weights after every epoch if there is a folder.

    Args:
        job: `Job`.
        settings: `options.Settings`.
        folder: `RunFolder`, or None.
        callbacks: as in `search`.

    Returns:
        A `Search`.
    """
    callbacks = (*callbacks, GenotypeCallback(folder)) if folder else callbacks
    with memory.explained(settings.values.get("batch_size")):
        fitted = fit(folder, job, settings.values["epochs"], settings.values["checkpoint_minutes"], callbacks)
    model, path = fitted.model, folder.folder if folder else None
    model.take_best()
    if job.states is not None:
        job.states.clear()
    mixing = {name: np.asarray(table) for name, table in model.mixing().items()}
    if folder and model.over:
        folder.save_json("stop.json", model.over)
    return Search(model.genotype(), fitted.history, mixing, model.choices, path, model, model.over)


def random_genotypes(
    count: int = 10,
    *,
    recipe: str | None = None,
    space: str | None = None,
    seed: int = 0,
    **options: typing.Any,
) -> list[Genotype]:
    """Draws genotypes uniformly from what a search could find: the baseline of every search.

    Random search is hard to beat (Li and Talwalkar 2019, arXiv:1902.07638).

    Args:
        count: how many.
        recipe, space, options: as in `search`.
        seed: the same seed gives the same genotypes.

    Returns:
        A list of genotypes.

    Raises:
        UserError: for options that cannot be.

    Examples:
        >>> import tfdarts
        >>> [genotype.space for genotype in tfdarts.random_genotypes(2, space="macro", layers=4)]
        ['macro', 'macro']
    """
    given = options | {"strategy": "random", "samples": count, "seed": seed}
    return run_random(recipes.resolve(recipe, "search", given, space))


def run_random(settings):
    """The genotypes that settings with the strategy `"random"` draw."""
    space = spaces.load(settings.space)
    return strategies.load(recipes.own_strategy(settings.recipe, space)).random(space, settings)


def train(
    genotype: Genotype | str | None,
    data: typing.Any = None,
    test: typing.Any = None,
    *,
    recipe: str | None = None,
    space: str | None = None,
    logdir: str | None = None,
    callbacks: typing.Sequence[keras.callbacks.Callback] = (),
    **options: typing.Any,
) -> keras.Model:
    """Trains the network of a genotype.

    Args:
        genotype: a genotype, the name of a shipped one, or a file.
        data: what to train on, as in `search`.
        test: images to test on, in the forms of `data`; None for the data set's own. Of arrays without test images, a
            tenth is held out.
        recipe, space, logdir, callbacks, options: as in `search`.

    Returns:
        A Keras model. Of images a `Classifier`, which takes pixels as they came and gives probabilities; of text an
        `EvaluationLanguageModel`. It has `results`, a dictionary of test results and costs; `training_history`, as
        `Search.history`; and `folder`, of the run, or None.

    Raises:
        UserError: for options, data or genotypes that cannot be, with a sentence.

    Examples:
        >>> import numpy as np, tfdarts
        >>> x, y = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
        >>> tiny = {"init_channels": 2, "layers": 3, "batch_size": 30}
        >>> model = tfdarts.train("DARTS_V2", (x, y), (x[:9], y[:9]), recipe="digits", epochs=1, **tiny
        ... )  # doctest: +ELLIPSIS
        epoch 1 of 1, about ... left
        2/2 - ...
        >>> model.predict(x[:4], verbose=0).shape
        (4, 3)
        >>> sorted(model.results)[:3]
        ['multiply_adds', 'parameters', 'parameters_auxiliary']
    """
    if isinstance(genotype, str):
        genotype = load(genotype, recipes.space_of(recipe, space))
    space = space or (genotype.space if genotype else None)
    settings = recipes.resolve(recipe, "train", _with_name(data, options, recipes.space_of(recipe, space)), space)
    settings = settings.but(**spaces.load(settings.space).options_of(genotype)) if genotype else settings
    environment.configure(**settings.pick(environment.configure))
    where = spaces.load(settings.space)
    source, settings = _read(where, data, test, settings)
    job = trainer.job(where, source, genotype, settings)
    folder = _folder(logdir, settings, source)
    if folder and genotype:
        folder.write("genotype.json", genotype.to_json())
    results, history = fit_training(job, settings, source, folder, callbacks)
    model = job.model.network
    if where.task == "images":
        model = Classifier(model, pixels=True)
        model.build((None, *source.inputs.shape))
    model.results, model.training_history, model.folder = results, history, folder.folder if folder else None
    return model


def fit_training(job, settings, data, folder, callbacks=()):
    """Fits, tests and saves a training.

    Args:
        job: `Job`.
        settings: `options.Settings`.
        data: that it is tested on.
        folder: `RunFolder`, or None.
        callbacks: as in `train`.

    Returns:
        Its test results and costs, a dictionary; the history of its metrics, as `Search.history`.
    """
    with memory.explained(settings.values.get("batch_size")):
        fitted = fit(folder, job, settings.values["epochs"], settings.values["checkpoint_minutes"], callbacks)
        job.model.take_best()
        if precision.make_exact(job.model.network):  # tested as the model will be that is saved
            job.model.forget_graphs()
        results = data.results(job.model, **settings.pick(data.results)) | {"seconds": round(fitted.seconds, 1)}
    if folder:
        folder.save_json("results.json", results)
        job.model.network.save(folder.folder / "model.keras")
    return results, fitted.history


def evaluate(
    model: keras.Model | str, data: typing.Any = None, *, data_dir: str | None = None, batch_size: int | None = None
) -> dict:
    """Tests a trained model.

    Args:
        model: what `train` returned, or the path of a `model.keras`.
        data: images to test on, in the forms of `search`, or the name of a data set or text with the same classes or
            words; None for what it was trained on.
        data_dir: folder of data prepared by TensorFlow Datasets; None for its own.
        batch_size: images per step; None for 96. Text has none.

    Returns:
        A dictionary: of images error, accuracy and top-5 accuracy in percent; of text perplexities.

    Raises:
        UserError: if the model or the data cannot be read, or do not belong together.

    Examples:
        >>> import numpy as np, tfdarts
        >>> x, y = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
        >>> tiny = {"init_channels": 2, "layers": 3, "batch_size": 30}
        >>> model = tfdarts.train("DARTS_V2", (x, y), recipe="digits", epochs=1, **tiny)  # doctest: +ELLIPSIS
        epoch 1 of 1, about ... left
        2/2 - ...
        >>> sorted(tfdarts.evaluate(model, (x, y)))
        ['test_accuracy_percent', 'test_error_percent', 'top5_accuracy_percent']
    """
    if isinstance(model, (str, pathlib.Path)):
        model = load_trained(model)
    network = network_of(model)
    task = tasks.load(network.task)
    if network.task == "text":
        if data_dir is not None or batch_size is not None:
            raise UserError("a language model takes no --data_dir and no --batch_size; leave them out")
        source = task.load_for(network, data)
        return source.test_results(trainer.tester(network, source.test_task(network)))
    if data is None or isinstance(data, str):
        source = task.load_for(network, data, data_dir)
    else:
        source = task.for_testing(network, data)
    learner, batch_size = trainer.tester(network, source.test_task(network)), batch_size or 96
    with memory.explained(batch_size):
        return source.test_results(learner, batch_size=batch_size)


def load_trained(path, ops=None, space=None):
    """Loads a saved model; as `saving.load_model`, with sentences for users.

    Raises:
        UserError: if there is no such file, or it holds something else.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the model in it, {path / 'model.keras'}")
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        return load_model(path, ops, space)
    except ValueError as error:
        raise UserError(f"cannot load {path}: {error}") from error


def build(
    genotype: Genotype | str,
    input_shape: tuple,
    classes: int,
    *,
    space: str | None = None,
    channels: int | None = None,
    layers: int | None = None,
    auxiliary: bool = False,
    ops: str | None = None,
) -> keras.Model:
    """Builds the network of a genotype for images, as a plain Keras model with new weights.

    Args:
        genotype: a genotype, the name of a shipped one (`list_genotypes`), or a file.
        input_shape: `(height, width, channels)` of the images, which the model takes as they are, normalized or not.
        classes: number of classes.
        space: space of a shipped genotype's name; None for `"conv"`.
        channels: channels of the first layers; None for the paper's.
        layers: number of cells, or of pairs of sweeps; None for the paper's.
        auxiliary: whether training has an auxiliary head.
        ops: where the genotype's operation module lies now, if it has moved.

    Returns:
        A `Classifier`, which gives probabilities `(batch, classes)`.

    Raises:
        UserError: if there is no such genotype, it takes no images, or its space has no such layers or auxiliary head.

    Examples:
        >>> import numpy as np, tfdarts
        >>> net = tfdarts.build("DARTS_V2", input_shape=(8, 8, 3), classes=10, channels=4, layers=3)
        >>> net(np.zeros((2, 8, 8, 3))).shape.as_list()
        [2, 10]
    """
    genotype = load(genotype, space) if isinstance(genotype, str) else genotype
    genotype = genotype.with_module(ops) if ops else genotype
    where = spaces.load(genotype.space)
    if where.task != "images":
        raise UserError(f"the space {where.name} is not for images, so it makes no classifier; train it on text")
    settings = recipes.resolve(None, "train", {}, where.name)
    width = "nhid" if "nhid" in settings.values else "init_channels"
    given = {width: channels, "layers": layers} | ({"auxiliary": True} if auxiliary else {})
    given = {name: value for name, value in given.items() if value is not None}
    settings = recipes.resolve(None, "train", given, where.name)
    if not auxiliary and "auxiliary" in settings.values:
        settings = settings.but(auxiliary=False)
    settings = settings.but(**where.options_of(genotype))
    network = where.network(genotype, ImageInputs(tuple(input_shape), classes), **settings.pick(where.network))
    model = Classifier(network)
    model.build((None, *input_shape))
    return model


def load(source: str, space: str | None = None) -> Genotype:
    """Reads a genotype.

    Args:
        source: the name of a shipped one, a JSON file, or a text file that holds `Genotype(...)`.
        space: space of the name; None for `"conv"`.

    Returns:
        A genotype.

    Raises:
        GenotypeError: with a sentence that says what is wrong.

    Examples:
        >>> import tfdarts
        >>> tfdarts.load("DARTS_V1").skip_connections()
        6
    """
    return genotypes.load(source, space)


def list_genotypes(space: str = "conv") -> list[str]:
    """Names of the genotypes that ship with the program.

    Args:
        space: name of a space.

    Returns:
        A sorted list of names.

    Examples:
        >>> import tfdarts
        >>> tfdarts.list_genotypes("macro")
        ['ENAS']
    """
    return genotypes.names(space)


def _with_name(data, options, space):
    """Options with the name of the data set, if the data is given by name."""
    if not isinstance(data, str):
        return options
    return options | {tasks.load(spaces.load(space).task).SOURCE: data}


def _read(space, data, test, settings):
    """The data of a run, the option's data set or what the user handed over, and settings that say which it is."""
    task = tasks.load(space.task)
    if data is None or isinstance(data, str):
        if test is not None:
            raise UserError("`test` goes with arrays; a data set by name has its own test images")
        return task.load(**settings.pick(task.load)), settings
    return task.from_memory(data, test, **settings.pick(task.from_memory)), settings.but(**{task.SOURCE: None})


def _folder(logdir, settings, data, more=None):
    if logdir is None:
        return None
    return RunFolder.start(logdir, settings.to_config() | {"data_info": data.remembered} | (more or {}))


__all__ = ["Search", "build", "evaluate", "list_genotypes", "load", "random_genotypes", "search", "train"]
