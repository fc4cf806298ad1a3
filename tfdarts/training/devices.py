"""One step on several devices, of one machine or of several: each runs the pass on a piece of the batch.

What one device would compute is what comes out, but for BatchNorm: each device normalises by its own piece, as in
PyTorch's `DataParallel`, unless it is told to normalise by the whole batch.
"""

import tensorflow as tf

from tfdarts import collectives
from tfdarts.errors import UserError
from tfdarts.runs import environment

SUM, MEAN, FIRST, GATHER = "sum", "mean", "first", "gather"  # what becomes of each device's results


class Shared:
    """A pass that devices share, called as the pass is.

    Args:
        devices: `Devices`.
        method: the pass.
        axes: structure like its arguments: along which axis each is cut, where None stands for what every device gets
            whole, also for a whole part of the structure.
        merges: structure like its results, what becomes of each device's: `SUM`, of gradients, which know their shares
            (`collectives.share`); `MEAN`, weighed by the shares; `FIRST`, the first device's; `GATHER`, joined along
            the first axis; or an int, joined along that axis, but those of this machine only.
    """

    def __init__(self, devices, method, axes, merges):
        self.devices, self.axes, self.merges = devices, axes, merges

        def on_piece(share, *arguments):
            with collectives.tracing(share, devices.count if devices.sync_batchnorm else 1):
                return method(*arguments)

        self.function = tf.function(on_piece, autograph=False, experimental_attributes={"_noinline": True})

    def __call__(self, *arguments):
        return self.devices.run(self.function, arguments, self.axes[: len(arguments)], self.merges)


