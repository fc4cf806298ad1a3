"""Search spaces: what an architecture may be, and the networks that search and train it.

A space is a module with one agreed name, `SPACE`, an instance of a subclass of `base.Space`: a folder here, or a
module of the user's own.
"""

import importlib
import os
import sys

from tfdarts.errors import UserError

NAMES = ("conv", "recurrent", "renet", "macro", "micro", "nb201")


def load(name):
    """Loads a space.

    Args:
        name: one of `NAMES`, or the dotted path of a module with `SPACE` (`mypackage.myspace`), which is looked up as
            Python does and in the working directory.

    Returns:
        A `base.Space`.

    Raises:
        UserError: if there is no such space.
    """
    if name in NAMES:
        return importlib.import_module(f"tfdarts.spaces.{name}").SPACE
    there = f"give {', '.join(NAMES)}, or the dotted path of a module that has SPACE"
    if "." not in name:
        raise UserError(f"There is no space {name!r}; {there}.")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as `python -m` has it; a script has only its own folder
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"Cannot load the space {name!r} ({error}); {there}.") from None
    except Exception as error:  # the user's module may raise anything while it is imported
        raise UserError(f"The space {name!r} fails on import: {type(error).__name__}: {error}") from error
    if not hasattr(module, "SPACE"):
        raise UserError(f"The module {name!r} has no SPACE, so it is no space; {there}.")
    return module.SPACE
