"""RobustDARTS (Zela et al. 2020, arXiv:1909.09656): a search ends before the loss becomes sharp in its architecture.

The largest eigenvalue of the Hessian (`strategies.curvature`), smoothed over epochs, is compared with what it was some
measurements before. Once it has risen by a factor, the cell of that earlier epoch is taken; or the search goes on from
there under a stronger weight decay (section 5.2, DARTS-ADA).
"""

import io
import pathlib

import keras
import numpy as np

from tfdarts.errors import UserError
from tfdarts.strategies.parts import Part

WINDOW = 5  # measurements that are averaged; an average belongs to the one in their middle
FACTOR, DELTA, START = 1.3, 4, 10
RAISE = 3.0  # of the weight decay
LARGEST_DECAY = 0.0243
NOTHING = -1  # where an epoch would stand


def average(values, place, window=WINDOW):
    """The mean of the values up to `place` and of those before it, `window` at the most."""
    return float(np.mean(values[max(0, place - window + 1) : place + 1]))


def compared(values, delta=DELTA, window=WINDOW):
    """The newest average, and the one that it is compared with; None while there is none.

    Args:
        values: the eigenvalues so far, oldest first.
        delta: how many measurements lie between the two.
        window: measurements that are averaged.
    """
    last = len(values) - 1
    if last - delta < window // 2:
        return None
    return average(values, last, window), average(values, last - delta, window)


def named(values, delta=DELTA, factor=FACTOR, window=WINDOW):
    """The place of the measurement whose cell is taken if the newest eigenvalue shows a rise; None if it does not.

    Args:
        values, delta, window: as in `compared`.
        factor: by which the average has to have risen.
    """
    both = compared(values, delta, window)
    if both is None or not both[0] > factor * both[1]:
        return None
    return len(values) - 1 - delta - window // 2


class Memory(keras.layers.Layer):
    """The last measurements of a search, as variables, and which of them was named.

    Attributes:
        named: epoch whose architecture is to be taken, or gone back to; `NOTHING` if there is none.
        first: epoch before which none may be named.

    Args:
        size: of the architecture parameters.
        delta: as in `compared`.
        start: of `first`.
    """

    def __init__(self, size, delta=DELTA, start=START):
        super().__init__(name="memory")
        room = WINDOW + delta

        def state(name, shape, value, dtype=None):
            start = keras.initializers.Constant(value)
            return self.add_weight(name=name, shape=shape, dtype=dtype, initializer=start, trainable=False)

        self.epochs = state("epochs", (room,), NOTHING, "int64")
        self.eigenvalues = state("eigenvalues", (room,), 0.0, "float64")
        self.alphas = state("alphas", (room, size), 0.0)
        self.named = state("named", (), NOTHING, "int64")
        self.first = state("first", (), start, "int64")
        self.built = True

    def known(self):
        """Epochs and eigenvalues of the measurements, oldest first."""
        epochs = self.epochs.numpy()
        there = epochs != NOTHING
        return epochs[there], self.eigenvalues.numpy()[there]

    def add(self, epoch, eigenvalue, alphas):
        """Adds a measurement; the oldest is forgotten when there is no more room."""
        for variable, value in ((self.epochs, epoch), (self.eigenvalues, eigenvalue), (self.alphas, alphas)):
            variable.assign(np.concatenate([variable.numpy()[1:], np.asarray(value)[None]]))

    def forget_after(self, epoch):
        """Forgets the measurements behind an epoch."""
        kept = self.epochs.numpy() <= epoch
        order = np.argsort(kept, kind="stable")  # what is forgotten comes first, as what was never there
        self.epochs.assign(np.where(kept, self.epochs.numpy(), NOTHING)[order])
        for variable in (self.eigenvalues, self.alphas):
            variable.assign(variable.numpy()[order])

    def named_alphas(self):
        """The architecture parameters of the epoch that was named."""
        (place,) = np.flatnonzero(self.epochs.numpy() == self.named.numpy())
        return self.alphas.numpy()[place]


class RiseStop(Part):
    """Ends a search when the eigenvalue has risen, and takes the cell of the earlier epoch.

    Args:
        factor, delta: as in `named`.
    """

    def __init__(self, factor=FACTOR, delta=DELTA):
        self.factor, self.delta = factor, delta

    def look(self, memory, logs):
        """The epoch that the rule names now, or None; adds to `logs` what is compared."""
        epochs, values = memory.known()
        both = compared(values, self.delta)
        if both:
            logs["eigenvalue_average"], logs["eigenvalue_threshold"] = both[0], self.factor * both[1]
        place = named(values, self.delta, self.factor)
        return None if place is None or epochs[place] < memory.first.numpy() else int(epochs[place])

    def stop(self, search, logs):
        if "eigenvalue" not in logs:
            return None
        epoch = self.look(search.memory, logs)
        return None if epoch is None else self.end(search.memory, epoch, logs)

    def end(self, memory, epoch, logs):
        """Ends a search with the cell of an epoch; returns the sentence."""
        memory.named.assign(epoch)
        logs["genotype_of_epoch"] = epoch + 1
        return (
            f"the largest eigenvalue of the Hessian has risen to {logs['eigenvalue_average']:.4g}, above "
            f"{logs['eigenvalue_threshold']:.4g}; the genotype is that of epoch {epoch + 1}"
        )


