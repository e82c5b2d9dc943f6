"""One palette for every picture: a colour is a role, the same in the diagram, the bars and the gallery."""

from pathlib import Path

ASSETS = Path(__file__).with_name("assets")

LIGHT = {
    "page": "#ffffff", "panel": "#f3f5f8", "panel-line": "#d4dae4", "ink": "#1b2130", "soft": "#5c667a", "line": "#3d475c",
    "hair": "#dfe4ec", "box": "#ffffff", "box-line": "#98a2b5", "accent": "#c23c1e", "accent-soft": "#fdeee9",
    "attention": "#2e3a63", "attention-2": "#55669f", "attention-near": "#7f8fd0", "attention-near-2": "#b4c0ea",
    "attention-ink": "#ffffff",
    "attention-tint": "#eef1f9", "attention-line": "#b9c3de",
    "recurrence": "#6d4590", "recurrence-2": "#a583c4", "recurrence-ink": "#ffffff",
    "recurrence-tint": "#f5effa", "recurrence-line": "#d3bde4",
    "experts": "#f08354", "experts-2": "#b4532c", "experts-ink": "#2b1409", "experts-tint": "#fdf0e9", "experts-line": "#efc0a8",
    "shared": "#f7bd9f", "shared-ink": "#2b1409", "router": "#c43d5a", "router-ink": "#ffffff",
    "feed_forward": "#f2b63f", "feed_forward-2": "#b37d12", "feed_forward-ink": "#2b1f05",
    "feed_forward-tint": "#fdf6e3", "feed_forward-line": "#ecd493",
    "embedding": "#8ea6cc", "embedding-2": "#5d7aa8", "embedding-ink": "#111a2b", "embedding-tint": "#e3eaf5", "embedding-line": "#b9c8e0",
    "norm": "#a9b1c1", "norm-ink": "#1b2130",
    "linear": "#e8ebf5", "linear-line": "#a6b2d3", "cache": "#2a9d86", "cache-tint": "#daf1ea", "cache-ink": "#0c3a31",
    "idle": "#e6e9ef", "stream": "#8d99b0", "mtp": "#9d8ec7",
    "cost-0": "#f4f6fb", "cost-1": "#dce5f2", "cost-2": "#b3c5e0", "cost-3": "#82a0cd", "cost-4": "#3f68a8", "cost-line": "#7f93b5",
    "cost-0-ink": "#1b2130", "cost-1-ink": "#1b2130", "cost-2-ink": "#1b2130", "cost-3-ink": "#111722", "cost-4-ink": "#ffffff",
    "good": "#1f7a5c", "bad": "#b3312a",
    "see-multi_head": "#9aa6bd", "see-grouped_query": "#2e3a63", "see-multi_query": "#6a5d4d", "see-sliding_window": "#4a86e8",
    "see-latent_attention": "#1d8f6f", "see-other": "#c98a1b",
    "see-sparse": "#25b0d0", "see-recurrence": "#8a4fb5", "see-hybrid": "#8a4fb5",
}  # fmt: skip
DARK = {
    "page": "#10131a", "panel": "#181d27", "panel-line": "#313a4b", "ink": "#eef1f7", "soft": "#a3adc0", "line": "#a9b4c8",
    "hair": "#2a3241", "box": "#1f2531", "box-line": "#5f6b82", "accent": "#ff8a6b", "accent-soft": "#3a221b",
    "attention": "#5b6fb8", "attention-2": "#8090d2", "attention-near": "#a9b7ec", "attention-near-2": "#dfe5fb",
    "attention-ink": "#ffffff",
    "attention-tint": "#1a2136", "attention-line": "#3c4a7c",
    "recurrence": "#8d62b5", "recurrence-2": "#c0a0dc", "recurrence-ink": "#ffffff",
    "recurrence-tint": "#241a2e", "recurrence-line": "#5b4175",
    "experts": "#e8794a", "experts-2": "#a34e2a", "experts-ink": "#1d0d05", "experts-tint": "#2a1c15", "experts-line": "#70432d",
    "shared": "#c98a69", "shared-ink": "#1d0d05", "router": "#d55672", "router-ink": "#ffffff",
    "feed_forward": "#d9a02f", "feed_forward-2": "#8f6717", "feed_forward-ink": "#1f1503",
    "feed_forward-tint": "#272010", "feed_forward-line": "#6b5521",
    "embedding": "#6f8bbb", "embedding-2": "#a9bddd", "embedding-ink": "#0b1220", "embedding-tint": "#1d2636", "embedding-line": "#46597e",
    "norm": "#737e94", "norm-ink": "#eef1f7",
    "linear": "#262e42", "linear-line": "#55638a", "cache": "#35b39a", "cache-tint": "#16332d", "cache-ink": "#c9f2e8",
    "idle": "#2a3140", "stream": "#6d7b95", "mtp": "#8a7bc0",
    "cost-0": "#1a212e", "cost-1": "#24344f", "cost-2": "#33507f", "cost-3": "#6690cc", "cost-4": "#a9ccf7", "cost-line": "#5f7396",
    "cost-0-ink": "#eef1f7", "cost-1-ink": "#eef1f7", "cost-2-ink": "#ffffff", "cost-3-ink": "#08101e", "cost-4-ink": "#08101e",
    "good": "#5fc79f", "bad": "#ff8d85",
    "see-multi_head": "#76829c", "see-grouped_query": "#ced6f0", "see-multi_query": "#b09c82", "see-sliding_window": "#5b9bff",
    "see-latent_attention": "#2fb58f", "see-other": "#dba23c",
    "see-sparse": "#3cc8e6", "see-recurrence": "#b07ad8", "see-hybrid": "#b07ad8",
}  # fmt: skip

FONT = "Inter, system-ui, sans-serif"  # assets/inter.woff2 (Latin, Greek, arrows, signs), so that texts have the same width everywhere


def palette(dark: bool) -> dict[str, str]:
    return DARK if dark else LIGHT


def variables(selector: str, dark: bool) -> str:
    """The palette as CSS custom properties."""
    named = {"font": FONT} | palette(dark)
    return f"{selector}{{{''.join(f'--{name}:{value};' for name, value in named.items())}}}"
