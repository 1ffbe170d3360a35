"""Which numbers a worker shows: the one list of metrics.

Rules of this file:
- A number is read where it stands when somebody scrapes; what would have to walk the store for it (tokens, leases) is not shown.
- Names are Vault's where it has one for the same thing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.core.sealing.rotation import encryptions

if TYPE_CHECKING:
    from strongroom.server.worker import Worker

STARTED = time.time()


def show(worker: Worker) -> None:
    """Bind the numbers of a worker to their names."""
    _show_core(worker)
    _show_store(worker)
    _show_nodes(worker)
    _show_connections(worker)
    _show_process(worker)
    _show_workers(worker)


def _show_core(worker: Worker) -> None:
    metrics, core = worker.metrics_of, worker.core
    metrics.gauge("vault_core_unsealed", "1 while unsealed.", lambda: not core.barrier.sealed)
    metrics.gauge("vault_core_active", "1: every node serves.", lambda: 1)
    metrics.count("vault_core_handle_request", "Requests taken in.", lambda: worker.dispatch.requests)
    metrics.gauge("strongroom_audit_devices", "Audit devices in use.", lambda: len(core.audit.devices))
    metrics.counter("vault_audit_log_request_failure", "Writes that an audit device did not take.", lambda: core.audit.failures)
    metrics.counter("strongroom_audit_lost", "Writes that no audit device took: nothing of them was answered.", lambda: core.audit.lost)
    metrics.counter("strongroom_timers", "Timers run.", lambda: worker.scheduler.ran)


def _show_store(worker: Worker) -> None:
    metrics, core = worker.metrics_of, worker.core
    metrics.count("vault_barrier_put", "Rows written.", lambda: worker.rows)
    metrics.counter(
        "vault_barrier_estimated_encryptions",
        "Records sealed under the present epoch of the record key.",
        lambda: encryptions(core),
        own=False,
    )
    metrics.counter("strongroom_commit_groups", "Groups committed.", lambda: worker.committer.groups)
    metrics.gauge("strongroom_store_rows", "Rows in the store.", lambda: core.barrier.index().count)
    metrics.gauge("strongroom_cached_rows", "Sealed rows in memory.", lambda: len(core.committed.cache.rows), own=True)
    metrics.counter("strongroom_snapshots_taken", "Snapshots taken and read back.", lambda: core.snapshots.taken)
    metrics.counter("strongroom_snapshots_failed", "Snapshots that could not be made, or kept.", lambda: core.snapshots.failed)
    metrics.counter("strongroom_storage_tampered", "Reads that met a row which is not what was written.", lambda: worker.log.tampered)


def _show_nodes(worker: Worker) -> None:
    metrics, joined = worker.metrics_of, worker.joined
    if joined is None:
        return
    follower, nearby = joined.follower, joined.nearby
    metrics.counter("strongroom_database_questions", "Questions to the database.", lambda: follower.questions)
    metrics.gauge("strongroom_database_reachable", "1 while the database answers.", lambda: follower.error is None)
    metrics.gauge("strongroom_database_age_seconds", "Since this node was level with the database.", lambda: min(follower.age, 1e9))
    if nearby is not None:
        metrics.gauge("strongroom_standby_reachable", "1 while the standby answers.", lambda: nearby.reachable)
        metrics.counter("strongroom_standby_answered", "Wishes that the standby fulfilled.", lambda: nearby.answered)
        metrics.counter("strongroom_standby_passed_on", "Wishes that the primary was asked for instead.", lambda: nearby.passed_on)


def _show_connections(worker: Worker) -> None:
    metrics = worker.metrics_of

    def handshakes(name: str) -> int:
        return sum(getattr(each.handshakes, name) for each in worker.listening if each.handshakes is not None)

    metrics.gauge("strongroom_connections", "Open connections.", lambda: len(worker.connections), own=True)
    metrics.counter("strongroom_tls_handshakes", "TLS handshakes done.", lambda: handshakes("done"))
    metrics.counter("strongroom_tls_handshakes_post_quantum", "Of these, with a hybrid group.", lambda: handshakes("post_quantum"))
    metrics.counter("strongroom_tls_handshakes_failed", "TLS handshakes that failed.", lambda: handshakes("failed"))
    metrics.counter(
        "strongroom_proxy_headers_refused",
        "Connections that ended for a malformed PROXY header, or because they came from elsewhere than a listed proxy.",
        lambda: sum(each.proxied.refused for each in worker.listening if each.proxied is not None),
    )


def _show_process(worker: Worker) -> None:
    metrics = worker.metrics_of
    metrics.gauge("process_start_time_seconds", "When the process started, in Unix time.", lambda: STARTED)
    metrics.counter("process_cpu_seconds", "Processor time used.", time.process_time)
    metrics.gauge("process_resident_memory_bytes", "Memory in use.", _resident, own=True)


def _show_workers(worker: Worker) -> None:
    metrics, siblings = worker.metrics_of, worker.siblings
    metrics.gauge("strongroom_workers", "Worker processes that serve.", lambda: 1, own=True)
    metrics.counter("strongroom_worker_restarts", "Workers that died and were started again.", lambda: siblings.restarts()[0], own=False)
    metrics.gauge("strongroom_worker_slots_closed", "Workers given up because they died again and again.", lambda: siblings.restarts()[1])


def _resident() -> int:
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
