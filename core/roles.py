"""Roles of components. Each has one colour in every picture; they are shown in this order."""

ROLES = {
    "attention": "attention", "recurrence": "recurrence", "experts": "routed experts", "shared": "shared experts", "router": "routers",
    "feed_forward": "feed-forward", "embedding": "embedding and head", "norm": "norms", "mtp": "multi-token prediction",
}  # fmt: skip
MIXERS = ("attention", "recurrence")  # they mix information between positions
