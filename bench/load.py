"""Load: wrk where there is one, else 64 connections of our own; and what a process tree cost while it ran.

Rules of this file: loopback only, bounded in time, and every request is counted by the one who sent it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class Target(NamedTuple):
    """What to send: `path` may hold `%d`, which becomes a key's number below `keys`."""

    url: str
    path: str
    method: str = "GET"
    token: str = ""
    body: str = ""
    keys: int = 10_000


class Outcome(NamedTuple):
    """What came of a load; half of the answers came within `p50` milliseconds, 99 of 100 within `p99`."""

    requests: int
    seconds: float
    failed: int
    p50: float = 0.0
    p99: float = 0.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads and its children, in seconds."""
    total = 0.0
    for each in [pid, *_children(pid)]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_children(int(child))]
    return found


def resident_mib(pid: int) -> float:
    """Resident memory of a process and its children."""
    total = 0
    for each in [pid, *_children(pid)]:
        match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{each}/status").read_text())
        total += int(match[1]) if match else 0
    return total / 1024


def load(target: Target, connections: int, seconds: float, cpu: int | None) -> Outcome:
    """Send requests for a while."""
    if shutil.which("wrk"):
        return _wrk(target, connections, seconds, cpu)
    return asyncio.run(_own(target, connections, seconds))


_SCRIPT = """
local token, method, path, body, keys = %s, %s, %s, %s, %d
local made = {}
-- Written out, because wrk's own order of headers changes from run to run, and no client's does.
local function message(target)
  local head = method .. " " .. target .. " HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nUser-Agent: bench\\r\\nX-Vault-Token: " .. token .. "\\r\\n"
  if body ~= "" then head = head .. "Content-Type: application/json\\r\\nContent-Length: " .. #body .. "\\r\\n" end
  return head .. "\\r\\n" .. body
end
init = function(args)
  math.randomseed(os.time())
  if path:find("%%%%d") then
    for i = 1, keys do made[i] = message((path:gsub("%%%%d", tostring(i - 1)))) end
  else
    made[1] = message(path)
  end
end
request = function() return made[math.random(#made)] end
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
"""  # noqa: E501


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _wrk(target: Target, connections: int, seconds: float, cpu: int | None) -> Outcome:
    script = _SCRIPT % (*(_quoted(text) for text in (target.token, target.method, target.path, target.body)), target.keys)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        pin = ["taskset", "-c", str(cpu)] if cpu is not None and shutil.which("taskset") else []
        command = [*pin, "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", file.name, target.url]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + 60)
    match = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert match, done.stdout + done.stderr
    requests, micros, failed, p50, p99 = (int(number) for number in match.groups())
    return Outcome(requests, micros / 1e6, failed, p50 / 1e3, p99 / 1e3)


async def _own(target: Target, connections: int, seconds: float) -> Outcome:
    secure = target.url.startswith("https")
    host, _, port = target.url.partition("://")[2].partition(":")
    context = ssl._create_unverified_context() if secure else None
    until = time.monotonic() + seconds
    counted = [0, 0]
    took: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        at = number
        while time.monotonic() < until:
            at = (at + 7_919) % target.keys
            path = target.path.replace("%d", str(at))
            head = (
                f"{target.method} {path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {target.token}\r\nContent-Length: {len(target.body)}\r\n\r\n"
            )
            sent = time.monotonic()
            writer.write((head + target.body).encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"[Cc]ontent-[Ll]ength: (\d+)", answer)
            if length:
                await reader.readexactly(int(length[1]))
            took.append(time.monotonic() - sent)
            counted[0] += 1
            counted[1] += not answer.startswith(b"HTTP/1.1 2")
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(connections)))
    took.sort()
    p50, p99 = (took[int(len(took) * share)] * 1e3 if took else 0.0 for share in (0.5, 0.99))
    return Outcome(counted[0], time.monotonic() - started, counted[1], p50, p99)
