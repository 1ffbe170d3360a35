"""What an operator looks at: host, versions, metrics, the requests in flight.

Rules of this file: all of it needs a token, save metrics where a listener opens them; a stranger learns nothing of the machine.
"""

from __future__ import annotations

import os
import platform
import shutil
from typing import Annotated, Any

import msgspec

from strongroom.clock import rfc3339
from strongroom.core.core import Core
from strongroom.core.engine import list_, read
from strongroom.core.envelope import encode
from strongroom.core.response import Bare, Response
from strongroom.sys.routes import Routes

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class MetricsBody(msgspec.Struct, frozen=True):
    """In which form."""

    format: Annotated[str, "prometheus, or blank for JSON"] = ""


class DiagnosticRoutes(Routes):
    """What an operator looks at."""

    @read("host-info")
    def host_info(self) -> Response:
        """Describe the machine."""
        disk = shutil.disk_usage("/")
        return Response(
            data={
                "timestamp": rfc3339(self.clock.now()),
                "host": {
                    "hostname": platform.node(),
                    "os": platform.system().lower(),
                    "kernelVersion": platform.release(),
                    "kernelArch": platform.machine(),
                },
                "cpu": [{"cpu": number} for number in range(os.cpu_count() or 1)],
                "memory": {"total": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")},
                "disk": [{"path": "/", "total": disk.total, "free": disk.free, "used": disk.used}],
            }
        )

    @read("in-flight-req")
    def in_flight(self) -> Response:
        """Show the requests being worked on: calls run one after another here, so it is this one."""
        request = self.call.request
        shown = {
            "start_time": rfc3339(self.clock.now()),
            "client_remote_address": request.peer.address,
            "request_path": f"/v1/{request.path}",
            "request_method": "GET",
        }
        token = self.call.token
        shown["client_id"] = token.entry.entity_id if token is not None else ""
        return Response(bare=Bare(encode({request.id: shown})))

    @list_("version-history/")
    def version_history(self) -> Response:
        """List the versions that were installed."""
        version = self.core.settings.reported_version
        installed = rfc3339(self.core.barrier.keys.installation.created)
        info: dict[str, Any] = {version: {"previous_version": None, "timestamp_installed": installed, "build_date": ""}}
        return Response(data={"keys": [version], "key_info": info})

    @read("metrics", body=MetricsBody, opened="metrics")
    def metrics(self, body: MetricsBody) -> Response:
        """Show the metrics."""
        return shown_metrics(self.core, body.format)


def shown_metrics(core: Core, form: str) -> Response:
    """The metrics of this node, in one of their forms."""
    if form not in ("", "prometheus"):
        return Response(bare=Bare(b"metric response format unknown; it is blank or prometheus", "text/plain", 400))
    text = core.process.metrics()
    if form == "prometheus":
        return Response(bare=Bare(text, PROMETHEUS))
    return Response(bare=Bare(encode({"Timestamp": rfc3339(core.clock.now()), **_by_kind(text.decode())})))


_LISTS = {"gauge": "Gauges", "counter": "Counters", "summary": "Samples"}
_SUFFIXES = {"gauge": "", "counter": "_total", "summary": "_count"}


def _by_kind(text: str) -> dict[str, list[dict[str, Any]]]:
    """Prometheus' text format as Vault's JSON has it. Counts run from the start of the process."""
    found: dict[str, list[dict[str, Any]]] = {"Gauges": [], "Points": [], "Counters": [], "Samples": []}
    kind = "gauge"
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            kind = line.rpartition(" ")[2]
        if not line or line.startswith("#") or kind not in _LISTS:
            continue
        name, _, value = line.rpartition(" ")
        found[_LISTS[kind]].append(
            {
                "Name": _dotted(name.partition("{")[0].removesuffix(_SUFFIXES[kind])),
                **({"Value": float(value)} if kind == "gauge" else {"Count": float(value), "Sum": float(value)}),
                "Labels": _labels(name),
            }
        )
    return found


def _dotted(name: str) -> str:
    """Vault's own writing of its names."""
    return name.replace("_", ".", 2) if name.startswith("vault_") else name


def _labels(name: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in name.partition("{")[2].removesuffix("}").split(",") if pair)
    return {key: value.strip('"') for key, _, value in pairs}
