"""A model on the Hugging Face Hub by its id: its config.json and the headers of its safetensors files, never its weights.

Answers are read to a bounded length and from the Hub's own hosts.

Every failure (no such model, a gated one, no answer in time) raises Unsupported with a sentence.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

from .hf.reading.config import shown
from .hf.reading.quantised import BESIDE, says_none
from .spec import Unsupported

PREFIX = "hf:"
SECONDS = 10  # an answer may pause at most this long
TOGETHER = 30  # seconds for a whole answer
REDIRECTS = 5
HOSTS = ("huggingface.co", "hf.co")  # the Hub, and the hosts of its large files
MAX_CONFIG = 1_000_000  # bytes
MAX_INDEX = 32_000_000
MAX_HEADER = 8_000_000
MAX_HEADERS = 64_000_000  # for all files together
FIRST = 100_000  # bytes of the first request: most files' headers are shorter
MAX_FILES = 1_000
MAX_RANK = 16
AT_ONCE = 8  # files
# The address of a page on the Hub: that of a model, or of one of its files.
_PAGE = re.compile(
    r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/(?P<repo>[^/?#]+/[^/?#]+)(/(blob|resolve|raw|tree)/(?P<revision>[^/?#]+)[^?#]*)?/?"
    r"([?#].*)?"
)
_FILE = re.compile(r"[\w-][\w./-]{0,200}\.safetensors", re.ASCII)
_ID = re.compile(r"^(?P<repo>[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95})(@(?P<revision>[\w./-]{1,100}))?$", re.ASCII)


@lru_cache(maxsize=1)
def api():
    """The Hub's client. Its endpoint is HF_ENDPOINT; its token is the one that huggingface_hub finds."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    return HfApi()


def config(name: str) -> dict[str, Any]:
    """The config.json of `hf:organisation/model`, or of `hf:organisation/model@revision`; with the stored formats of
    hf_quant_config.json, if config.json has none."""
    value = _json(name, "config.json", MAX_CONFIG)
    if says_none(value) and (beside := _json(name, BESIDE, MAX_CONFIG, optional=True)):
        value |= {"quantization_config": beside}
    return value | {"_name_or_path": _parsed(name)[0]}


def total_size(name: str) -> int | None:
    """Bytes of all tensors, from the index of a sharded checkpoint; None for a model in one file."""
    total = (_index(name).get("metadata") or {}).get("total_size")
    return int(total) if isinstance(total, int | float) and 0 < total < 1e16 else None


def beside(name: str, weight_bytes: int | None) -> str:
    """A sentence with the checkpoint's size from its index, and ours if it is known; empty if the index has no size."""
    try:
        total = total_size(name)
    except Unsupported:  # the architecture is known without it
        total = None
    if not total:
        return ""
    ours = "" if weight_bytes is None else f"; this architecture's weights take {weight_bytes:,}"
    return f"The Hub's files hold {total:,} bytes of tensors{ours}."


def _index(name: str) -> dict[str, dict]:
    """The index of a sharded checkpoint; empty for a model in one file."""
    index = _json(name, "model.safetensors.index.json", MAX_INDEX, optional=True)
    return {key: value for key, value in index.items() if isinstance(value, dict)}


