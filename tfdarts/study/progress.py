"""What a study shows while it runs: a live table in a terminal, plain lines in a file."""

import collections
import datetime
import sys
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tfdarts.study.runs import KINDS


def shown(seconds):
    """A time for people."""
    return str(datetime.timedelta(seconds=round(seconds)))


class Progress:
    """Tells what runs, what is done, and about how long the rest takes.

    Args:
        expected: dictionary from kind of run to how many there will be.
        jobs: how many run at once.
        live: whether to draw a table that changes; None for yes in a terminal.
    """

    def __init__(self, expected, jobs, live=None):
        self.expected, self.jobs = collections.Counter(expected), jobs
        self.done, self.times, self.begun = collections.Counter(), collections.defaultdict(list), {}
        self.failed = 0
        console = Console() if (sys.stdout.isatty() if live is None else live) else None
        self.live = Live(console=console, get_renderable=self._table, refresh_per_second=1) if console else None

    def __enter__(self):
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_):
        if self.live:
            self.live.stop()

    def begin(self, finished):
        """Counts the runs that an earlier start of the study has finished."""
        self.done.update(run.kind for run in finished)
        if self.done.total():
            self._say(f"{self.done.total()} of {self.expected.total()} runs were done before")

    def started(self, run):
        """A run begins."""
        self.begun[run.name] = run, time.monotonic()

    def ended(self, run, error=None):
        """A run has ended; `error` is the last line of one that failed."""
        _, begun = self.begun.pop(run.name)
        taken = time.monotonic() - begun
        self.done[run.kind] += 1
        if error is None:
            self.times[run.kind].append(taken)
        else:
            self.failed += 1
        what = f"done in {shown(taken)}" if error is None else f"FAILED after {shown(taken)}: {error}"
        left = self.left()
        rest = f"; about {shown(left)} left" if left else ""
        self._say(f"[{self.done.total()}/{self.expected.total()}] {KINDS[run.kind]} {run.name}: {what}{rest}")

    def left(self):
        """Seconds that the rest takes, by the mean of what runs of its kind took; None while that is unknown."""
        rest = {kind: self.expected[kind] - self.done[kind] for kind in self.expected}
        if any(count > 0 and not self.times[kind] for kind, count in rest.items()):
            return None
        each = {kind: sum(times) / len(times) for kind, times in self.times.items() if times}
        return sum(max(0, count) * each[kind] for kind, count in rest.items() if count > 0) / self.jobs

    def _say(self, line):
        if self.live:
            self.live.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)

    def _table(self):
        table = Table("run", "kind", "for", title=self._title())
        for run, begun in self.begun.values():
            table.add_row(run.name, KINDS[run.kind], shown(time.monotonic() - begun))
        return table

    def _title(self):
        left = self.left()
        rest = f", about {shown(left)} left" if left else ""
        lost = f", {self.failed} failed" if self.failed else ""
        return f"{self.done.total()} of {self.expected.total()} runs done{lost}{rest}"
