"""Several workers are one server: what one of them did, every other goes by in the next request; one that dies takes nothing with it.

F11 (stale caches) and F12 (death of a worker). Each has its control in tests/support/lax_workers.py. Connections are spread over the
workers by the kernel, so a test opens enough of them to have met both.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import offline
from tests.support.http import Client
from tests.support.load import under_load
from tests.support.server import Server, serving
from tests.support.waiting import until

LAX = ("-m", "tests.support.lax_workers")
CONNECTIONS = 12
"""All to one of two workers once in 2,048 times."""
BACK_SECONDS = 2.0
DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL)


@contextlib.contextmanager
def several(
    directory: Path, monkeypatch: pytest.MonkeyPatch | None = None, lax: str = "", **options: Any
) -> Iterator[tuple[Server, Client]]:
    if monkeypatch is not None:
        monkeypatch.setenv("LAX", lax)
        options["entry"] = LAX
    with serving(directory, workers=2, **options) as pair:
        yield pair


def connected(server: Server, number: int = CONNECTIONS) -> list[Client]:
    """Open connections, over all workers."""
    clients = [server.client() for _ in range(number)]
    for client in clients:
        client.read("sys/health")
    return clients


# -- F11: nobody answers from what was -------------------------------------------------------------------------------------


def stale_reads(server: Server, turns: int) -> int:
    """Write through one connection, read through all; how many of the answers were old."""
    clients, stale = connected(server), 0
    for turn in range(turns):
        value = {"turn": str(turn)}
        assert clients[turn % CONNECTIONS].write("secret/data/x", {"data": value}).status == 200
        stale += sum(client.read("secret/data/x").data["data"] != value for client in clients)
    return stale


def names_missed(server: Server, turns: int) -> int:
    """Add a name through one connection, list through all; how often it was not there."""
    clients, missed = connected(server), 0
    for turn in range(turns):
        assert clients[turn % CONNECTIONS].write(f"secret/data/l/{turn}", {"data": {}}).status == 200
        missed += sum(f"{turn}" not in client.ask("LIST", "secret/metadata/l").data["keys"] for client in clients)
    return missed


def revoked_accepted(server: Server, turns: int) -> int:
    """Revoke through one connection, use through all; how often the token still counted."""
    clients, accepted = connected(server), 0
    for turn in range(turns):
        token = clients[0].write("auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
        for client in clients:
            assert client.read("auth/token/lookup-self", token=token).status == 200
        assert clients[turn % CONNECTIONS].write("auth/token/revoke", {"token": token}).status == 204
        accepted += sum(client.read("auth/token/lookup-self", token=token).status != 403 for client in clients)
    return accepted


@pytest.mark.fault("F11")
def test_what_one_worker_wrote_every_worker_reads_and_lists(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        assert stale_reads(server, 100) == 0
        assert names_missed(server, 40) == 0


@pytest.mark.control
@pytest.mark.fault("F11")
def test_control_deaf_workers_read_and_list_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, "deaf") as (server, _):
        assert stale_reads(server, 10) > 0
        assert names_missed(server, 10) > 0


@pytest.mark.fault("F11")
def test_a_token_that_one_worker_revoked_every_worker_refuses(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        assert revoked_accepted(server, 40) == 0


@pytest.mark.fault("F11")
@pytest.mark.long
def test_a_token_that_one_worker_revoked_every_worker_refuses_5000_times(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        assert revoked_accepted(server, 5_000 // (CONNECTIONS - 1) + 1) == 0


@pytest.mark.control
@pytest.mark.fault("F11")
def test_control_deaf_workers_accept_revoked_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, "deaf") as (server, _):
        assert revoked_accepted(server, 5) > 0


@pytest.mark.fault("F11")
def test_reads_are_right_while_another_worker_commits_all_the_time(tmp_path: Path) -> None:
    """What a client was told it never sees undone: versions read over all workers only grow."""
    with several(tmp_path) as (server, root):
        root.write("secret/data/grows", {"data": {}})
        clients, back = connected(server, 6), list[tuple[int, int]]()
        with under_load(server, 2):
            writer, newest = server.client(), 0
            for _ in range(60):
                newest = max(newest, writer.write("secret/data/grows", {"data": {}}).data["version"])
                for client in clients:
                    found = client.read("secret/metadata/grows").data["current_version"]
                    if found < newest:
                        back.append((newest, found))
        assert back == []


# -- counters ----------------------------------------------------------------------------------------------------------------


def counted(server: Server, threads: int, each: int) -> tuple[int, int]:
    """Add by check-and-set from many threads; how many additions were acknowledged, and what they came to."""
    root, added = server.client(), list[int]()
    root.write("secret/data/n", {"data": {"n": 0}})

    def add() -> None:
        with server.client() as client:
            done = 0
            while done < each:
                found = client.read("secret/data/n").data
                body = {"data": {"n": found["data"]["n"] + 1}, "options": {"cas": found["metadata"]["version"]}}
                done += client.write("secret/data/n", body).status == 200
            added.append(done)

    adders = [threading.Thread(target=add, daemon=True) for _ in range(threads)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join(30)
    return sum(added), root.read("secret/data/n").data["data"]["n"]


def uses_of_a_counted_token(server: Server, uses: int) -> int:
    """How many requests of many connections at once a token with so many uses was good for."""
    with server.client() as root:
        token = root.write("auth/token/create", {"policies": ["default"], "num_uses": uses}).json["auth"]["client_token"]
    clients, good = connected(server), list[int]()

    def use(client: Client) -> None:
        good.extend(client.read("auth/token/lookup-self", token=token).status == 200 for _ in range(uses))

    users = [threading.Thread(target=use, args=(client,), daemon=True) for client in clients]
    for user in users:
        user.start()
    for user in users:
        user.join(30)
    return sum(good)


def test_counters_are_exact_over_workers(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        acknowledged, came_to = counted(server, threads=8, each=15)
        assert acknowledged == came_to == 120
        assert uses_of_a_counted_token(server, 7) == 7


def test_control_workers_that_forget_nothing_lose_additions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, "forgetful") as (server, root):
        clients = connected(server)
        root.write("secret/data/n", {"data": {}})
        replies = [client.write("secret/data/n", {"data": {}}) for _ in range(3) for client in clients]
        versions = [reply.data["version"] if reply.status == 200 else reply.status for reply in replies]
        assert versions != list(range(2, 2 + len(versions)))


# -- F12: a worker dies --------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F12")
def test_a_killed_worker_takes_nothing_with_it_and_is_back_within_two_seconds(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        with under_load(server, 6) as loads:
            backs = []
            for turn in range(4):
                time.sleep(0.3)
                standing = server.children()
                os.kill(standing[turn % 2], DEADLY[turn])
                began = time.monotonic()
                until(lambda standing=standing: len(set(server.children()) - set(standing)) == 1)
                fresh = connected(server, 16)
                backs.append(time.monotonic() - began)
                assert {client.read("secret/config").status for client in fresh} == {200}, "whoever is new comes to an open worker"
                for client in fresh:
                    client.close()
        assert max(backs) <= BACK_SECONDS
        assert [load.failed for load in loads if load.failed] == [], "nobody got an error"
        assert sum(load.cut for load in loads) <= 4 * 6
        assert all(load.lost() == [] for load in loads)
        assert sum(len(load.kept) for load in loads) > 200
        server.terminate()
        audit, scrubbed = offline.verify(server), offline.scrub(server)
        assert audit.intact, offline.texts(audit)
        assert scrubbed.clean, offline.texts(scrubbed)


@pytest.mark.control
@pytest.mark.fault("F12")
def test_control_a_worker_that_answers_before_it_commits_loses_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, "hasty") as (server, _):
        lost = 0
        for _ in range(2):
            with under_load(server, 6) as loads:
                time.sleep(0.3)
                for pid in server.children():
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.3)
            lost += sum(len(load.lost()) for load in loads)
        assert lost > 0


@pytest.mark.fault("F12")
def test_a_slot_whose_worker_dies_again_and_again_is_given_up_and_said_to_be(tmp_path: Path) -> None:
    with several(tmp_path) as (server, root):
        first, stays = server.children()
        for _ in range(3):
            os.kill(first, signal.SIGKILL)
            was = first
            until(lambda was=was: was not in server.children())
            time.sleep(0.3)
            first = next((pid for pid in server.children() if pid != stays), 0)
        assert server.children() == [stays]
        assert "its slot is given up" in server.output()
        for client in connected(server):
            assert client.read("secret/config").status == 200
        with server.client() as fresh:
            shown = fresh.read("sys/metrics?format=prometheus").text
        assert "strongroom_worker_slots_closed 1.0" in shown
        assert "strongroom_worker_restarts_total 2.0" in shown
        assert "strongroom_workers 1.0" in shown
        os.kill(stays, signal.SIGKILL)
        until(lambda: stays not in server.children() and server.children())
        root.close()
        assert root.write("secret/data/after", {"data": {}}).status == 200


@pytest.mark.fault("F12")
def test_a_worker_whose_disk_failed_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, "unsynced") as (server, _):
        until(lambda: "the store has ended" in server.output())
        until(lambda: server.output().count("unsealed") == 3)
        assert {client.write("secret/data/x", {"data": {}}).status for client in connected(server)} == {200}
        assert "a worker died" in server.output()


@pytest.mark.fault("F12")
def test_a_worker_that_hangs_is_ended_and_others_write_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not it holds the store's lock: while it does, nobody writes."""
    with several(tmp_path, monkeypatch, "impatient") as (server, _):
        with under_load(server, 6) as loads:
            time.sleep(0.5)
            hung = server.children()[0]
            os.kill(hung, signal.SIGSTOP)
            until(lambda: hung not in server.children(), 8)
            until(lambda: len(server.children()) == 2)
            time.sleep(0.3)
            before = [len(load.kept) for load in loads]
            until(lambda: all(len(load.kept) > was for load, was in zip(loads, before, strict=True)))
        assert "a worker does nothing any more" in server.output()
        assert all(load.lost() == [] for load in loads)
        assert server.output().count("a worker does nothing any more") == 1, "who serves is left alone"


