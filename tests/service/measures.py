"""What the kernel says about processes, measured from outside, side by side with what the service says."""

import os
import pathlib
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of all threads; None when the process is gone."""
    try:
        fields = pathlib.Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


def queued_seconds(pid):
    """How long its threads were ready to run and had to wait for a core."""
    total = 0
    try:
        for thread in pathlib.Path("/proc", str(pid), "task").iterdir():
            total += int((thread / "schedstat").read_text().split()[1])
    except OSError:
        return None
    return total / 1e9


def memory(pid):
    """Sizes of /proc/PID/status in bytes: VmHWM, RssAnon, VmData …; empty when the process is gone."""
    found = {}
    try:
        text = pathlib.Path("/proc", str(pid), "status").read_text()
    except OSError:
        return found
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            found[name] = int(value.split()[0]) * 1024
    return found


def forget_peak(pid):
    """VmHWM begins anew at what is in use."""
    pathlib.Path("/proc", str(pid), "clear_refs").write_text("5")


class Watch:
    """Looks at processes all the while; what it saw is read after `with`."""

    def __init__(self, pids, every=0.004):
        self.pids = list(pids)
        self.every = every
        self.most = {}  # pid → name → the largest value seen
        self.samples = []  # (time, CPU of all, CPU and waiting for a core of all)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.is_set():
            for pid in self.pids:
                most = self.most.setdefault(pid, {})
                for name, value in memory(pid).items():
                    most[name] = max(value, most.get(name, 0))
            used = [cpu_seconds(pid) or 0 for pid in self.pids]
            queued = [queued_seconds(pid) or 0 for pid in self.pids]
            self.samples.append((time.monotonic(), sum(used), sum(used) + sum(queued)))
            self.over.wait(self.every)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def cores(self, begin, end):
        """Cores used between two moments, and those wanted: used or waited for on a busy machine."""
        inside = [s for s in self.samples if begin <= s[0] <= end]
        first, last = inside[0], inside[-1]
        elapsed = last[0] - first[0]
        return (last[1] - first[1]) / elapsed, (last[2] - first[2]) / elapsed
