"""Running a program on a machine that others share: wait for quiet, run, and say how much of the CPU others had."""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass

N_CPUS = os.cpu_count() or 1
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
QUIET_SHARE = 0.04  # of the machine, busy with others, below which a run may start
QUIET_SECONDS = 0.7


@dataclass(frozen=True)
class Run:
    """One finished child. other_cpu: share of the whole machine that other processes (and steal) had meanwhile."""

    command: list[str]
    stdout: str
    wall_s: float
    cpu_s: float
    other_cpu: float
    max_rss_bytes: int


class Failed(Exception):
    """A program ended with another status than 0."""


def busy_seconds() -> float:
    """CPU seconds spent on anything since boot, steal included: what a neighbour took is noise like any other."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def wait_for_quiet(limit_s: float) -> bool:
    """Returns once the machine was quiet for QUIET_SECONDS; False if it never was within the limit."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        busy, start = busy_seconds(), time.monotonic()
        time.sleep(QUIET_SECONDS)
        if (busy_seconds() - busy) / (time.monotonic() - start) / N_CPUS < QUIET_SHARE:
            return True
    return False


def run(command: list[str], quiet_limit_s: float) -> Run:
    """Runs the command without OPENBLAS_* and OMP_* in its environment; raises Failed with its last words."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "OMP_", "GOMP_"))}
    wait_for_quiet(quiet_limit_s)
    busy, start = busy_seconds(), time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env=environment) as child:
        stdout, stderr = _drain(child)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    cpu = usage.ru_utime + usage.ru_stime
    if child.returncode != 0:
        raise Failed(f"{' '.join(command)}\nexit {child.returncode}: {stderr[-2000:]}")
    other = max(0.0, (busy_seconds() - busy - cpu) / (wall * N_CPUS))
    return Run(command, stdout, wall, cpu, other, usage.ru_maxrss * 1024)


def _drain(child: subprocess.Popen) -> tuple[str, str]:
    """Reads both pipes to their ends without reaping the child, whose usage wait4 must still return."""
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.append(child.stderr.read()))
    reader.start()
    output = child.stdout.read()
    reader.join()
    return output, errors[0]


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def cpu_description() -> dict:
    with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
        fields = dict(line.split(":", 1) for line in cpuinfo.read().split("\n\n")[0].splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    features = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile")
    return {
        "model": named.get("model name", "unknown"),
        "family": named.get("cpu family", ""),
        "cpus": N_CPUS,
        "features": [feature for feature in features if feature in named.get("flags", "").split()],
    }
