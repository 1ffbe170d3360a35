"""Somebody who collects audit lines over a stream socket."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.support.waiting import until


class Collector:
    """Reads whatever comes, over as many connections as come."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.taken = b""
        self.connections: list[socket.socket] = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self.listening.accept()[0]
                self.connections.append(connection)
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := connection.recv(65_536):
                self.taken += piece

    def wait(self, text: bytes) -> None:
        until(lambda: text in self.taken, 5, lambda: self.taken)

    def hang_up(self) -> None:
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.connections.clear()

    def stop(self) -> None:
        self.hang_up()
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(5)
