"""A sealed server has nothing left that opens a row: not the keys, and nothing that was made of them for speed."""

from __future__ import annotations

import asyncio
import base64
import gc
import io

from strongroom.barrier.barrier import Keys
from strongroom.clock import SystemClock
from strongroom.core.core import Settings
from strongroom.core.group import transact
from strongroom.core.sealing.bootstrap import secret_mount
from strongroom.core.sealing.unsealing import InitParameters, initialise, submit
from strongroom.core.token.entry import Token
from strongroom.crypto.mac import Mac
from strongroom.crypto.records import RecordCipher, Xaes
from strongroom.crypto.signatures import DualSigner
from strongroom.server.config import Config, Listener, Store
from strongroom.server.listeners import host_and_port
from strongroom.server.logs import Log
from strongroom.server.repeats import Kept
from strongroom.server.worker import Worker, open_storage
from tests.support.server import free_port

OPENERS = (Keys, RecordCipher, Xaes, Mac, DualSigner, Kept, Token)


def openers() -> dict[int, object]:
    """Everything alive in this process that opens or signs something."""
    gc.collect()
    return {id(found): found for found in gc.get_objects() if isinstance(found, OPENERS)}


async def ask(port: int, message: bytes, times: int = 1) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        if b"Content-Length: " in head:
            await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
    writer.close()
    return head


async def kinds_left(before: dict[int, object]) -> set[str]:
    await asyncio.sleep(0)
    return {type(found).__name__ for key, found in openers().items() if before.get(key) is not found}


async def sealed_while_read_from_memory() -> tuple[set[str], set[str], int]:
    before = openers()
    address = f"127.0.0.1:{free_port()}"
    listener = Listener(address=address, tls_disable=True)
    config = Config(storage=Store(kind="inmem"), listeners=(listener,))
    worker = Worker(config, SystemClock(), Log(stream=io.StringIO()), open_storage(config.storage), Settings(dev=True))
    worker.listen(config.listeners)
    made = initialise(worker.core, InitParameters(secret_shares=1, secret_threshold=1), "root-token-of-a-test")
    submit(worker.core, base64.b64encode(made.keys[0]).decode())
    transact(worker.core, lambda call: secret_mount(worker.core, call), worker.log.report)
    await worker.serve()
    port = host_and_port(address)[1]
    head = b"Host: x\r\nX-Vault-Token: root-token-of-a-test\r\n"
    await ask(port, b"POST /v1/secret/data/x HTTP/1.1\r\n" + head + b'Content-Length: 16\r\n\r\n{"data":{"a":1}}')
    await ask(port, b"GET /v1/secret/data/x HTTP/1.1\r\n" + head + b"\r\n", times=3)
    open_kinds = await kinds_left(before)
    await ask(port, b"PUT /v1/sys/seal HTTP/1.1\r\n" + head + b"Content-Length: 0\r\n\r\n")
    await ask(port, b"GET /v1/sys/seal-status HTTP/1.1\r\n" + head + b"Connection: close\r\n\r\n")
    assert worker.core.barrier.sealed
    sealed_kinds = await kinds_left(before)
    known = len(worker.connections.heads)
    await worker.stop()
    return open_kinds, sealed_kinds, known


def test_nothing_that_opens_a_row_outlives_the_seal() -> None:
    while_open, while_sealed, known = asyncio.run(sealed_while_read_from_memory())
    assert {"Keys", "Kept", "Token", "DualSigner"} <= while_open, "the control: it is there to be found"
    assert while_sealed == set()
    assert known == 0
