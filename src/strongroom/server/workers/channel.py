"""What supervisor and worker say to each other: whole messages over a pair of sockets that nobody else has.

Rules of this file:
- One socket for what a worker asks and one for what it is ordered; on each, one message goes out and one comes back.
- The root key has a place of its own in every message and is received into memory that is wiped after use: it is never part of a `bytes`
  object, which Python could not erase and a later fork would inherit.
- A message is a packet: it arrives whole or not at all. `root 32 | number u32 | body`, and the body is one of the structs below. An answer
  has the number of its question, so that one which came too late is not taken for the next.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock
from typing import Final

import msgspec

from strongroom.barrier.shares import KEY_BYTES, wipe
from strongroom.errors import Unavailable

ANSWER_SECONDS: Final = 15.0
"""How long a worker waits for the supervisor, which may be waiting for the other workers to open: each opens its audit devices first."""
LARGEST: Final = 64 << 10
"""Bytes of a body: a set of 255 shares has 8 KiB."""


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Ask: this worker takes orders now. Answered with Welcome."""


class Welcome(msgspec.Struct, frozen=True, tag=True):
    """Answer. `opens`: the order to open follows."""

    opens: bool


class Serves(msgspec.Struct, frozen=True, tag=True):
    """Ask: this worker takes requests now."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """Ask, with the root key: this worker opened the store with it; `used` share sets did so. Answered once the others have too."""

    used: tuple[bytes, ...] = ()


class RootChanged(msgspec.Struct, frozen=True, tag=True):
    """Ask, with the root key: it was changed by a rekey; the other workers follow the store."""


class SealOthers(msgspec.Struct, frozen=True, tag=True):
    """Ask: the other workers are to seal. Answered with OthersSealed once they have, or where another worker asked for that first."""


class Sealed(msgspec.Struct, frozen=True, tag=True):
    """Ask: this worker has sealed, and done what was to be done while it is. It may be opened again; otherwise it retires."""


class Retire(msgspec.Struct, frozen=True, tag=True):
    """Ask: this worker is sealed and ends; another is to take its place. It gives no share any more, and opens no more."""


class ShareGiven(msgspec.Struct, frozen=True, tag=True):
    """Ask: take this unseal share in. Answered with SharesTaken, or with Done while the server is being sealed."""

    set_id: bytes
    threshold: int
    share: bytes
    accept: bool

    def __repr__(self) -> str:
        return "ShareGiven()"


class ProgressWanted(msgspec.Struct, frozen=True, tag=True):
    """Ask: how far the round of unseal shares is. Answered with Progressed."""


class ProgressReset(msgspec.Struct, frozen=True, tag=True):
    """Ask: forget all shares."""


class Progressed(msgspec.Struct, frozen=True, tag=True):
    """Answer: nonce of the round, shares of each set."""

    nonce: str
    counts: dict[bytes, int]


class SharesTaken(msgspec.Struct, frozen=True, tag=True):
    """Answer: whether the share was new, and the whole round where it was the last."""

    new: bool
    shares: tuple[bytes, ...]
    accepted: bool

    def __repr__(self) -> str:
        return f"SharesTaken({len(self.shares)} shares)"


class OthersSealed(msgspec.Struct, frozen=True, tag=True):
    """Answer. `last`: nobody else has a key; otherwise another worker is the last one, and waits for this one."""

    last: bool


class Open(msgspec.Struct, frozen=True, tag=True):
    """Order, with the root key: open the store."""

    used: tuple[bytes, ...] = ()


class Seal(msgspec.Struct, frozen=True, tag=True):
    """Order: seal."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """Answer to everything else. `problem`: why not."""

    problem: str = ""


Ask = Hello | Serves | Opened | RootChanged | SealOthers | Sealed | Retire | ShareGiven | ProgressWanted | ProgressReset
Order = Open | Seal
Answer = Done | Welcome | Progressed | SharesTaken | OthersSealed
Message = Ask | Order | Answer

NO_ROOT: Final = bytes(KEY_BYTES)
"""In place of a root key where there is none."""
_NUMBER: Final = 4
_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Ended(OSError):
    """The other side is gone."""


class End:
    """One end of a pair. `root` and `number` are those of the last message; whoever has read the key wipes it."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.root = bytearray(KEY_BYTES)
        self.number = 0
        self._head = bytearray(_NUMBER)
        self._body = bytearray(LARGEST)
        self._turn = Lock()
        self._asked = 0

    def send(self, message: Message, root: bytes | bytearray | memoryview = NO_ROOT, number: int = 0) -> None:
        """Send one message. Raises Ended."""
        try:
            self.socket.sendmsg([root, number.to_bytes(_NUMBER, "big"), _encode(message)])
        except OSError as error:
            raise Ended(str(error)) from None

    def answer(self, message: Answer, root: bytes | bytearray | memoryview = NO_ROOT) -> None:
        """Answer the message that came last. Raises Ended."""
        self.send(message, root, self.number)

    def receive(self) -> Message:
        """The next message; waits as long as the socket does. Raises Ended, also for what is no message."""
        try:
            size = self.socket.recvmsg_into([self.root, self._head, self._body])[0] - KEY_BYTES - _NUMBER
            if size <= 0:
                raise Ended("the other side is gone")
            self.number = int.from_bytes(self._head, "big")
            return _decoder.decode(memoryview(self._body)[:size])
        except TimeoutError:
            raise
        except (OSError, msgspec.MsgspecError) as error:
            raise Ended(str(error)) from None
        finally:
            wipe(self._body)

    def ask(self, message: Ask, root: bytes | bytearray = NO_ROOT) -> Message:
        """Send one message and wait for its answer. Raises Unavailable."""
        with self._turn:
            self._asked = number = (self._asked + 1) & 0xFFFFFFFF
            try:
                self.socket.settimeout(ANSWER_SECONDS)
                self.send(message, root, number)
                while True:
                    answer = self.receive()
                    if self.number == number:
                        return answer
            except (TimeoutError, Ended):
                raise Unavailable("the server's other processes did not answer; try again in a second") from None

    def wipe(self) -> None:
        """Forget the root key that came last."""
        wipe(self.root)

    def close(self) -> None:
        """The other side is told that this one is gone."""
        with suppress(OSError):
            self.socket.close()


def pair() -> tuple[End, End]:
    """Two ends."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return End(left), End(right)