class Devices:
    """The devices that share each pass.

    A pass is traced once, and called once a device, whatever their number.

    Args:
        names: of this machine's devices, as TensorFlow calls them.
        machine, machines: this machine's number, from 0, and how many there are.
        sync_batchnorm: whether BatchNorm normalises by the whole batch.
    """

    def __init__(self, names, machine=0, machines=1, sync_batchnorm=False):
        self.names, self.machine, self.machines = tuple(names), machine, machines
        self.sync_batchnorm = sync_batchnorm

    @property
    def count(self):
        """Number of devices, those of all machines together."""
        return len(self.names) * self.machines

    def of_this_machine(self):
        """This machine's devices, for what every machine does by itself."""
        return Devices(self.names)

    def check(self, batch_size):
        """Raises UserError for a batch size that the devices do not divide."""
        if batch_size % self.count:
            larger = -(-batch_size // self.count) * self.count
            raise UserError(
                f"--batch_size {batch_size} cannot be divided among {self.count} devices; give --batch_size {larger}, "
                "or other --devices"
            )

    def run(self, function, arguments, axes, merges):
        """Runs a pass on every device on its piece of the batch.

        Args:
            function: a `tf.function` of the piece's share of the batch and the arguments.
            arguments: tuple of structures of tensors, the batch's whole.
            axes, merges: as in `Shared`.

        Returns:
            What the pass would return for the whole batch.
        """
        pieces, shares = self._cut(arguments, axes)
        pieces = [(share, *piece) for share, piece in zip(shares, pieces)]
        run = function.get_concrete_function(*pieces[0])
        results = []
        for name, piece in zip(self.names, pieces):
            with tf.device(name):
                results.append(_call(run, piece))
        with tf.device(self.names[0]):
            how = _like(results[0], merges)
            flat = zip(how, *map(tf.nest.flatten, results))
            merged = [None if parts[0] is None else _merged(kind, parts, shares) for kind, *parts in flat]
            if self.machines > 1:
                merged = self._over_machines(how, merged)
        return tf.nest.pack_sequence_as(results[0], merged)

    def own(self, tensor, axis):
        """This machine's part of a tensor of the whole batch."""
        pieces, _ = self._cut((tensor,), (axis,))
        return tf.concat([piece for (piece,) in pieces], axis)

    def _cut(self, arguments, axes):
        """The arguments of each of this machine's devices, and which share of the whole batch each of them has."""
        arguments = tf.nest.map_structure(lambda x: None if x is None else tf.convert_to_tensor(x), arguments)
        tensors, first = tf.nest.flatten(arguments), self.machine * len(self.names)
        along = _like(arguments, axes)
        total = next(tf.shape(x)[axis] for x, axis in zip(tensors, along) if axis is not None)
        sizes = [(total + self.count - 1 - place) // self.count for place in range(self.count)]

        def parts(x, axis):
            if axis is None:
                return [x] * len(self.names)
            return _split(x, axis, self.count, sizes)[first : first + len(self.names)]

        cut = zip(*[parts(x, axis) for x, axis in zip(tensors, along)])
        pieces = [tf.nest.pack_sequence_as(arguments, piece) for piece in cut]
        return pieces, [sizes[first + place] / total for place in range(len(self.names))]

    def _over_machines(self, how, tensors):
        """Merges what the machines' devices found, in one sum."""
        shared = [place for place, kind in enumerate(how) if kind in (SUM, MEAN, FIRST, GATHER)]
        own = [self._addend(how[place], tensors[place]) for place in shared]
        flat = tf.concat([tf.cast(tf.reshape(x, [-1]), own[0].dtype) for x in own], 0)  # first comes a gradient
        flat = collectives.all_sum(flat, self.machines, collectives.GRADIENTS)
        pieces = tf.split(flat, tf.stack([tf.size(x) for x in own]), num=len(own))
        found = {place: tf.cast(tf.reshape(y, tf.shape(x)), x.dtype) for place, x, y in zip(shared, own, pieces)}
        return [found.get(place, tensor) for place, tensor in enumerate(tensors)]

    def _addend(self, kind, x):
        """What this machine adds to the sum that merges a tensor of all machines."""
        if kind == GATHER:
            return self._placed(x)
        return tf.zeros_like(x) if kind == FIRST and self.machine > 0 else x

    def _placed(self, x):
        """This machine's rows among those of all machines, the others 0."""
        rows = tf.shape(x)[0]
        return tf.pad(x, [[self.machine * rows, (self.machines - 1 - self.machine) * rows], [0, 0]])

    def meet(self, step):
        """Waits for the other machines.

        Args:
            step: int, of the run that this one goes on from.

        Raises:
            UserError: if they go on from different steps.
        """
        if self.machines == 1:
            return
        steps = tf.function(lambda x: collectives.all_sum(x, self.machines, collectives.GRADIENTS), autograph=False)(
            tf.one_hot(self.machine, self.machines, float(step), dtype=tf.float64)
        )
        if len(set(steps.numpy())) > 1:
            found = ", ".join(str(int(each)) for each in steps.numpy())
            raise UserError(
                f"the machines would go on from different steps ({found}): let all see the same --resume folder"
            )


def _like(structure, axes):
    """The axis of each tensor of a structure; one axis, or None, may stand for a whole part of it."""
    if axes is None or isinstance(axes, (int, str)):
        return [axes] * len(tf.nest.flatten(structure))
    if isinstance(structure, dict):
        return [axis for name in sorted(structure) for axis in _like(structure[name], axes[name])]
    return [axis for part, own in zip(structure, axes, strict=True) for axis in _like(part, own)]


def _split(x, axis, count, sizes):
    """Pieces of a tensor, of one static shape, whatever their sizes."""
    if x.shape[axis] is not None and x.shape[axis] % count == 0:
        return tf.split(x, count, axis)
    shape = [None if place == axis else size for place, size in enumerate(x.shape)]
    pieces = tf.split(x, tf.stack(sizes), axis, num=count)
    return [tf.compat.v1.placeholder_with_default(piece, shape) for piece in pieces]


def _call(function, arguments):
    """Calls a concrete function as an operation without state, so that no call waits for another to end.

    It may read variables (the scale of a loss), and must not set any. Unless a graph is told so, its calls that read
    the same variable run one after the other, and the first would wait for what the others have to add to its sums.
    """
    inputs = [*(x for x in tf.nest.flatten(arguments) if tf.is_tensor(x)), *function.captured_inputs]
    outputs = tf.raw_ops.PartitionedCall(args=inputs, Tout=[output.dtype for output in function.outputs], f=function)
    if not tf.executing_eagerly():
        read = [place for place, x in enumerate(inputs) if x.dtype == tf.resource]
        attribute = tf.compat.v1.AttrValue(list=tf.compat.v1.AttrValue.ListValue(i=read))
        outputs[0].op._set_attr("_read_only_resource_inputs", attribute)
    for output, known in zip(outputs, function.outputs):
        output.set_shape(known.shape)
    given = iter(outputs)
    structure = function.structured_outputs
    return tf.nest.map_structure(lambda known: None if known is None else next(given), structure)


def _merged(kind, parts, shares):
    """What becomes of one tensor of each device's results; see `Devices.run`."""
    if kind == FIRST:
        return parts[0]
    if kind not in (SUM, MEAN):
        return tf.concat(parts, 0 if kind == GATHER else kind)
    # A device without a share of a short batch has no say, whatever it found.
    shares = shares if kind == MEAN else [tf.sign(share) for share in shares]
    return tf.add_n([tf.math.multiply_no_nan(x, tf.cast(share, x.dtype)) for x, share in zip(parts, shares)])


def chosen(*, devices, sync_batchnorm, batch_size, remat="none", jit_compile=False, perturb="none", strategy="darts"):
    """The `Devices` that options name; None for a single one.

    Raises:
        UserError: if there are not so many, if they do not divide the batch, or for options that need a single one.
    """
    names, (machine, machines) = environment.devices(devices), environment.cluster()
    found = Devices(names, machine, machines, sync_batchnorm)
    if found.count == 1:
        return None
    if strategy != "darts":
        raise UserError(
            f"--strategy {strategy} runs on one device; leave out --devices, and unset TF_CONFIG if it names several "
            "machines"
        )
    if perturb == "adversarial":
        raise UserError(
            "--perturb adversarial needs a single device: its attack is one on the loss of the whole batch, of which "
            "each device has a piece"
        )
    if sync_batchnorm and (remat != "none" or jit_compile):
        raise UserError(
            "--sync_batchnorm does not go with --remat or --jit_compile, where cells share a function and with it the "
            "names of their sums over devices; leave one of them out"
        )
    found.check(batch_size)
    return found
