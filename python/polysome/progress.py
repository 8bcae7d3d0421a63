"""How a job comes on, for people: one line in a terminal, a bar in a notebook, nothing elsewhere."""

from __future__ import annotations

import html
import logging
import shutil
import sys
import time
from typing import Any, Dict, Optional, TextIO

log = logging.getLogger("polysome")
_BLOCKS = "▏▎▍▌▋▊▉"
Status = Dict[str, Any]


def short(job_id: str) -> str:
    """The end of an id, as tables of the command line show it."""
    return job_id[-8:]


def duration(seconds: float) -> str:
    """1.5 s, 2 min 05 s, 3 h 04 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def bar(share: float, width: int) -> str:
    eighths = int(max(0.0, min(1.0, share)) * width * 8)
    full = "█" * (eighths // 8)
    part = _BLOCKS[eighths % 8 - 1] if eighths % 8 else ""
    return (full + part).ljust(width)


def phrase(status: Status) -> str:
    """What the job does just now, without its progress."""
    if status["status"] == "pending" and status.get("waiting_reason"):
        return f"waiting: {status['waiting_reason']}"
    if status["status"] in ("completed", "failed", "cancelled"):
        return str(status["status"])
    parts = [str(status.get("phase") or status["status"])]
    for stage in status.get("stages") or []:
        if stage["tasks_total"] and stage["tasks_done"] < stage["tasks_total"]:
            parts = [f"{stage['name']} {stage['tasks_done']:,}/{stage['tasks_total']:,}"]
            break
    if status.get("eta_seconds") is not None:
        parts.append(f"{duration(float(status['eta_seconds']))} left")
    return ", ".join(parts)


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel (a terminal's IPython is a terminal)."""
    shell = sys.modules.get("IPython")
    if shell is None:
        return False
    instance = shell.get_ipython()
    return instance is not None and type(instance).__name__ == "ZMQInteractiveShell"


class Progress:
    """Shows nothing, but says once why a job can't start when nobody would see it."""

    def __init__(self) -> None:
        self._told = False
        self._began = time.monotonic()

    def update(self, status: Status) -> None:
        waiting = status.get("waiting") or {}
        if waiting.get("code") in ("cluster_stopped", "no_workers", "queue_paused") and not self._told:
            self._told = True
            log.warning("job %s waits: %s", short(status["job_id"]), waiting.get("message"))

    def finish(self, status: Optional[Status]) -> None:
        """The job's end, or None when it goes on without us."""

    def end_text(self, status: Status) -> str:
        return f"{status['status']} after {duration(time.monotonic() - self._began)}"


class TerminalProgress(Progress):
    """One line that is written over."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def _write(self, text: str, end: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r\x1b[2K" + (text if len(text) <= width else text[: width - 1] + "…") + end)
        self._stream.flush()

    def update(self, status: Status) -> None:
        head = f"{short(status['job_id'])} {status['operation']}  "
        self._write(
            f"{head}{bar(status['progress'] / 100, 24)} {status['progress']:3.0f} %  {phrase(status)}", ""
        )

    def finish(self, status: Optional[Status]) -> None:
        if status is None:
            self._stream.write("\n")
            return
        self._write(f"{short(status['job_id'])} {status['operation']}  {self.end_text(status)}", "\n")


class NotebookProgress(Progress):
    """A bar below the cell."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None

    def _show(self, status: Status, text: str) -> None:
        display = sys.modules["IPython"].display
        page = display.HTML(
            f"<code>{html.escape(short(status['job_id']))}</code> {html.escape(status['operation'])} "
            f"<progress max='100' value='{status['progress']:.1f}'></progress> "
            f"{status['progress']:.0f} % {html.escape(text)}"
        )
        if self._handle is None:
            self._handle = display.display(page, display_id=True)
        else:
            self._handle.update(page)

    def update(self, status: Status) -> None:
        self._show(status, phrase(status))

    def finish(self, status: Optional[Status]) -> None:
        if status is not None:
            self._show(status, self.end_text(status))


def progress_for(wanted: Optional[bool], stream: Optional[TextIO] = None) -> Progress:
    """`wanted`: True always shows, False never, None where a person looks."""
    stream = stream or sys.stderr
    if wanted is False:
        return Progress()
    if in_notebook():
        return NotebookProgress()
    if wanted or (stream is not None and stream.isatty()):
        return TerminalProgress(stream)
    return Progress()
