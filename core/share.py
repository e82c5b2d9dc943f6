"""Architectures as links: a compact, versioned, checked token."""

import base64
import json
import zlib

from .spec import Architecture, Unsupported, parse

PREFIX = "s1."  # the version; later versions read all earlier ones
MAX_TOKEN = 8_000  # characters
MAX_JSON = 200_000  # bytes after decompression


def encode(arch: Architecture) -> str:
    """A URL-safe token that `decode` reads back to an equal Architecture."""
    data = zlib.compress(arch.canonical.encode(), 9)
    return PREFIX + base64.urlsafe_b64encode(zlib.crc32(data).to_bytes(4, "big") + data).decode().rstrip("=")


def decode(token: str) -> Architecture:
    """The Architecture of a token; Unsupported for one that is damaged, cut, hostile or of an unknown version."""
    if not isinstance(token, str) or not token.startswith(PREFIX):
        raise Unsupported("this is not a Strata link: it does not begin with a known version")
    if len(token) > MAX_TOKEN:
        raise Unsupported(f"this link has {len(token):,} characters, which is too long; at most {MAX_TOKEN:,} are accepted")
    body = token[len(PREFIX) :]
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Unsupported("this link is damaged: it has characters that are not allowed in a link") from None
    check, data = raw[:4], raw[4:]
    if zlib.crc32(data).to_bytes(4, "big") != check:
        raise Unsupported("this link is damaged or cut short: its checksum does not match")
    try:
        reader = zlib.decompressobj()
        text = reader.decompress(data, MAX_JSON)
        if reader.unconsumed_tail or not reader.eof:
            raise Unsupported(f"this link holds more than {MAX_JSON:,} bytes, which is too much for an architecture")
        value = json.loads(text)
    except (zlib.error, ValueError, RecursionError):
        raise Unsupported("this link is damaged: it does not hold an architecture") from None
    if not isinstance(value, dict):
        raise Unsupported("this link is damaged: it does not hold an architecture")
    return parse(value)
