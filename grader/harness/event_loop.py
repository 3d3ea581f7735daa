"""The event loop: one selector that moves all our ends of the connections on."""

from __future__ import annotations

import contextlib
import selectors

from grader.harness.connection import Connection, Fault


class EventLoop:
    """Connections, and the first fault that any of them has seen."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self._selector = selectors.DefaultSelector()
        self._masks: dict[Connection, int] = {}
        self._fault: Fault | None = None
        self._excused: set[Connection] = set()

    def add(self, connection: Connection) -> None:
        """Add a connection to the loop."""
        self.connections.append(connection)
        self.update(connection)

    def remove(self, connection: Connection) -> None:
        """Remove a connection from the loop."""
        self.connections.remove(connection)
        if self._masks.pop(connection, 0):
            self._selector.unregister(connection.sock)

    def update(self, connection: Connection) -> None:
        """Watch for what a connection wants now, and check it for a fault."""
        if not self._fault and connection not in self._excused:
            self._fault = connection.check()
        mask = selectors.EVENT_READ if connection.wants_read() else 0
        mask |= selectors.EVENT_WRITE if connection.wants_write() else 0
        if mask == self._masks.get(connection, 0):
            return
        if connection in self._masks:
            self._selector.unregister(connection.sock)
            del self._masks[connection]
        if mask:
            self._selector.register(connection.sock, mask, connection)
            self._masks[connection] = mask

    def pump(self, timeout: float) -> bool:
        """Move on every connection that is ready, after waiting at most TIMEOUT seconds
        for one. Returns whether anything moved."""
        moved = False
        for key, mask in self._selector.select(timeout):
            connection: Connection = key.data
            if mask & selectors.EVENT_READ:
                moved |= connection.pull()
            if mask & selectors.EVENT_WRITE and connection.wants_write():
                moved |= connection.push()
            self.update(connection)
        return moved

    def forget_closed(self) -> None:
        """Drop the connections that we have closed."""
        self.connections = [c for c in self.connections if not c.closed]

    def _excuse_faults(self) -> None:
        """Forget the fault, if there is one, and ignore later faults of the connections
        that exist now."""
        self._fault = None
        self._excused.update(self.connections)

    def _close_connections(self) -> None:
        for connection in self.connections:
            if not connection.closed:
                connection.closed = True
                with contextlib.suppress(OSError):
                    connection.sock.close()
        self._selector.close()
