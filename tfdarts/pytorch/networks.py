"""Networks from weight files: which layout a file has, which genotype fits it, and the network with its weights."""

import dataclasses
import types
import typing

from tfdarts import naming, recipes, spaces
from tfdarts.errors import UserError
from tfdarts.pytorch import content, conv, enas, layouts, recurrent, renet
from tfdarts.spaces import genotypes
from tfdarts.spaces.renet.genotype import ReNetGenotype

LAYOUTS = (renet, recurrent, enas, conv)  # a file of the first also has keys that the last looks for
_HEAD = f"{conv.HEAD}."


@dataclasses.dataclass(frozen=True)
class Source:
    """A weight file whose kind of network is known.

    Attributes:
        weights: `content.Weights`.
        layout: one of `LAYOUTS`.
        sizes: the layout's `Sizes`.
    """

    weights: content.Weights
    layout: types.ModuleType
    sizes: typing.Any

    @property
    def space(self):
        """The `spaces.base.Space` of its network."""
        return spaces.load(self.layout.space)

    def misfit(self, genotype, sizes=None, spared=()):
        """The first difference from the network of a genotype, a clause; None for none."""
        try:
            parts = self.layout.parts(genotype, sizes or self.sizes)
        except UserError as error:
            return str(error)
        return layouts.misfit(parts, self.weights.tensors, (*getattr(self.layout, "SPARED", ()), *spared))

    def refused(self, clause):
        """The error for a file that cannot be used."""
        return UserError(f"cannot use the weights of {self.weights.path}: {clause}")


def read(path):
    """Reads a weight file and tells its kind.

    Raises:
        UserError: for every file that holds no weights of a network of these programs.
    """
    weights = content.read(path)
    for layout in LAYOUTS:
        if layout.fits(weights.tensors):
            try:
                return Source(weights, layout, layout.sizes(weights.tensors))
            except UserError as error:
                raise UserError(f"cannot use the weights of {path}: {error}") from None
    raise UserError(f"cannot use the weights of {path}: they are of no network of DARTS or its descendants")


def chosen(source, genotype=None):
    """The genotype of a file's network, and a sentence on where it is from.

    Args:
        source: `Source`.
        genotype: that the user names; None for the file's own, or the one shipped genotype that fits.

    Raises:
        UserError: if it does not fit, none or several fit, or the file names another.
    """
    if genotype is not None:
        genotype = _of_space(source, genotype)
    own = source.weights.genotype
    if own is not None:
        if genotype not in (None, own):
            raise source.refused("it names a genotype of its own, which is another one; leave out --arch")
        return own, "the file names its genotype itself"
    if genotype is not None:
        clause = source.misfit(genotype)
        if clause:
            raise source.refused(f"the genotype does not fit: {clause}")
        return genotype, None
    names = genotypes.names(source.layout.space)
    shipped = {name: genotypes.load(name, source.layout.space) for name in names}
    clauses = {name: source.misfit(each) for name, each in shipped.items()}
    fitting = [name for name, clause in clauses.items() if clause is None]
    if len(fitting) > 1:
        raise source.refused(f"several genotypes fit, {', '.join(fitting)}; choose one by --arch")
    if not fitting:
        nearest = max(clauses, key=lambda name: _agreement(source, shipped[name]))
        raise source.refused(f"no shipped genotype fits; the nearest, {nearest}, differs in this: {clauses[nearest]}")
    return shipped[fitting[0]], f"the genotype that fits is {fitting[0]}"


def _of_space(source, genotype):
    """A genotype that was given for a file, of its space; the authors' text of a sweeping cell does not say which."""
    if source.layout is renet and genotype.space == recurrent.space:
        entries, concat = genotype.recurrent, genotype.concat
        return ReNetGenotype(entries, concat, ops=genotype.ops, cell=source.sizes.cell)
    if genotype.space != source.layout.space:
        spaces_of = f"of the space {source.layout.space}, the genotype is of {genotype.space}"
        raise source.refused(f"they are {spaces_of}")
    return genotype