@pytest.mark.fault("F12")
def test_a_worker_that_hangs_in_its_start_is_ended_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sockets take connections all the while, which nobody would ever answer."""
    with several(tmp_path, monkeypatch, "stuck") as (server, _):
        assert server.output().count("a worker does nothing any more") == 1
        assert states(connected(server)) == {False}


@pytest.mark.fault("F12")
def test_a_stop_that_everybody_is_told_drains_all_the_same(tmp_path: Path) -> None:
    """Ctrl-C in a terminal, or systemd, signals the whole group, and the supervisor passes it on."""
    with several(tmp_path) as (server, root):
        root.write("secret/data/x", {"data": {}})
        for number in (signal.SIGINT, signal.SIGTERM):
            for pid in server.children():
                os.kill(pid, number)
        assert server.terminate() == 0
        report = offline.verify(server)
        assert report.intact and report.last is not None and report.last.final, offline.texts(report)


@pytest.mark.fault("F12")
def test_a_reload_that_comes_at_once_ends_nobody(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        server.terminate()
        server.spawn()
        until(lambda: len(server.children()) == 2)
        for pid in server.children():
            os.kill(pid, signal.SIGHUP)
        until(lambda: "slot=1" in server.output().rpartition("hardened")[2])
        assert "worker died" not in server.output()


@pytest.mark.fault("F12")
def test_without_their_supervisor_workers_end(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        for _ in range(3):
            workers = server.children()
            server.kill()
            server.start()
            assert not any(Path(f"/proc/{pid}/exe").exists() for pid in workers), "and let go of the store"
            assert len(server.children()) == 2


def test_a_unix_socket_of_several_workers_is_removed_when_they_stop(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with several(tmp_path, extra=f'listener "unix" {{ address = "{path}" }}') as (server, _):
        assert path.is_socket()
        server.terminate()
        assert not path.exists()


def sockets(pid: int) -> set[str]:
    """The sockets that a process has, by what the kernel calls them."""
    ends = (descriptor.readlink() for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    return {end.name for end in ends if end.name.startswith("socket:")}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into processes that are not dumpable")
def test_a_worker_has_its_listening_sockets_and_its_channel_and_nothing_else_of_anybody(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        os.kill(server.children()[0], signal.SIGKILL)
        until(lambda: len(server.children()) == 2)
        connected(server)
        first, second = (sockets(pid) for pid in server.children())
        assert [len(sockets(server.pid) & each) for each in (first, second)] == [2, 2], "two listeners"
        assert first & second == set()


# -- sealing and opening -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def held_by_people(directory: Path, monkeypatch: pytest.MonkeyPatch | None = None, lax: str = "") -> Iterator[tuple[Server, list[str]]]:
    """Two workers that three key holders open, two at a time; sealed, with `secret/x` in it."""
    directory.mkdir(exist_ok=True)
    entry: dict[str, Any] = {}
    if monkeypatch is not None:
        monkeypatch.setenv("LAX", lax)
        entry["entry"] = LAX
    server = Server(directory, workers=2, seal=False, **entry)
    try:
        server.start(501)
        with server.client() as client:
            made = client.write("sys/init", {"secret_shares": 3, "secret_threshold": 2}).json
        server.token = made["root_token"]
        yield server, made["keys"]
    finally:
        server.close()


def states(clients: list[Client]) -> set[bool]:
    return {client.read("sys/seal-status").json["sealed"] for client in clients}


def test_shares_may_come_through_different_workers_and_open_all_of_them(tmp_path: Path) -> None:
    with held_by_people(tmp_path) as (server, keys):
        clients = connected(server)
        first = clients[0].write("sys/unseal", {"key": keys[0]}).json
        assert first["progress"] == 1
        shown = [client.read("sys/seal-status").json for client in clients]
        assert {(each["progress"], each["nonce"]) for each in shown} == {(1, first["nonce"])}, "every worker tells of it"
        again = clients[-1].write("sys/unseal", {"key": keys[0]}).json
        assert again["progress"] == 1 and again["warnings"], "no share counts twice"
        assert clients[-2].write("sys/unseal", {"key": keys[1]}).json["sealed"] is False
        assert states(clients) == {False}, "whoever asks next finds it open"
        clients[0].write("sys/mounts/secret", {"type": "kv"})
        assert {client.read("secret/config").status for client in clients} == {404}, "open and authenticated"


def test_control_workers_that_are_not_told_stay_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_by_people(tmp_path, monkeypatch, "silent") as (server, keys):
        clients = connected(server)
        for key in keys[:2]:
            clients[0].write("sys/unseal", {"key": key})
        assert states(clients) == {True, False}


def opened(server: Server, keys: list[str]) -> list[Client]:
    clients = connected(server)
    for number, key in enumerate(keys[:2]):
        clients[number].write("sys/unseal", {"key": key})
    assert states(clients) == {False}
    return clients


def seal(client: Client) -> None:
    assert client.ask("PUT", "sys/seal").status == 204


def ask_again(client: Client, path: str) -> int:
    """A worker that sealed closes its connections when it ends; a client connects anew."""
    try:
        return client.read(path).status
    except ConnectionError:
        return client.read(path).status


def test_sealing_seals_every_worker_and_ends_it(tmp_path: Path) -> None:
    with held_by_people(tmp_path) as (server, keys):
        for turn in range(2):
            clients, before = opened(server, keys), server.children()
            seal(clients[turn])
            assert {ask_again(client, "auth/token/lookup-self") for client in clients} == {503}
            until(lambda before=before: not set(before) & set(server.children()) and len(server.children()) == 2)
            assert states([server.client() for _ in range(CONNECTIONS)]) == {True}
        opened(server, keys)
        assert "worker died" not in server.output()


def test_control_a_worker_that_tells_nobody_leaves_others_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_by_people(tmp_path, monkeypatch, "selfish") as (server, keys):
        clients = opened(server, keys)
        seal(clients[0])
        assert 200 in {ask_again(client, "auth/token/lookup-self") for client in clients}


def test_a_worker_that_does_not_seal_is_ended_before_anybody_is_told_that_all_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_by_people(tmp_path, monkeypatch, "stubborn") as (server, keys):
        clients, before = opened(server, keys), server.children()
        began = time.monotonic()
        seal(clients[0])
        assert 1.0 <= time.monotonic() - began < 5.0
        assert {ask_again(client, "auth/token/lookup-self") for client in clients} == {503}
        until(lambda: not set(before) & set(server.children()) and len(server.children()) == 2)
        assert "worker died" not in server.output()


def holding(pids: list[int], needle: bytes) -> dict[int, int]:
    """In which of these processes' memory something stands, and how often."""
    found = dict[int, int]()
    for pid in pids:
        with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
            for line in maps:
                start, stop = (int(each, 16) for each in line.split()[0].split("-"))
                if line.split()[1].startswith("rw"):
                    with contextlib.suppress(OSError, OverflowError, ValueError):
                        memory.seek(start)
                        found[pid] = found.get(pid, 0) + memory.read(stop - start).count(needle)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into processes that are not dumpable")
