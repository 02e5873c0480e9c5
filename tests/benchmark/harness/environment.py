"""Where figures were taken: without this they say nothing."""

import datetime
import os
import pathlib
import platform
import re
import subprocess


def _read(path, default="unknown"):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return default


def _first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip().splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def describe(binaries, python_versions, repository):
    cpu = re.search(r"model name\s*:\s*(.*)", _read("/proc/cpuinfo", ""))
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo", ""))
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _first_line(["git", "-C", str(repository), "describe", "--always", "--dirty"]),
        "cairnd": _first_line([str(binaries / "cairnd"), "--version"]),
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / (1 << 20), 1) if memory else None,
        "kernel": platform.release(),
        "tcp_congestion_control": _read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": python_versions,
    }


def sentence(facts):
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items() if version)
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB; Linux {facts['kernel']}, TCP with "
        f"{facts['tcp_congestion_control']}, both ends on this machine; {facts['cairnd']} ({facts['commit']}); "
        f"{facts['date']}, load {facts['load_average']:.1f} at the start. Python {facts['python']}: {packages or 'no peers'}."
    )
