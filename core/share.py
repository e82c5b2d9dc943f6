"""Architectures as links: a compact, versioned, checked token."""

import base64
import json
import zlib

from .spec import Architecture, Unsupported, parse

PREFIX = "s1."  # the version: a later one reads every earlier one
MAX_TOKEN = 8_000  # characters
MAX_JSON = 200_000  # bytes once decompressed


def encode(arch: Architecture) -> str:
    """A URL-safe token that `decode` reads back to an equal Architecture."""
    data = zlib.compress(arch.canonical.encode(), 9)
    return PREFIX + base64.urlsafe_b64encode(zlib.crc32(data).to_bytes(4, "big") + data).decode().rstrip("=")


def decode(token: str) -> Architecture:
    """The Architecture of a token; Unsupported for one that is broken, cut, hostile or of an unknown version."""
    if not isinstance(token, str) or not token.startswith(PREFIX):
        raise Unsupported("this is not a Strata link: it does not begin with a version that this app reads")
    if len(token) > MAX_TOKEN:
        raise Unsupported(f"this link has {len(token):,} characters; at most {MAX_TOKEN:,} are read")
    body = token[len(PREFIX) :]
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Unsupported("this link is damaged: it has characters that no link has") from None
    check, data = raw[:4], raw[4:]
    if zlib.crc32(data).to_bytes(4, "big") != check:
        raise Unsupported("this link is damaged or cut short: its checksum does not match")
    try:
        reader = zlib.decompressobj()
        text = reader.decompress(data, MAX_JSON)
        if reader.unconsumed_tail or not reader.eof:
            raise Unsupported(f"this link holds more than {MAX_JSON:,} bytes, too much for an architecture")
        value = json.loads(text)
    except (zlib.error, ValueError, RecursionError):
        raise Unsupported("this link is damaged: it does not hold an architecture") from None
    if not isinstance(value, dict):
        raise Unsupported("this link is damaged: it does not hold an architecture")
    return parse(value)