def test_the_root_key_is_in_one_page_of_the_supervisor_and_nowhere_once_sealed(tmp_path: Path) -> None:
    with several(tmp_path) as (server, root):
        with offline.opened(server) as barrier:
            key = bytes(barrier.keys.root)
        assert holding([server.pid], key) == {server.pid: 1}
        assert min(holding(server.children(), key).values()) >= 1, "the control: it is found where it is"
        os.kill(server.children()[0], signal.SIGKILL)
        until(lambda: len(server.children()) == 2)
        connected(server)
        before = server.children()
        root.close()
        seal(root)
        until(lambda: not set(before) & set(server.children()) and len(server.children()) == 2)
        assert set(holding([server.pid, *server.children()], key).values()) == {0}


def test_a_server_that_was_sealed_does_not_open_by_itself_until_it_is_started_again(tmp_path: Path) -> None:
    with several(tmp_path) as (server, root):
        before = server.children()
        seal(root)
        until(lambda: not set(before) & set(server.children()) and len(server.children()) == 2)
        time.sleep(1.5)  # the lead looks every second
        assert states(connected(server)) == {True}
        server.terminate()
        server.start()
        assert states(connected(server)) == {False}


def opened_again(server: Server, root: Client) -> int:
    """Seal while strangers keep connections open; how often a worker opened afterwards."""
    strangers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(CONNECTIONS)]
    for stranger in strangers:
        stranger.sendall(b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    connected(server)
    before, opened_before = server.children(), server.output().count("unsealed")
    seal(root)
    replaced = lambda: not set(before) & set(server.children()) and len(server.children()) == 2  # noqa: E731
    until(lambda: replaced() or server.output().count("unsealed") > opened_before, 10)
    time.sleep(1.5)
    for stranger in strangers:
        stranger.close()
    return server.output().count("unsealed") - opened_before


def test_who_keeps_a_connection_open_does_not_undo_the_sealing(tmp_path: Path) -> None:
    """A worker that has sealed waits for its connections to end, and it is the lead, which opens by itself what is sealed at its start."""
    with several(tmp_path) as (server, root):
        assert opened_again(server, root) == 0
        assert states(connected(server)) == {True}


def test_control_a_worker_that_forgets_that_it_was_sealed_opens_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, "willing") as (server, root):
        assert opened_again(server, root) > 0


