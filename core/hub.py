"""A model on the Hugging Face Hub by its id: its config.json and the headers of its safetensors files, never its weights.

Everything that goes wrong (no such model, a gated one, no answer in time) is Unsupported with a sentence.
"""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from .spec import Unsupported

PREFIX = "hf:"
SECONDS = 10  # that one answer may take
MAX_CONFIG = 1_000_000  # bytes
MAX_INDEX = 64_000_000
MAX_FILES = 1_000
AT_ONCE = 8  # files
# A page of the Hub, as a browser's address has it: the model's, or that of one of its files.
_PAGE = re.compile(
    r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/(?P<repo>[^/?#]+/[^/?#]+)(/(blob|resolve|raw|tree)/(?P<revision>[^/?#]+)[^?#]*)?/?"
    r"([?#].*)?"
)
_ID = re.compile(r"^(?P<repo>[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95})(@(?P<revision>[\w./-]{1,100}))?$", re.ASCII)


@lru_cache(maxsize=1)
def api():
    """The Hub's client. Its endpoint is HF_ENDPOINT's, its token the one that huggingface_hub finds."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    return HfApi()


def config(name: str) -> dict[str, Any]:
    """The config.json of `hf:organisation/model`, or of `hf:organisation/model@revision`."""
    value = _json(name, "config.json", MAX_CONFIG)
    if not isinstance(value, dict):
        raise Unsupported(f"{name}: its config.json is not an object of keys and values")
    return value | {"_name_or_path": _parsed(name)[0]}


def total_size(name: str) -> int | None:
    """Bytes of all tensors, as the index of a sharded checkpoint says; None for a model in one file."""
    total = (_index(name).get("metadata") or {}).get("total_size")
    return int(total) if isinstance(total, int | float) and 0 < total < 1e16 else None


def beside(name: str, weight_bytes: int) -> str:
    """What the index says of the checkpoint's size, beside ours, as a sentence; empty where it says nothing."""
    try:
        total = total_size(name)
    except Unsupported:  # the architecture is known all the same
        total = None
    return (
        f"The Hub's files hold {total:,} bytes of tensors; this architecture's weights take {weight_bytes:,}."
        if total
        else ""
    )


def _index(name: str) -> dict[str, dict]:
    """What a sharded checkpoint says of its files; empty for a model in one file."""
    try:
        index = _json(name, "model.safetensors.index.json", MAX_INDEX)
    except FileNotFoundError:
        return {}
    return {key: value for key, value in index.items() if isinstance(value, dict)} if isinstance(index, dict) else {}


def headers(name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Every tensor's name, stored type and shape, from the first bytes of each safetensors file."""
    repo, revision = _parsed(name)
    files = set(map(str, _index(name).get("weight_map", {}).values())) or {"model.safetensors"}
    if len(files) > MAX_FILES:
        raise Unsupported(f"{name}: its checkpoint has more than {MAX_FILES:,} files, too many to read")

    def header(file: str) -> dict[str, Any]:
        return api().parse_safetensors_file_metadata(repo, file, revision=revision, timeout=SECONDS).tensors

    with _explained(name, "safetensors files"), ThreadPoolExecutor(AT_ONCE) as pool:
        return {
            tensor: (info.dtype, tuple(info.shape))
            for found in pool.map(header, sorted(files))
            for tensor, info in found.items()
        }


def is_name(text: str) -> bool:
    """Whether a text is meant to name a model on the Hub: `hf:organisation/model`, or its page's address."""
    return text.startswith(PREFIX) or bool(_PAGE.fullmatch(text))


def _parsed(name: str) -> tuple[str, str | None]:
    given = name.strip().removeprefix(PREFIX).strip()
    if page := _PAGE.fullmatch(given):
        revision = page["revision"] if page["revision"] not in (None, "main") else ""
        given = page["repo"] + (f"@{revision}" if revision else "")
    match = _ID.match(given)
    if not match:
        raise Unsupported(f"{name[:120]!r} is no model's id; give hf:organisation/model, such as hf:openai/gpt-oss-20b")
    return match["repo"], match["revision"]


def _json(name: str, file: str, most: int) -> Any:
    """A small file's content. FileNotFoundError where an optional one is not there."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    repo, revision = _parsed(name)
    url = hf_hub_url(repo, file, revision=revision, endpoint=api().endpoint)
    with _explained(name, file):
        wanted = build_hf_headers() | {"range": f"bytes=0-{most}"}
        response = get_session().get(url, headers=wanted, timeout=SECONDS, follow_redirects=True)
        hf_raise_for_status(response)
        if len(response.content) > most:
            raise Unsupported(f"{name}: its {file} is larger than {most:,} bytes, too large to be one")
        return json.loads(response.content)


@contextmanager
def _explained(name: str, file: str) -> Iterator[None]:
    """What the Hub's client raises, as sentences."""
    from huggingface_hub import errors

    reasons: list[tuple[type[Exception], Callable[[], Exception]]] = [
        (errors.GatedRepoError, lambda: Unsupported(
            f"{name}: its maker asks for an agreement first; sign in with a token, or paste its config.json")),
        (errors.RepositoryNotFoundError, lambda: Unsupported(
            f"{name}: there is no public model of this id; check it, or paste its config.json")),
        (errors.RevisionNotFoundError, lambda: Unsupported(f"{name}: the model has no such revision")),
        (errors.NotASafetensorsRepoError, lambda: Unsupported(f"{name}: the model has no safetensors files to verify")),
        (errors.EntryNotFoundError, lambda: Unsupported(f"{name}: the model has no {file}")),
        (ValueError, lambda: Unsupported(f"{name}: its {file} cannot be read")),
    ]  # fmt: skip
    try:
        yield
    except Unsupported:
        raise
    except Exception as error:  # the client's own errors have no base class
        if isinstance(error, errors.EntryNotFoundError) and file.endswith("index.json"):
            raise FileNotFoundError(file) from None
        for kind, explained in reasons:
            if isinstance(error, kind):
                raise explained() from None
        raise Unsupported(
            f"{name}: the Hub did not give its {file} ({type(error).__name__}); try again, or paste its config.json"
        ) from None
