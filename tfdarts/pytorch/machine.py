"""What the pickles of PyTorch's weight files may mention, and what becomes of it.

PyTorch's own names and those of the recurrent program's modules are compared whole, with nothing in front or behind. A
module becomes a `Record` of its attributes; what weights never need, such as numbers of NumPy, becomes `OPAQUE`.
"""

from tfdarts.pickled import Machine, Refused, short
from tfdarts.pytorch.tensors import KINDS, Storage, Tensor

STEPS = 2_000_000  # Att-DARTS's network of 20 cells with its optimiser's state has about 500,000
LONGEST_RANGE = 1000
RECORDS = frozenset(
    {
        ("model", "RNNModel"),
        ("model", "DARTSCell"),
        ("utils", "LockedDropout"),
        ("torch.nn.modules.sparse", "Embedding"),
        ("torch.nn.modules.linear", "Linear"),
        ("torch.nn.modules.container", "ModuleList"),
        ("torch.nn.modules.container", "ParameterList"),
        ("genotypes", "Genotype"),
    }
)
_GENOTYPE = ("genotypes", "Genotype")
_STORAGES = {
    (module, f"{kind}Storage"): kind for module in ("torch", "torch.cuda") for kind in KINDS
}  # those of `torch.cuda` lay on a GPU


class Opaque:
    """What a file has and weights do not need."""


OPAQUE = Opaque()


class Record:
    """An object of one of the classes that files may have: its class's name, arguments and attributes."""

    def __init__(self, name, arguments):
        self.name, self.arguments, self.attributes = name, arguments, {}


class WeightFile(Machine):
    """Carries out the pickles of one file.

    Attributes:
        storages: dictionary from key to `Storage`, of all that its tensors lie in.
    """

    purpose = "weights"
    words = frozenset({*_STORAGES, *RECORDS})

    def __init__(self):
        super().__init__(STEPS)
        self.storages = {}
        builtin = {
            "set": self._set, "list": self._list, "dict": self._dictionary, "range": self._range, "xrange": self._range
        }  # fmt: skip
        self.calls = {(module, name): made for module in ("builtins", "__builtin__") for name, made in builtin.items()}
        self.calls |= {
            ("collections", "OrderedDict"): self._dictionary,
            ("collections", "defaultdict"): lambda factory=None, items=(): self._dictionary(items),
            ("torch", "Size"): lambda shape: tuple(self._list(shape)),
            ("torch", "device"): lambda *_: OPAQUE,
            ("torch._utils", "_rebuild_tensor"): Tensor,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, strides, *_: Tensor(
                storage, offset, shape, strides
            ),
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch.nn.parameter", "Parameter"): _parameter,
            ("torch.nn.backends.thnn", "_get_thnn_function_backend"): lambda: OPAQUE,
            ("numpy.core.multiarray", "scalar"): lambda *_: OPAQUE,
            ("numpy._core.multiarray", "scalar"): lambda *_: OPAQUE,
            ("numpy", "dtype"): lambda *_: OPAQUE,
            ("_codecs", "encode"): lambda *_: OPAQUE,
        }

    def named(self, module, name):
        if (module, name) in (("torch._utils", "_rebuild_qtensor"), ("torch._utils", "_rebuild_sparse_tensor")):
            raise Refused("it has a quantised or sparse tensor; save the plain, dense weights")
        return super().named(module, name)

    def new(self, kind, arguments):
        if kind.name not in RECORDS or (arguments and kind.name != _GENOTYPE):
            return super().new(kind, arguments)
        return Record(kind.name, arguments)

    def build(self, made, state):
        """A record keeps its attributes; what is given to a dictionary or a parameter is dropped."""
        if isinstance(made, Record) and isinstance(state, dict):
            made.attributes = state
        elif not isinstance(made, (dict, Tensor)) and made is not OPAQUE:
            super().build(made, state)

    def persistent(self, reference):
        """A storage, or a module's class with the text of its program, which is not looked at."""
        if isinstance(reference, tuple) and len(reference) == 4 and reference[0] == "module":
            if getattr(reference[1], "name", None) in RECORDS:
                return reference[1]
        elif isinstance(reference, tuple) and len(reference) in (5, 6) and reference[0] == "storage":
            _, kind, key, _, size, *view = reference
            kind = _STORAGES.get(getattr(kind, "name", None))
            if kind and isinstance(key, str) and type(size) is int and size >= 0 and not any(view):
                return self._storage(key, kind, size)
        raise Refused("it refers to something outside itself that is no storage of numbers")

    def _storage(self, key, kind, size):
        storage = self.storages.setdefault(key, Storage(key, kind, size))
        if (storage.kind, storage.size) != (kind, size):
            raise Refused(f"it describes its storage {short(key)} in two ways")
        return storage

    def _list(self, items=()):
        if not isinstance(items, (list, tuple, set, range)):
            raise Refused("it makes a list of something else than weights need")
        self.spend(len(items))
        return list(items)

    def _set(self, items=()):
        result = set()
        for item in self._list(items):
            if not isinstance(item, (str, int)):
                raise Refused("it has a set of something else than text or numbers")
            result.add(item)
        return result

    def _dictionary(self, items=()):
        """From a dictionary, or as Python 2 writes it from a list of `[key, value]`."""
        pairs = list(items.items()) if isinstance(items, dict) else self._list(items)
        result = {}
        for key, value in pairs:
            if not isinstance(key, (str, int)):
                raise Refused("it has a dictionary whose keys are neither text nor numbers")
            result[key] = value
        self.spend(len(result))
        return result

    def _range(self, *bounds):
        if not 1 <= len(bounds) <= 3 or not all(type(bound) is int for bound in bounds):
            raise Refused("it has a range of something else than numbers")
        result = range(*bounds)
        if not 0 <= result.start <= result.stop <= LONGEST_RANGE:
            raise Refused("it has a range of more numbers than weights need")
        return result


def _parameter(tensor, *_):
    if not isinstance(tensor, Tensor):
        raise Refused("it has a parameter that is no tensor")
    return tensor