def test_a_worker_that_is_started_again_after_a_rekey_opens_with_the_new_root_key(tmp_path: Path) -> None:
    with held_by_people(tmp_path) as (server, keys):
        clients = opened(server, keys)
        nonce = clients[0].write("sys/rotate/root/init", {"secret_shares": 1, "secret_threshold": 1}).data["nonce"]
        for number, key in enumerate(keys[:2]):
            done = clients[number].write("sys/rotate/root/update", {"key": key, "nonce": nonce}).data
        assert done["complete"] is True
        for pid in server.children():
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: pid not in server.children() and len(server.children()) == 2)
            time.sleep(0.5)
        assert states(connected(server)) == {False}


def rekeyed(client: Client, keys: list[str], times: int) -> None:
    """So quickly that the other worker hears of the last one only."""
    for _ in range(times):
        nonce = client.write("sys/rotate/root/init", {"secret_shares": 3, "secret_threshold": 2}).data["nonce"]
        done = [client.write("sys/rotate/root/update", {"key": key, "nonce": nonce}).data for key in keys[:2]]
        keys = done[-1]["keys"]


def test_an_idle_worker_follows_several_rekeys_at_once(tmp_path: Path) -> None:
    with held_by_people(tmp_path) as (server, keys):
        clients = opened(server, keys)
        before = server.children()
        rekeyed(clients[0], keys, 3)
        time.sleep(2.5)  # two looks of an idle worker
        assert states(clients) == {False} and server.children() == before
        assert "sealed:" not in server.output()


