"""The workbench's comparison with a published checkpoint: only headers, one comparison at a time."""

import re
from threading import Lock

import streamlit as st

import core
from core.hub import PREFIX
from core.kept import kept
from core.verify import Verification
from core.words import size

from .page import how, lead, notice, table, wrong

MOST_DIFFERENCES = 12  # shown one by one
_one = Lock()  # a large model has a hundred thousand tensor names


@kept(16_000_000, lambda found: 2_000 + sum(map(len, found.differences)))
def compared(source: str, arch: core.Architecture) -> Verification:
    return core.verify(source, arch)


def usual(arch: core.Architecture) -> str:
    """The model's id, if the sources name one."""
    found = (re.search(r"config\.json of ([\w.-]+/[\w.-]+)", source) for source in arch.sources)
    return next((PREFIX + match[1] for match in found if match), "")


def verify(arch: core.Architecture) -> None:
    """Fetch a checkpoint's headers from the Hub, and show the differences to this architecture."""
    box = st.popover("Verify", width="content", key="verify", on_change="rerun")
    if not box.open:
        return
    with box:
        lead("Reads only the headers of a checkpoint's files, not the weights, and compares every tensor with this architecture.")
        source = st.text_input("Model on the Hugging Face Hub", usual(arch), key="checkpoint", placeholder="hf:organisation/model")
        if st.button("Compare files", type="primary", width="stretch"):
            _compare(source.strip(), arch)


def _compare(source: str, arch: core.Architecture) -> None:
    if not source.startswith(PREFIX):
        source = PREFIX + source  # so that it is never a path on this machine
    if not _one.acquire(timeout=5):
        wrong("Another checkpoint is being read; try again in a moment.")
        return
    try:
        with st.spinner("Reading headers …"):
            found = compared(source, arch)
    except core.Unsupported as error:
        wrong(str(error))
        return
    finally:
        _one.release()
    notice(found.verdict[0].upper() + found.verdict[1:] + ".", "good" if found.exact else "bad")
    rows = {
        "Parameters in the files": "not known" if found.parameters is None else f"{found.parameters:,}",
        "Parameters here": f"{found.expected_parameters:,}",
        "Bytes in the files": f"{found.bytes:,}",
        "Bytes here": "not known" if found.expected_bytes is None else f"{found.expected_bytes:,}",
    }
    table(rows | {f"Not compared ({name})": size(kept) for name, kept in found.apart.items()})
    for difference in found.differences[:MOST_DIFFERENCES]:
        how("", difference)
    if len(found.differences) > MOST_DIFFERENCES:
        how("", f"and {len(found.differences) - MOST_DIFFERENCES:,} more")
