"""What the server counts for /metrics, beside the process's own figures."""

from prometheus_client import Histogram

# Made once: main.py is run anew for every visitor, modules are not.
RUNS = Histogram(
    "strata_page_seconds",
    "One run of a page's script",
    ["page"],
    buckets=(0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.055, 0.06, 0.065, 0.07, 0.08, 0.1, 0.2, 0.5, 1, 2),
)