class Adaptive(RiseStop):
    """Goes back to the earlier epoch under three times the weight decay, as long as that is not above the largest.

    Args:
        factor, delta: as in `named`.
        every: epochs from one measurement to the next.
    """

    def __init__(self, factor=FACTOR, delta=DELTA, every=1):
        super().__init__(factor, delta)
        self.states = States((delta + WINDOW // 2 + 1) * every)

    def stop(self, search, logs):
        logs["weight_decay"] = float(search.weight_optimizer.weight_decay.numpy())
        if "eigenvalue" not in logs:
            return None
        memory = search.memory
        self.states.keep(search)
        epoch = self.look(memory, logs)
        if epoch is None:
            return None
        last = search.epoch.numpy() + 1 >= search.epochs  # none is left to go on in
        if last or logs["weight_decay"] * RAISE > LARGEST_DECAY * (1 + 1e-6):
            return self.end(memory, epoch, logs)
        memory.named.assign(epoch)
        logs["went_back_to"] = epoch + 1
        return None


class GoBack(keras.callbacks.Callback):
    """At the beginning of an epoch: goes back to the one that `Adaptive` named.

    Args:
        states: `States`.
    """

    def __init__(self, states):
        super().__init__()
        self.states = states

    def on_train_begin(self, logs=None):
        epochs, _ = self.model.memory.known()
        if len(epochs) and not self.states.has(int(epochs[-1])):
            raise UserError(
                "the states that this search by --stop adaptive could go back to were dropped at its end, so that "
                "--epochs can no longer grow; start a new run"
            )

    def on_epoch_begin(self, epoch, logs=None):
        search, memory = self.model, self.model.memory
        back = int(memory.named.numpy())
        if back == NOTHING:
            return
        self.states.restore(search, back)
        decay = search.weight_optimizer.weight_decay
        decay.assign(decay.value * RAISE)
        memory.forget_after(back)
        memory.first.assign(back)
        memory.named.assign(NOTHING)
        print(f"back to the state of epoch {back + 1}, with weight decay {float(decay.numpy()):.4g} from here on")


class States:
    """States of a search at the ends of its last epochs: in the run's folder, or without one in memory.

    Args:
        reach: int, epochs back from the newest that one may go.
    """

    def __init__(self, reach):
        self.reach, self.folder, self.held = reach, None, {}

    def open(self, folder):
        """Takes the folder of the run, a path, to keep them in."""
        self.folder = pathlib.Path(folder) / "states"

    def _path(self, epoch):
        return self.folder / f"epoch_{epoch + 1}.npz"

    def has(self, epoch):
        """Whether the state at the end of an epoch is there."""
        return epoch in self.held if self.folder is None else self._path(epoch).is_file()

    def keep(self, search):
        """Keeps the state that a search has at the end of its epoch, and drops those that nothing needs any more.

        Those of a few more epochs stay, for a run that is killed before this epoch's checkpoint.
        """
        epoch, arrays = int(search.epoch.numpy()), [variable.numpy() for variable in search.rewound()]
        needed = {int(each) for each in search.memory.known()[0]}
        if self.folder is None:
            self.held[epoch] = arrays
            self.held = {each: state for each, state in self.held.items() if each in needed}
            return
        buffer = io.BytesIO()
        np.savez(buffer, *arrays)
        try:
            self.folder.mkdir(exist_ok=True)
            temporary = self._path(epoch).with_suffix(".next")
            temporary.write_bytes(buffer.getvalue())
            temporary.replace(self._path(epoch))
        except OSError as error:
            raise UserError(
                f"cannot write into {self.folder}: {error.strerror}; the last checkpoint is intact"
            ) from None
        for path in self.folder.glob("epoch_*.npz"):
            number = int(path.stem.split("_")[1]) - 1
            if number not in needed and number < epoch - 2 * self.reach:
                path.unlink(missing_ok=True)

    def restore(self, search, epoch):
        """Sets a search to its state at the end of an epoch.

        Raises:
            UserError: if that is no longer there.
        """
        if self.folder is None:
            arrays = self.held[epoch]
        else:
            try:
                with np.load(self._path(epoch), allow_pickle=False) as file:
                    arrays = [file[f"arr_{place}"] for place in range(len(file.files))]
            except (OSError, ValueError, KeyError) as error:
                raise UserError(
                    f"cannot read {self._path(epoch)} ({type(error).__name__}), which the search has to go back to; "
                    "start a new run"
                ) from None
        for variable, value in zip(search.rewound(), arrays, strict=True):
            variable.assign(value)

    def clear(self):
        """Drops all of them."""
        self.held = {}
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()
