"""Reads pickles without running any of their code.

A pickle is a program for a stack machine, whose instructions may call anything. Here its instructions are listed by
`pickletools.genops`, which runs none of them, and those that build plain containers, numbers and texts are carried out.
A name is a word, never looked up: what may be called and made is a table of functions of our own. Everything else is
refused. Nothing walks through what was built, so that neither its depth nor its repetitions matter.
"""

import pickletools

from tfdarts.errors import UserError

_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PLAIN = (str, int, float, bool, type(None))
_MARK = object()


class Refused(UserError):
    """A pickle that is damaged, or asks for more than its purpose needs; a clause about "it"."""


class Name:
    """A name that a pickle mentions, never the thing itself.

    Attributes:
        name: `(module, name)`.
    """

    def __init__(self, name):
        self.name = name


class Machine:
    """Carries out the harmless instructions of pickles; a subclass says which names there are and what they do.

    Attributes:
        purpose: what the pickles are for, in sentences: "tables of numbers".
        calls: dictionary from `(module, name)` to the function of our own that a call of it runs.
        words: further names that may be mentioned.
        steps: how many instructions are carried out at the most, over all pickles; None for any number. What calls copy
            counts too.
    """

    purpose = "plain data"
    calls = {}
    words = frozenset()

    def __init__(self, steps=None):
        self.steps = steps

    def run(self, data):
        """Carries out one pickle.

        Args:
            data: bytes, or a file, which is left behind the pickle's end.

        Returns:
            What it describes, of dictionaries, lists, tuples, sets, texts, bytes, numbers, None and what `calls` make.

        Raises:
            Refused: if it is no pickle, or asks for anything else.
        """
        stack, memo = [], {}
        try:
            for opcode, argument, _ in pickletools.genops(data):
                self.spend(1)
                if opcode.name == "STOP":
                    (result,) = stack
                    return result
                self._step(opcode.name, argument, stack, memo)
        except Refused:
            raise
        except MemoryError:
            raise Refused("it needs more memory than there is") from None
        except Exception as error:  # damage makes genops and the steps raise many kinds
            raise Refused(f"it is no intact pickle ({type(error).__name__})") from None
        raise Refused("it is no intact pickle: it has no end")

    def spend(self, count):
        """Counts instructions, or items that a call copies."""
        if self.steps is not None:
            self.steps -= count
            if self.steps < 0:
                raise Refused(f"it has more instructions than {self.purpose} need")

    def named(self, module, name):
        """The `Name` of what a pickle mentions."""
        found = (module, name)
        if found not in self.calls and found not in self.words:
            raise Refused(f"it asks for {short(module)}.{short(name)}, which {self.purpose} do not need")
        return Name(found)

    def build(self, made, state):
        """Takes the state that a pickle gives to what it has made."""
        raise Refused(f"it gives an object a state, which {self.purpose} do not need")

    def new(self, kind, arguments):
        """Makes an object of the class of a name, without calling it."""
        raise Refused(f"it makes an object of {'.'.join(kind.name)}, which {self.purpose} do not need")

    def persistent(self, reference):
        """What a reference to something outside the pickle stands for."""
        raise Refused(f"it refers to something outside itself, which {self.purpose} do not need")

    def _step(self, name, argument, stack, memo):
        """Carries out one instruction."""
        if name in _LITERALS:
            stack.append(argument)
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "SETITEMS":
            items = _since_mark(stack)
            _filled(stack[-1], dict).update(zip(map(_key, items[::2]), items[1::2], strict=True))
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _filled(stack[-1], dict)[_key(key)] = value
        elif name == "APPENDS":
            items = _since_mark(stack)
            _filled(stack[-1], list).extend(items)
        elif name == "APPEND":
            item = stack.pop()
            _filled(stack[-1], list).append(item)
        elif name == "ADDITEMS":
            items = _since_mark(stack)
            _filled(stack[-1], set).update(map(_key, items))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            items = _tuple(stack[-_TUPLES[name] :])
            del stack[-_TUPLES[name] :]
            stack.append(items)
        elif name == "TUPLE":
            stack.append(_tuple(_since_mark(stack)))
        elif name == "GLOBAL":
            stack.append(self.named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(self.named(_filled(module, str), _filled(attribute, str)))
        elif name == "REDUCE":
            arguments, called = _filled(stack.pop(), tuple), _filled(stack.pop(), Name)
            if called.name not in self.calls:
                raise Refused(f"it calls {'.'.join(called.name)}, which {self.purpose} do not need")
            stack.append(self.calls[called.name](*arguments))
        elif name == "NEWOBJ":
            arguments, kind = _filled(stack.pop(), tuple), _filled(stack.pop(), Name)
            stack.append(self.new(kind, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state)
        elif name == "BINPERSID":
            stack.append(self.persistent(stack.pop()))
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"it has the instruction {name}, which {self.purpose} do not need")


def _since_mark(stack):
    """Takes what lies above the last mark off the stack, and the mark."""
    place = next(place for place in range(len(stack) - 1, -2, -1) if place < 0 or stack[place] is _MARK)
    if place < 0:
        raise Refused("it is no intact pickle: a mark is missing")
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _tuple(items):
    if any(item is _MARK for item in items):
        raise Refused("it is no intact pickle: a mark is inside a tuple")
    return tuple(items)


def _filled(value, kind):
    """The value, if it is of the kind that an instruction works on."""
    if not isinstance(value, kind):
        raise Refused("it is no intact pickle: an instruction is given something of another kind")
    return value


def _key(value):
    """The value, if it may be a key: plain, or a tuple of plain values, since to hash any other one may not end."""
    if isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(isinstance(each, _PLAIN) for each in value)):
        return value
    raise Refused("it has a dictionary whose keys are neither text nor numbers")


def short(word):
    """A foreign word as an error may show it: printable, and not long."""
    return "".join(letter if letter.isprintable() else "?" for letter in word[:60])
