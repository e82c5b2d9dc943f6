"""JetMoE (arXiv:2404.07413): experts in attention too, which share keys and values."""

from ...parts.attention_experts import AttentionExperts
from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Unread
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("jetmoe",)
LAYER_EPS = 1e-6  # of the norms in layers, whatever rms_norm_eps says of the last one


KEYS = (
    *keys.sizes(32_000, 2_048, 4_096, 12, tied=True),
    Always("attention", kind="attention_experts"),
    Key("num_key_value_heads", "attention.heads", 16),
    Key("kv_channels", "attention.head_dim", 128, also="head_dim"),
    *keys.experts(8, 2, 5_632, names="num_local_experts", width="intermediate_size", act="activation_function"),
    Turning(),
    *keys.only(glu=True, bias=True, rotary_percent=1.0),
    Unread("num_attention_heads aux_loss_coef"),  # always what the others make it
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    own: dict = {"router": {"score": "softmax", "over": "chosen"}, "out_bias": True}
    if said["norm"]["eps"] != LAYER_EPS:
        own["norm"] = said["norm"] | {"eps": LAYER_EPS}
    said["attention"] |= {name: said["moe"][name] for name in ("count", "top_k")} | own
    said["moe"] |= own
    return pieces.model(config, said, [["attention", "moe"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": AttentionExperts, "moe": Experts})
    return pieces.write_model(arch, "JetMoe", "jetmoe", KEYS)


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        at = f"{at}.self_attention"
        yield one(f"{path}.router.weight", f"{at}.experts.router.layer.weight")
        yield one(f"{path}.q.weight", f"{at}.experts.input_linear.weight")
        for half, name in enumerate("kv"):
            make = lambda both, half=half: both.chunk(2)[half]  # noqa: E731 - bound here, one for each
            yield one(f"{path}.{name}.weight", f"{at}.kv_proj.weight", make=make)
        yield one(f"{path}.o.weight", f"{at}.experts.output_linear.weight")
        yield one(f"{path}.o.bias", f"{at}.experts.bias")

    def ff(path, at, part):
        yield one(f"{path}.router.weight", f"{at}.mlp.router.layer.weight")
        for half, name in enumerate(("gate", "up")):
            both = Source((f"{at}.mlp.input_linear.weight",), lambda t, half=half: t.chunk(2, dim=1)[half])
            yield f"{path}.experts.{name}", [both]
        yield one(f"{path}.experts.down", f"{at}.mlp.output_linear.weight")
        yield one(f"{path}.experts.out_bias", f"{at}.mlp.bias")

    return tensors.llama_sources(arch, mixer, ff)
