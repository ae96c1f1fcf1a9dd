"""The way to one service: its address, what every request carries, its key, proxies and certificates."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import threading
import urllib.parse
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from .credentials import Key, check_key, refused_in_url, secrets_in
from .errors import DataError, InterfaceError, OperationalError
from .exchange import Adapter, environment_bundle
from .options import Options
from .pace import pace_of
from .secrecy import forgetting, hide
from .values import Pairs

# The base URL of the embedded service; RFC 2606 keeps the name out of every network.
EMBEDDED = "http://embedded.invalid/v1"


class Request(NamedTuple):
    """Ask for something: ``path`` begins with a slash, is percent-encoded, and stands below the base URL.

    ``body`` is JSON. A request that is not ``repeatable``, a create, is never sent again where the
    service may have applied it.
    """

    method: str
    path: str
    query: Pairs = ()
    body: bytes | None = None
    repeatable: bool = True


class Credential(AuthBase):
    """Put the key on requests: ``key`` is text, or a function that gives a token when one is needed."""

    def __init__(self, key: Key | None, header: str) -> None:
        self._key = key
        self._bearer = header == "bearer"
        self._known: deque[str] = deque([key] if isinstance(key, str) else [], maxlen=4)
        self._lock = threading.Lock()
        # How often the function was called; callers hold this number, so that no frame of theirs holds a key.
        self.edition = 0

    def __repr__(self) -> str:
        return "<Credential>"

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self._key is None:
            return request
        if not self._known:
            self.renew(0)
        if self._bearer:
            request.headers["Authorization"] = f"Bearer {self._known[-1]}"
        else:
            request.headers["api-key"] = self._known[-1]
        return request

    def renew(self, edition: int) -> bool:
        """Get another token for that of an edition, unless a thread has already; False if there is no function."""
        if self._key is None or isinstance(self._key, str):
            return False
        with self._lock:
            if self.edition == edition:
                self._known.append(_check(_call(self._key)))
                self.edition += 1
        return True

    def secrets(self) -> list[str]:
        """Give the keys that may be on their way."""
        return list(self._known)


def _call(key: Callable[[], str]) -> object:
    try:
        return key()
    except Exception as error:
        raise OperationalError(f"api_key: the function that gives the token raised {type(error).__name__}") from error


@forgetting
def _check(token: object) -> str:
    if not isinstance(token, str):
        raise InterfaceError(f"api_key: the function gave {type(token).__name__}, not a text")
    return check_key(token, "the token that the function api_key gave")


class _Session(requests.Session):
    def get_redirect_target(self, resp: Response) -> None:
        """Follow nothing: a redirect would carry the key elsewhere, and what the target means nobody said."""


class Way:
    """Hold the requests session of one process; ``adapter`` is the transport of the embedded service.

    ``proxied`` tells that a proxy of the environment stands between.
    """

    def __init__(self, options: Options, adapter: BaseAdapter | None) -> None:
        self.pid = os.getpid()
        self.base_url = options.base_url or EMBEDDED
        self.host = urllib.parse.urlsplit(self.base_url).hostname
        self.credential = Credential(options.api_key, options.auth)
        self.pace = pace_of(self.base_url, options.api_key)
        self._options = options
        self._own = adapter is None
        self._proxies = _find_proxies(options)
        self.proxied = select_proxy(self.base_url, self._proxies) is not None
        self._session = _Session()
        # The environment was read above: reading it for each request is slow, and a .netrc is never ours.
        self._session.trust_env = False
        self._session.auth = self.credential
        transport = adapter or Adapter(options.concurrency, _find_bundle(self.base_url))
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, transport)

    @functools.cached_property
    def _headers(self) -> CaseInsensitiveDict[str]:
        return _common_headers(self._options)

    @functools.cached_property
    def _common_query(self) -> str:
        return urllib.parse.urlencode(self._options.query)

    def prepare(self, request: Request) -> PreparedRequest:
        """Make what is sent; raise DataError for a query that is not Unicode."""
        # By hand: of what requests does to prepare one, nothing is left to do here.
        prepared = PreparedRequest()
        prepared.method = request.method
        prepared.url = f"{self.base_url}{request.path}{self._query(request)}"
        prepared.headers = self._headers.copy()
        prepared.hooks = {"response": []}
        if request.method == "POST":
            prepared.body = request.body or b""
            prepared.headers["Content-Type"] = "application/json"
            prepared.headers["Content-Length"] = str(len(prepared.body))
        return self.credential(prepared)

    def _query(self, request: Request) -> str:
        try:
            own = urllib.parse.urlencode(request.query)
        except UnicodeError as error:
            raise DataError(f"{request.method} {request.path}: a query value is not valid Unicode") from error
        query = "&".join(filter(None, (self._common_query, own)))
        return f"?{query}" if query else ""

    def send(self, prepared: PreparedRequest, limit: float) -> Response:
        """Send it once, with a body still to be read, within ``limit`` seconds."""
        options = self._options
        timeout = (min(options.connect_timeout, limit), min(options.timeout, limit))
        return self._session.send(
            prepared, stream=True, timeout=timeout, proxies=self._proxies, verify=True, allow_redirects=False
        )

    def hide(self, text: str) -> str:
        """Take every secret of this connection out of a text."""
        given = (*self._options.headers, *self._options.query)
        values = (secret for name, value in given if refused_in_url(name) for secret in secrets_in(value))
        proxies = (secret for proxy in self._proxies.values() for secret in _secrets_of_proxy(proxy))
        return hide(text, (*self.credential.secrets(), *values, *proxies))

    def close(self) -> None:
        """Close the kept connections; an adapter that was given belongs to its giver."""
        if self._own:
            self._session.close()


def _common_headers(options: Options) -> CaseInsensitiveDict[str]:
    headers = CaseInsensitiveDict(
        {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"messages-dbapi/{_version()}",
            # Required by the contract, though its document declares it nowhere.
            "OpenAI-Beta": "assistants=v2",
        }
    )
    if options.organization:
        headers["OpenAI-Organization"] = options.organization
    if options.project:
        headers["OpenAI-Project"] = options.project
    headers.update(options.headers)
    return headers


@functools.cache
def _version() -> str:
    try:
        return importlib.metadata.version("messages-dbapi")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _secrets_of_proxy(proxy: str) -> tuple[str, ...]:
    userinfo = proxy.rpartition("@")[0].rpartition("//")[2]
    user, _, password = userinfo.partition(":")
    return (userinfo, *map(urllib.parse.unquote, (userinfo, password or user)))


def _find_proxies(options: Options) -> dict[str, str]:
    url = options.base_url
    # Plain http is for this machine unless the user says otherwise: a proxy would be shown the key.
    if url is None or (url.startswith("http://") and not options.allow_insecure):
        return {}
    return get_environ_proxies(url)


def _find_bundle(base_url: str) -> str:
    found = environment_bundle(os.environ)
    if found is None or not base_url.startswith("https"):
        return DEFAULT_CA_BUNDLE_PATH
    variable, path = found
    if not os.path.exists(path):
        raise InterfaceError(f"{variable} names {path!r} as the certificates to trust, and there is no such file")
    return path
