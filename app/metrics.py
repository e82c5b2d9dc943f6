"""The server's counters for /metrics, besides the metrics of the process."""

from prometheus_client import Histogram

# Created once: main.py runs again for every visitor, modules do not.
RUNS = Histogram(
    "strata_page_seconds",
    "One run of a page's script",
    ["page"],
    buckets=(0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.055, 0.06, 0.065, 0.07, 0.08, 0.1, 0.2, 0.5, 1, 2),
)
