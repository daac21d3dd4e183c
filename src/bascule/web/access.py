"""Who may speak to us, and what a page of ours may load. Pure, but for the ASGI shell at the end.

A browser speaks for any page that its user has open. Therefore: the Host must be a name of ours (a name that was
rebound to our address is not), a request that another page caused is refused (Origin, Sec-Fetch-Site), and beyond
loopback a token is asked for. Our own pages run no script but ours and load nothing from elsewhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs

from msgspec import Struct

from bascule.web.address import host_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ("cache-control", "no-store"),
)
MARK = "x-bascule"  # a header that no other site's form can send

OPEN_PATHS = frozenset({"/page.css", "/icon.svg"})  # say nothing about this host

WANTED = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>bascule: token</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/page.css"></head>
<body><main class="door"><h1>This page needs a token</h1>
<p>It can be reached from other machines and shows the network of this host, so it is not for everybody.
<code>bascule serve</code> has printed the address with the token in its terminal.</p>
<form method="get" action="/"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required> <button>Open</button></form>
</main></body></html>
"""


class Refusal(Struct, frozen=True):
    """A status and a sentence (or a page)."""

    status: int
    words: str
    html: bool = False


class AccessControl(Struct, frozen=True):
    """``names`` are the hosts that a browser may have in its address bar; ``any_ip`` allows every address in numbers.

    An address in numbers cannot be rebound: it takes a name to lead a browser from one server to another.
    """

    names: frozenset[str]
    any_ip: bool = False
    token: str | None = None
    cookie: str = "bascule"

    def refusal(self, method: str, path: str, headers: MutableMapping[str, str]) -> Refusal | None:
        """Why a request is not answered, whoever sends it; the token is another question."""
        host = headers.get("host", "")
        if not self._is_ours(host_of(host)):
            return Refusal(
                421,
                f"'{host[:80]}' is not a name of this server; start it with --name to allow it, or use the address\n",
            )
        origin = headers.get("origin")
        is_foreign = origin is not None and origin.lower() not in {f"http://{host.lower()}", f"https://{host.lower()}"}
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            is_visit = method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate"
            is_foreign = is_foreign or not (is_visit and headers.get("sec-fetch-dest") == "document")
        if is_foreign:
            return Refusal(403, "this request comes from another site's page\n")
        if method not in {"GET", "HEAD"} and MARK not in headers:
            return Refusal(403, f"a request that does something needs the header {MARK}\n")
        return None

    def _is_ours(self, name: str) -> bool:
        if name in self.names:
            return True
        try:
            return self.any_ip and bool(ip_address(name))
        except ValueError:
            return False

    def knows(self, headers: MutableMapping[str, str]) -> bool:
        """Whether the request bears the token, in a cookie or as a bearer's."""
        if self.token is None:
            return True
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        offered = bearer.strip() if scheme.lower() == "bearer" else ""
        try:
            jar = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            jar = SimpleCookie()
        if not offered and self.cookie in jar:
            offered = jar[self.cookie].value
        return self.is_token(offered)

    def is_token(self, offered: str) -> bool:
        """Whether this is the token; takes as long for a wrong one."""
        return self.token is not None and secrets.compare_digest(offered.encode(), self.token.encode())


class AccessMiddleware:
    """The guard before an application."""

    def __init__(self, app: App, access: AccessControl) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self.access.refusal(scope["method"], scope["path"], headers)
        if refusal is not None:
            await _answer(send, refusal)
            return
        if self.access.token is not None and scope["path"] not in OPEN_PATHS:
            is_offered = scope["path"] == "/" and b"token=" in scope["query_string"]
            if is_offered or not self.access.knows(headers):
                await self._ask_token(scope, send)
                return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_encoded(HEADERS)]
            await send(message)

        await self.app(scope, receive, send_with_headers)

    async def _ask_token(self, scope: Scope, send: Send) -> None:
        if scope["path"] != "/" or scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, Refusal(401, "the token is missing or wrong\n"))
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if any(self.access.is_token(token) for token in query.get("token", ())):
            cookie = f"{self.access.cookie}={self.access.token}; Path=/; HttpOnly; SameSite=Lax"
            more = (("location", "/"), ("set-cookie", cookie))
            await _answer(send, Refusal(303, ""), more)  # the token leaves the address bar
            return
        await _answer(send, Refusal(401, WANTED, html=True))


def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _answer(send: Send, refusal: Refusal, more: tuple[tuple[str, str], ...] = ()) -> None:
    kind = "text/html; charset=utf-8" if refusal.html else "text/plain; charset=utf-8"
    body = refusal.words.encode("utf-8", "replace")
    own = (("content-type", kind), ("content-length", str(len(body))))
    headers = _encoded((*own, *HEADERS, *more))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