def headers(name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Every tensor's name, stored type and shape, from the first bytes of each safetensors file."""
    files = set(map(str, _index(name).get("weight_map", {}).values())) or {"model.safetensors"}
    if len(files) > MAX_FILES:
        raise Unsupported(f"{name}: its checkpoint has more than {MAX_FILES:,} files, too many to read")
    for file in files:
        if not _FILE.fullmatch(file) or ".." in file:
            raise Unsupported(f"{name}: its index names {file[:80]!r}, which is not one of its safetensors files")
    left, lock = MAX_HEADERS, Lock()

    def header(file: str) -> bytes:
        nonlocal left
        begin = _bytes(name, file, FIRST)
        size = int.from_bytes(begin[:8], "little") + 8
        with lock:
            left -= size
            if left < 0 or size > MAX_HEADER or len(begin) < 8:
                raise Unsupported(
                    f"{name}: {file} has no header, or one that is too large: at most {MAX_HEADER:,} bytes per file and "
                    f"{MAX_HEADERS:,} together are read"
                )
        content = begin if size <= len(begin) else _bytes(name, file, size - 1)
        if len(content) < size:
            raise Unsupported(f"{name}: {file} ends within its header")
        return content[8:size]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        read = zip(sorted(files), pool.map(header, sorted(files)))
        return {tensor: stored for file, content in read for tensor, stored in _tensors(name, file, content)}


def _tensors(name: str, file: str, header: bytes) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """Type and shape of each tensor, from the header of a safetensors file."""
    for tensor, said in _parsed_json(name, file, header).items():
        if tensor == "__metadata__":
            continue
        dtype, shape = (said.get("dtype"), said.get("shape")) if isinstance(said, dict) else (None, None)
        if (
            not isinstance(dtype, str)
            or not isinstance(shape, list)
            or len(shape) > MAX_RANK
            or not all(type(n) is int and 0 <= n < 2**63 for n in shape)
        ):
            raise Unsupported(f"{name}: {file} has {shown(said)} for {tensor[:80]!r}, which is not a tensor's type and shape")
        yield tensor, (dtype, tuple(shape))


def is_name(text: str) -> bool:
    """Whether a text names a model on the Hub: `hf:organisation/model`, or its page's address."""
    return text.startswith(PREFIX) or bool(_PAGE.fullmatch(text))


def _parsed(name: str) -> tuple[str, str | None]:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    given = name.strip().removeprefix(PREFIX).strip()
    if page := _PAGE.fullmatch(given):
        at = page["revision"] if page["revision"] not in (None, "main") else ""
        given = page["repo"] + (f"@{at}" if at else "")
    match = _ID.match(given)
    repo, revision = (match["repo"], match["revision"]) if match else ("", None)
    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise Unsupported(f"{name[:120]!r} is not the id of a model; give hf:organisation/model, such as hf:openai/gpt-oss-20b") from None
    return repo, revision


def _json(name: str, file: str, most: int, optional: bool = False) -> dict[str, Any]:
    """A small file's keys and values; empty for an optional file that does not exist."""
    content = _bytes(name, file, most, optional)
    if len(content) > most:
        raise Unsupported(f"{name}: its {file} is larger than {most:,} bytes, which is too large")
    return {} if optional and not content else _parsed_json(name, file, content)


def _parsed_json(name: str, file: str, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise Unsupported(f"{name}: its {file} cannot be read") from None
    if not isinstance(value, dict):
        raise Unsupported(f"{name}: its {file} is not an object of keys and values")
    return value


def _bytes(name: str, file: str, most: int, optional: bool = False) -> bytes:
    """The first bytes of a file, one more than `most` if it is longer; empty for an optional file that does not exist.

    The answer is read piece by piece, up to that length and for a limited time, and only from the Hub's own hosts.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session

    repo, revision = _parsed(name)
    endpoint = api().endpoint
    url = hf_hub_url(repo, file, revision=revision, endpoint=endpoint)
    wanted = build_hf_headers(token=api().token) | {"range": f"bytes=0-{most}", "accept-encoding": "identity"}
    until = monotonic() + TOGETHER
    try:
        for _ in range(REDIRECTS):
            with get_session().stream("GET", url, headers=wanted, timeout=SECONDS, follow_redirects=False) as answer:
                if answer.is_redirect:
                    before, url = url, urljoin(url, answer.headers.get("location", ""))
                    if not _is_hubs(url, endpoint):
                        raise Unsupported(f"{name}: the Hub redirects its {file} to another host, which is not followed")
                    if urlsplit(url).netloc != urlsplit(before).netloc:
                        wanted = {key: value for key, value in wanted.items() if key.lower() != "authorization"}
                    continue
                if answer.status_code >= 400:
                    if optional and answer.status_code == 404:
                        return b""
                    raise _refusal(name, file, answer)
                content = bytearray()
                for chunk in answer.iter_raw():
                    content += chunk
                    if len(content) > most:
                        break
                    if monotonic() > until:
                        raise Unsupported(f"{name}: the Hub took more than {TOGETHER} seconds to send its {file}; try again")
                return bytes(content[: most + 1])
        raise Unsupported(f"{name}: the Hub redirects more than {REDIRECTS} times for its {file}")
    except Unsupported:
        raise
    except Exception as error:  # the client exports no base class of its errors
        raise Unsupported(f"{name}: the Hub did not send its {file} ({type(error).__name__}); try again{_or_paste(file)}") from None


def _or_paste(file: str) -> str:
    return ", or paste it" if file == "config.json" else ""


def _is_hubs(url: str, endpoint: str) -> bool:
    """Whether an address belongs to the endpoint; for huggingface.co also to its other hosts."""
    at, own = urlsplit(url), urlsplit(endpoint)
    if at.scheme != own.scheme:
        return False
    host = f".{at.hostname or ''}"
    return at.netloc == own.netloc or (own.hostname == HOSTS[0] and host.endswith(tuple(f".{one}" for one in HOSTS)) and not at.port)


def _is_missing(answer: Any) -> bool:
    """Whether the model exists but has no such file."""
    return answer.headers.get("X-Error-Code") == "EntryNotFound"


def _refusal(name: str, file: str, answer: Any) -> Unsupported:
    """The Hub's error as a sentence."""
    if _is_missing(answer):
        what = "safetensors files to verify" if file.endswith(".safetensors") else file
        return Unsupported(f"{name}: the model has no {what}")
    match answer.headers.get("X-Error-Code"), answer.status_code:
        case "GatedRepo", _:
            why = "its maker requires an agreement first; sign in with a token, or paste its config.json"
        case "RevisionNotFound", _:
            why = "the model has no such revision"
        case ("RepoNotFound", _) | (_, 401 | 404):
            why = "there is no public model with this id; check it, or paste its config.json"
        case _, status:
            why = f"the Hub did not send its {file} (it answered {status}); try again{_or_paste(file)}"
    return Unsupported(f"{name}: {why}")
