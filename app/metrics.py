"""The server's counters for /metrics, besides the metrics of the process."""

from prometheus_client import Histogram

# Created once: main.py runs again for every visitor, modules do not.
RUNS = Histogram(
    "strata_page_seconds",
    "One run of a page's script",
    ["page"],
    buckets=(0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.17, 0.2, 0.5, 1, 2),
)
