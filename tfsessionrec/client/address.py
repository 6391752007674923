"""The address of a server, without what must not be printed."""

import base64
import dataclasses
import re
import urllib.parse


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server listens. `str` of it holds neither user nor password.

    Attributes:
        scheme: "http", "https" or "grpc".
        host: Name or number of the machine.
        port: Its port.
        path: Path before "/v1", of a proxy; "" for none.
        authorization: Value of the header `Authorization`. Defaults to None: no such header.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    authorization: str | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """The address in a URL, such as "http://localhost:8501".

        Args:
            url: http://HOST:PORT, https://HOST:PORT or grpc://HOST:PORT. The former two may name a
                user, as in https://USER:PASSWORD@HOST:PORT, and the path of a proxy.

        Raises:
            ValueError: If it is no such URL.
        """
        try:
            parts = urllib.parse.urlsplit(url)
            host, port = parts.hostname or "", parts.port
            complete = parts.scheme in ("http", "https", "grpc") and port is not None
            complete = complete and not (parts.query or parts.fragment)
            complete = complete and bool(host.encode("idna")) and not re.search(r"[\s\0-\x1f]", url)
            complete = complete and (parts.scheme != "grpc" or "@" not in parts.netloc)
        except (AttributeError, TypeError, ValueError):
            complete = False
        if not complete:
            raise ValueError(
                "`url` should be http://HOST:PORT or grpc://HOST:PORT; the server's default ports "
                "are 8501 and 8500; only http and https take a user and a password. Received: "
                f"`url`={_hidden(url)!r}"
            )
        authorization = None
        if parts.username is not None:
            pair = (
                urllib.parse.unquote(parts.username),
                urllib.parse.unquote(parts.password or ""),
            )
            authorization = "Basic " + base64.b64encode(":".join(pair).encode()).decode()
        path = urllib.parse.quote(parts.path.rstrip("/"), safe="/%!$&'()*+,;=:@~")
        return cls(parts.scheme, host, port or 0, path, authorization)

    @property
    def netloc(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


def _hidden(url: object) -> object:
    """A URL to be printed: `***` for all that may be a user and a password."""
    if not isinstance(url, str) or "@" not in url:
        return url if isinstance(url, str | int | float | None) else type(url)
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url)
    return f"{scheme[0] if scheme else ''}***@{url.rpartition('@')[2]}"
