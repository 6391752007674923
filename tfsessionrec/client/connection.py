"""An HTTP connection with one deadline and one size for a whole exchange.

The timeout of a socket restarts with every part of an answer, and `http.client` reserves the
memory that a server announces. A server that sends a byte at a time would hold a caller for ever.
"""

import http.client
import io
import select
import socket
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfsessionrec.client.address import Address

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

HEADER_BYTES = 2**16  # and the lines between chunks
AT_ONCE = 2**16


class AnswerTooLargeError(Exception):
    """An answer has more bytes than the client takes.

    Args:
        limit: As many.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the answer has more than {limit} bytes (`max_response_bytes`)")


class Connection(http.client.HTTPConnection):
    """A connection that stays open between exchanges.

    Args:
        address: The server.
        max_response_bytes: The largest body of an answer.
    """

    def __init__(self, address: Address, max_response_bytes: int) -> None:
        super().__init__(address.host, address.port)
        self._max_response_bytes = max_response_bytes
        self._context = ssl.create_default_context() if address.scheme == "https" else None
        self._end = 0.0
        self._bytes_left = 0

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], end: float
    ) -> tuple[int, bytes]:
        """Sends a request and reads the whole answer.

        Args:
            method: "GET" or "POST".
            path: Its path.
            body: Its content.
            headers: Its headers.
            end: When it has to be over, by `time.monotonic`.

        Returns:
            The HTTP status and the content.

        Raises:
            AnswerTooLargeError: If the answer is too large.
            TimeoutError: If `end` passes.
            OSError: If the connection fails.
            http.client.HTTPException: If the answer is not HTTP.
        """
        self._end = end
        self._bytes_left = self._max_response_bytes + HEADER_BYTES
        self.request(method, path, body, dict(headers))
        response = self.getresponse()
        if response.length is not None and response.length > self._max_response_bytes:
            raise AnswerTooLargeError(self._max_response_bytes)
        parts, size = [], 0
        while part := response.read1(AT_ONCE):
            parts.append(part)
            size += len(part)
            if size > self._max_response_bytes:
                raise AnswerTooLargeError(self._max_response_bytes)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        response.read()  # Marks the response as read, so that the connection can be reused.
        return response.status, b"".join(parts)

    def is_usable(self) -> bool:
        """Whether the server has neither closed the idle connection nor sent an answer unasked."""
        if self.sock is None:
            return False
        idle = select.poll()
        idle.register(self.sock, select.POLLIN)
        return not idle.poll(0)

    def connect(self) -> None:
        """Connects to the first address of the host that answers."""
        failure: OSError | None = None
        for family, kind, protocol, _, target in socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM
        ):
            one = socket.socket(family, kind, protocol)
            try:
                one.settimeout(self.seconds_left())
                one.connect(target)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is not None:
                    one.settimeout(self.seconds_left())
                    one = self._context.wrap_socket(one, server_hostname=self.host)
                self.sock = _LimitedSocket(one, self)
                return
            except TimeoutError:
                one.close()
                raise
            except OSError as error:
                one.close()
                failure = error
        raise failure or OSError(f"{self.host} has no address")

    def seconds_left(self) -> float:
        """Seconds until the end of the exchange.

        Raises:
            TimeoutError: If there is none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def count(self, size: int) -> None:
        """Counts bytes that were received.

        Raises:
            AnswerTooLargeError: If there are too many.
        """
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise AnswerTooLargeError(self._max_response_bytes)


class _LimitedSocket:
    """What `http.client` uses of a socket, within the limits of its connection."""

    def __init__(self, inner: socket.socket, connection: Connection) -> None:
        self._inner = inner
        self._connection = connection

    def makefile(self, mode: str) -> io.BufferedReader:
        """A file that reads the answer."""
        return io.BufferedReader(_LimitedReader(self._inner, self._connection))

    def sendall(self, data: "ReadableBuffer") -> None:
        """Sends all bytes."""
        left = memoryview(data).cast("B")
        while left:
            self._inner.settimeout(self._connection.seconds_left())
            left = left[self._inner.send(left) :]

    def fileno(self) -> int:
        """The file descriptor."""
        return self._inner.fileno()

    def close(self) -> None:
        """Closes it; a file that reads from it stays open."""
        self._inner.close()


class _LimitedReader(io.RawIOBase):
    """The bytes that a socket receives, within the limits of its connection."""

    def __init__(self, inner: socket.socket, connection: Connection) -> None:
        super().__init__()
        self._inner = inner
        self._file = inner.makefile("rb", buffering=0)
        self._connection = connection

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        """Waits for some bytes."""
        self._inner.settimeout(self._connection.seconds_left())
        size = self._file.readinto(buffer)
        self._connection.count(size or 0)
        return size

    def close(self) -> None:
        """Closes the file, and the socket if that is closed, too."""
        self._file.close()
        super().close()