def _agreement(source, genotype):
    """How many of a file's tensors the network of a genotype has too."""
    try:
        parts = source.layout.parts(genotype, source.sizes)
    except UserError:
        return 0
    return len({entry.key for part in parts for entry in part.entries} & set(source.weights.tensors))


def build(source, genotype, auxiliary=False, known=None):
    """The network of a file, with its weights.

    Args:
        source: `Source`.
        genotype: that fits it.
        auxiliary: whether the network is to have the auxiliary head.
        known: what the network remembers of its images or text; None for nothing.

    Returns:
        A network of the space; a list of sentences on what is to be known of it.

    Raises:
        UserError: if the weights cannot be used.
    """
    sizes, notes, spared = source.sizes, [], ()
    if auxiliary and not getattr(sizes, "head", False):
        raise source.refused("it has no auxiliary head; leave out --auxiliary")
    if getattr(sizes, "head", False) and not auxiliary:
        sizes, spared = sizes._replace(head=False), (_HEAD,)
        notes.append("the file's auxiliary head is left out; --auxiliary keeps it")
    values = _values(source, genotype, sizes, spared)  # before the network, which takes longer to build
    settings = recipes.resolve(None, "train", {}, source.layout.space)
    options = source.layout.options(sizes) | source.space.options_of(genotype)
    settings = settings.but(**options, **({"auxiliary": auxiliary} if "auxiliary" in settings.values else {}))
    network = source.space.network(genotype, source.layout.inputs(sizes, known), **settings.pick(source.space.network))
    _assign(source, network, values)
    return network, [*notes, *_properties(source, sizes)]


def start(source, network, genotype, auxiliary):
    """Starts a network that is going to be trained from a file's weights.

    Args:
        source: `Source`.
        network: built for the training's data.
        genotype: its own, which fits the file.
        auxiliary: whether it has an auxiliary head.

    Returns:
        A list of sentences on what starts anew.

    Raises:
        UserError: if the weights cannot be used.
    """
    sizes, notes, spared = source.sizes, [], ()
    classes = getattr(sizes, "classes", None)
    wanted = network.options["classes"] if classes else None
    if wanted != classes:
        notes.append(f"the data has {wanted} classes, the file {classes}: the classifier starts anew")
        spared += source.layout.CLASSIFIERS
    if classes is None and network.words != sizes.words:
        raise source.refused(f"it is of a text of {sizes.words} words, the training's has {network.words}")
    if hasattr(sizes, "head") and auxiliary != sizes.head:
        sizes, spared = sizes._replace(head=False), (*spared, _HEAD)
        missing, unwanted = "has no auxiliary head: it starts anew", "has an auxiliary head, which is left out"
        notes.append(f"the file {missing if auxiliary else unwanted}")
    _assign(source, network, _values(source, genotype, sizes, spared))
    return [*notes, *_properties(source, sizes)]


def _values(source, genotype, sizes, spared):
    """The numbers that a network takes from a file, by our names: not those of parts that are spared."""
    clause = source.misfit(genotype, sizes, spared)
    if clause:
        raise source.refused(clause)
    try:
        return layouts.values(source.layout.parts(genotype, sizes), source.weights.tensors, spared)
    except UserError as error:
        raise source.refused(error) from None


def _assign(source, network, values):
    used = {name: value for name, value in values.items() if not name.startswith(enas.UNUSED)}
    try:
        naming.assign(source.layout.named(network), used)
    except ValueError as error:
        raise source.refused(error) from None


def _properties(source, sizes):
    """What is other than in our own networks, in sentences."""
    notes = []
    if getattr(sizes, "cell", None) == "sigmoid":
        notes.append("the reverse gate looks at the forward direction, as in DartsReNet's program (--gate forward)")
    if getattr(sizes, "head", False) and sizes.network == "imagenet" and sizes.second_bn:
        notes.append("the auxiliary head has a second BatchNorm, as in P-DARTS's program (--second_bn)")
    if source.weights.dropout:
        rates = ", ".join(f"--{name} {rate:g}" for name, rate in source.weights.dropout.items())
        notes.append(f"the file names its dropout rates: {rates}")
    return notes
