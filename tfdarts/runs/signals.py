"""The signals by which users and clusters ask a process to stop."""

import contextlib
import signal

NUMBERS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def first_caught(act):
    """While it is entered, the first SIGTERM or SIGINT calls `act` with its number; a second one kills, as ever."""

    def handle(number, _):
        for each in NUMBERS:
            signal.signal(each, signal.SIG_DFL)
        act(number)

    before = [signal.signal(number, handle) for number in NUMBERS]
    try:
        yield
    finally:
        for number, handler in zip(NUMBERS, before):
            signal.signal(number, handler)