def test_control_a_worker_that_cannot_follow_is_replaced_by_one_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_by_people(tmp_path, monkeypatch, "shortsighted") as (server, keys):
        clients = opened(server, keys)
        rekeyed(clients[0], keys, 3)
        until(lambda: "sealed: the root key was changed" in server.output())
        until(lambda: server.output().count("unsealed") == 3)
        assert states(connected(server)) == {False}


def test_an_idle_worker_hears_of_what_others_committed(tmp_path: Path) -> None:
    """Nobody asks it anything. It has to: after a rekey the way from the old root key to the new one stands for ten minutes only."""
    more = tmp_path / "more"
    more.mkdir(mode=0o700)
    extra = f'unsafe_allow_api_audit_creation = true\naudit_directory = "{more}"'
    with several(tmp_path, extra=extra) as (_, root):
        assert root.write("sys/audit/added", {"type": "file", "options": {"file_path": f"{more}/added.log"}}).status == 204
        until(lambda: len(list(more.iterdir())) == 2)


# -- audit and signals ---------------------------------------------------------------------------------------------------------


def test_every_request_is_in_one_of_the_files_and_one_signature_covers_all(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        for number, client in enumerate(connected(server)):
            assert client.read(f"secret/data/seen-{number:02}").status == 404
        server.terminate()
        files = [server.audit, server.audit.with_name("audit.worker-1.log")]
        lines = [file.read_text() for file in files]
        for number in range(CONNECTIONS):
            assert sum(f"secret/data/seen-{number:02}" in text for text in lines) == 1
        report = offline.verify(server)
        assert report.intact and report.last is not None, offline.texts(report)
        assert report.last.final and len(report.last.streams) == 2
        assert report.uncovered == 1, "the last checkpoint itself"
        files[1].write_text("".join(lines[1].splitlines(keepends=True)[:-1]))
        assert not offline.verify(server).intact, "the control: a line cut off one file is missed by the signature in the other"


def test_a_device_that_one_worker_added_every_worker_writes_to(tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir(mode=0o700)
    extra = f'unsafe_allow_api_audit_creation = true\naudit_directory = "{more}"'
    with several(tmp_path, extra=extra) as (server, root):
        clients = connected(server)
        assert root.write("sys/audit/added", {"type": "file", "options": {"file_path": f"{more}/added.log"}}).status == 204
        for number, client in enumerate(clients):
            client.read(f"secret/data/both-{number}")
        written = "".join(file.read_text() for file in more.iterdir())
        assert all(f"secret/data/both-{number}" in written for number in range(CONNECTIONS))


def test_a_worker_whose_audit_file_cannot_be_opened_stays_sealed_until_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is answered unrecorded, by none of them."""
    with several(tmp_path, monkeypatch, "impatient") as (server, _):
        server.terminate()
        theirs = server.audit.with_name("audit.worker-1.log")
        kept = theirs.rename(tmp_path / "kept")
        theirs.mkdir()
        server.start()
        clients = connected(server)
        assert {client.read("secret/config").status for client in clients} == {200, 503}
        assert "a worker could not open the store" in server.output()
        theirs.rmdir()
        kept.rename(theirs)
        until(lambda: {client.read("secret/config").status for client in clients} == {200})
        server.terminate()
        assert offline.verify(server).intact


def test_logs_move_away_and_nothing_is_lost(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        clients = connected(server)
        for client in clients:
            client.read("secret/data/before")
        files = [server.audit, server.audit.with_name("audit.worker-1.log")]
        moved = [file.rename(file.with_suffix(".old")) for file in files]
        server.signal(signal.SIGHUP)
        until(lambda: all(file.exists() for file in files))
        for client in clients:
            assert client.read("secret/data/after").status == 404
        server.terminate()
        assert all("secret/data/before" in file.read_text() for file in moved)
        assert all("secret/data/after" in file.read_text() for file in files)
        assert offline.verify(server, *moved, *files).intact


@pytest.mark.fault("F30")
def test_stopping_finishes_what_is_open_and_takes_no_more(tmp_path: Path) -> None:
    with several(tmp_path) as (server, _):
        with under_load(server, 4) as loads:
            time.sleep(0.5)
            workers = server.children()
            assert server.terminate() == 0
            assert not any(Path(f"/proc/{pid}/exe").exists() for pid in workers)
            assert all(not load.failed for load in loads)
            server.start()
        assert all(load.lost() == [] for load in loads)


def rows_of(server: Server) -> float:
    with server.client() as client:
        text = client.read("sys/metrics?format=prometheus").text
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("strongroom_store_rows ")))


def test_timers_run_on_when_the_worker_that_ran_them_dies(tmp_path: Path) -> None:
    """Whoever set them: one leads, and another does once that one is gone."""
    with several(tmp_path) as (server, _):
        clients = connected(server)
        before = rows_of(server)
        for client in clients:
            client.write("auth/token/create", {"ttl": "1s", "policies": ["default"]})
        until(lambda: rows_of(server) <= before, 6)
        for client in clients:
            client.write("auth/token/create", {"ttl": "2s", "policies": ["default"]})
        assert rows_of(server) > before
        os.kill(server.children()[0], signal.SIGKILL)
        until(lambda: rows_of(server) <= before, 8)


def test_numbers_of_all_workers_are_summed_and_outlive_them(tmp_path: Path) -> None:
    with several(tmp_path) as (server, root):
        clients = connected(server)
        for client in clients:
            for _ in range(5):
                client.read("secret/config")

        def taken_in() -> float:
            text = root.read("sys/metrics?format=prometheus").text
            return float(next(line.split()[1] for line in text.splitlines() if line.startswith("vault_core_handle_request_count ")))

        until(lambda: taken_in() >= 6 * CONNECTIONS)
        time.sleep(1.5)  # each of them posts once a second
        before = taken_in()
        dead = server.children()[0]
        os.kill(dead, signal.SIGKILL)
        until(lambda: dead not in server.children() and len(server.children()) == 2)
        root.close()
        assert taken_in() >= before - 10, "at most a second of the dead worker's is gone"


def test_on_standard_output_lines_of_all_workers_are_whole(tmp_path: Path) -> None:
    audit = 'audit "file" "out" { file_path = "stdout" }'
    with several(tmp_path, audit=audit) as (server, _):
        clients = connected(server)
        writers = [
            threading.Thread(target=lambda client=client: [client.write("secret/data/x", {"data": wide()}) for _ in range(6)])
            for client in clients
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        server.terminate()
        lines = tmp_path / "lines.log"
        lines.write_bytes(b"".join(line for line in server.log.read_bytes().splitlines(keepends=True) if line.startswith(b"{")))
        report = offline.verify(server, lines)
        assert report.intact and report.streams == 2, offline.texts(report)


def wide() -> dict[str, str]:
    return {f"name-{number}": "x" * 20 for number in range(300)}
