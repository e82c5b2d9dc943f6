"""Architectures that hypothesis draws: every part and every way to join them, small enough to run live."""

from hypothesis import strategies as st

from core.spec import Architecture, Unsupported, parse

HEAD_DIMS = st.sampled_from([8, 16])


def maybe(strategy):
    return st.none() | strategy


def given(**fields):
    """A mapping of the fields that are drawn, without those that are drawn as None."""
    return st.fixed_dictionaries(fields).map(lambda value: {k: v for k, v in value.items() if v is not None})


norms = st.one_of(
    given(
        kind=st.just("rms"),
        eps=st.sampled_from([1e-6, 1e-5]),
        unit_offset=maybe(st.booleans()),
        bias=maybe(st.booleans()),
    ),
    given(kind=st.just("layer"), bias=maybe(st.booleans()), unit_offset=maybe(st.booleans())),
)
scalings = st.one_of(
    given(kind=st.just("linear"), factor=st.sampled_from([2.0, 4.0])),
    given(kind=st.just("yarn"), factor=st.sampled_from([4.0, 40.0]), original_context=st.just(16), mscale=maybe(st.just(1.0)),
          mscale_all_dim=maybe(st.sampled_from([0.7, 1.0])), truncate=maybe(st.booleans())),
    given(kind=st.just("proportional"), fraction=st.sampled_from([0.25, 0.5]), factor=maybe(st.just(8.0))),
    given(kind=st.just("llama3"), factor=st.just(8.0), original_context=st.just(32)),
)  # fmt: skip
ropes = given(
    kind=st.just("rope"),
    base=maybe(st.sampled_from([500.0, 1e6])),
    interleaved=maybe(st.booleans()),
    reverse=maybe(st.booleans()),
    fraction=maybe(st.sampled_from([0.5, 1.0])),
    scaling=maybe(scalings),
)
nope = st.just({"kind": "none"})
learned = given(kind=st.just("learned"), length=st.just(64), offset=maybe(st.just(2)))
sinusoidal = given(
    kind=st.just("sinusoidal"), inclusive=maybe(st.booleans()), offset=maybe(st.just(2)), base=maybe(st.just(100.0))
)
alibi = given(kind=st.just("alibi"), scaled=maybe(st.booleans()))


@st.composite
def attention(draw):
    groups, per = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2, 3]))
    part = draw(
        given(
            kind=st.just("attention"),
            heads=st.just(groups * per),
            kv_heads=st.just(groups),
            head_dim=HEAD_DIMS,
            sinks=maybe(st.booleans()),
            softcap=maybe(st.just(5.0)),
            clip=maybe(st.just(1.0)),
            v_norm=maybe(st.booleans()),
            bias=maybe(st.booleans()),
            out_bias=maybe(st.booleans()),
            gate=maybe(
                st.booleans()
                | given(
                    per=st.sampled_from(["channel", "head"]),
                    activation=st.sampled_from(["sigmoid", "softplus"]),
                    bias=maybe(st.sampled_from([True, False, "head"])),
                )
            ),
            sub_norm=maybe(st.booleans()),
            value_scale=maybe(st.just(0.7)),
            scale=maybe(st.just(0.2)),
            in_scale=maybe(st.just(0.5)),
            out_scale=maybe(st.just(1.5)),
            qk_norm=maybe(
                st.one_of(
                    given(across=st.just("head"), after_position=maybe(st.booleans()), own=maybe(st.booleans())),
                    given(across=st.just("heads")),
                )
            ),
            temperature=maybe(
                st.one_of(
                    st.just({"kind": "steps", "length": 5, "scale": 0.5, "first": 0}),
                    given(kind=st.just("log"), length=st.just(6), first=st.integers(0, 1)),
                    st.just({"kind": "power", "length": 5}),
                )
            ),
            position=maybe(st.one_of(ropes, nope, alibi)),
            tied=maybe(st.booleans()),
        )
    )
    if part.get("tied") and draw(st.booleans()):
        part["sets"] = 2
    view = draw(st.sampled_from(["all", "window", "chunk"]))
    if view != "all":
        part[view] = draw(st.integers(1, 9))
    if draw(st.booleans()):
        part["shared_kv"] = True
    elif draw(st.booleans()):
        part["v_head_dim"] = 24
    return part


latents = given(
    kind=st.just("latent_attention"),
    heads=st.integers(1, 3),
    kv_rank=st.sampled_from([4, 16]),
    q_rank=maybe(st.just(12)),
    nope_dim=st.sampled_from([8, 16]),
    rope_dim=st.just(8),
    v_dim=st.sampled_from([8, 12]),
    gate=maybe(st.booleans()),
    bias=maybe(st.booleans()),
    key_norm=maybe(st.booleans()),
    scaled_ranks=maybe(st.booleans()),
    window=maybe(st.integers(1, 9)),
    temperature=maybe(st.just({"kind": "steps", "length": 5, "scale": 0.5, "first": 0})),
    norm=maybe(st.just({"kind": "self_gated_rms", "rank": 4})),
)
sparse = given(
    kind=st.just("sparse_latent_attention"), heads=st.integers(1, 3), kv_rank=st.just(16), q_rank=st.just(12), nope_dim=st.just(8),
    rope_dim=st.just(8), v_dim=st.sampled_from([8, 12]), index_heads=st.integers(1, 3), index_dim=st.sampled_from([8, 16]),
    top_k=st.integers(1, 20), index_interleaved=maybe(st.booleans()), joint_gate=maybe(st.booleans()), key_norm=maybe(st.booleans()),
    index_last=maybe(st.booleans()), sinks=maybe(st.booleans()), gate=st.just(True), gate_channels=maybe(st.booleans()),
)  # fmt: skip
mixed = st.sampled_from(["relu", "gelu"])  # in place of SiLU, inside a recurrent part
block_sparse = given(
    kind=st.just("block_sparse_attention"), heads=st.sampled_from([2, 4]), kv_heads=st.just(2), head_dim=st.just(8),
    qk_norm=maybe(st.just({})), bias=maybe(st.booleans()), index_heads=st.sampled_from([1, 2]), index_dim=st.sampled_from([8, 16]),
    block=st.integers(1, 5), top_blocks=st.integers(2, 4), local_blocks=maybe(st.integers(0, 2)),
)  # fmt: skip


pooled = given(
    kind=st.just("pooled_sparse_attention"), heads=st.sampled_from([2, 4]), kv_heads=st.sampled_from([1, 2]), head_dim=st.just(8),
    qk_norm=maybe(st.just({})), gate=maybe(st.booleans()), index_heads=st.integers(1, 3), index_dim=st.sampled_from([8, 16]),
    block=st.integers(1, 5), top_blocks=st.integers(1, 4),
)  # fmt: skip


@st.composite
def native_sparse(draw):
    """Native sparse attention, pooled blocks overlapping or not, shorter or longer than the chosen ones."""
    stride, first, local = draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(st.integers(1, 2))
    pooled, chosen = draw(st.integers(1 + (stride == 1), 3)), draw(st.integers(1, 3))  # strides in a block
    return draw(
        given(
            kind=st.just("native_sparse_attention"), heads=st.sampled_from([2, 4]), kv_heads=st.sampled_from([1, 2]), head_dim=HEAD_DIMS,
            v_head_dim=maybe(st.just(12)), block=st.just(stride * pooled), stride=st.just(stride), pool_hidden=st.just(6),
            select_block=st.just(stride * chosen), top_blocks=st.just(first + local + draw(st.integers(0, 2))),
            first_blocks=st.just(first), local_blocks=st.just(local), window=st.integers(1, 9), position=maybe(st.one_of(ropes, nope)),
        )
    )  # fmt: skip


@st.composite
def compressed(draw):
    """Compressed attention: a window alone, with all entries, or with chosen ones."""
    groups = draw(st.sampled_from([1, 2]))
    part = draw(
        given(
            kind=st.just("compressed_attention"), heads=st.just(groups * draw(st.integers(1, 2))), head_dim=st.sampled_from([8, 12]),
            rope_dim=st.sampled_from([4, 8]), q_rank=st.just(12), window=st.integers(1, 9), out_groups=st.just(groups), out_rank=st.just(6),
            position=maybe(nope),
        )
    )  # fmt: skip
    if draw(st.booleans()):
        part |= {"ratio": draw(st.integers(1, 6)), "overlap": draw(st.booleans())}
        if draw(st.booleans()):
            part["indexer"] = {"heads": draw(st.integers(1, 3)), "dim": 8, "top_k": draw(st.integers(1, 4))}
    return part


dynamic_masks = given(
    kind=st.just("dynamic_mask_attention"), heads=st.sampled_from([2, 4]), kv_heads=st.sampled_from([1, 2]), head_dim=HEAD_DIMS,
    keep=st.integers(1, 12), window=maybe(st.integers(1, 9)), bias=maybe(st.booleans()), qk_norm=maybe(st.just({})),
)  # fmt: skip
product_keys = given(
    kind=st.just("product_key_experts"), count=st.sampled_from([16, 30]), top_k=st.integers(1, 6), d_ff=st.sampled_from([8, 24]),
    activation=maybe(st.sampled_from(["geglu", "silu", "relu2"])), bias=maybe(st.booleans()),
)  # fmt: skip
differentials = given(
    kind=st.just("differential_attention"), heads=st.sampled_from([4, 8]), kv_heads=st.sampled_from([2, 4]), head_dim=HEAD_DIMS,
    bias=maybe(st.booleans()), position=maybe(st.one_of(ropes, nope)),
)  # fmt: skip
convolutions = given(
    kind=st.just("short_convolution"), kernel=maybe(st.sampled_from([2, 4])), bias=maybe(st.booleans())
)

mambas = given(
    kind=st.just("mamba2"), heads=st.sampled_from([2, 4]), head_dim=st.sampled_from([4, 6]), state_size=st.sampled_from([3, 8]),
    groups=maybe(st.just(2)), kernel=maybe(st.just(3)), bias=maybe(st.booleans()), conv_bias=maybe(st.booleans()),
    out_bias=maybe(st.booleans()), activation=maybe(mixed), gate=maybe(st.sampled_from(["last", "alone"])), out_eps=maybe(st.just(1e-3)),
    step_min=maybe(st.just(0.5)), step_max=maybe(st.just(0.9)), in_scale=maybe(st.just(0.5)), out_scale=maybe(st.just(1.5)),
    scales=maybe(st.just(dict(gate=0.5, x=0.7, b=1.2, step=0.9))),
)  # fmt: skip

channels = given(
    kind=st.just("mamba"), heads=maybe(st.just(2)), inner=st.sampled_from([8, 16]), state_size=st.sampled_from([3, 4]),
    step_rank=st.just(4),
    bias=maybe(st.booleans()), kernel=maybe(st.just(3)), conv_bias=maybe(st.booleans()), inner_norm=maybe(norms),
    activation=maybe(mixed),
)  # fmt: skip


@st.composite
def deltas(draw):
    groups, per = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 3]))
    return draw(
        given(
            kind=st.just("gated_delta_net"), heads=st.just(groups * per), key_heads=st.just(groups), key_dim=st.sampled_from([4, 8]),
            value_dim=st.sampled_from([4, 6]), kernel=maybe(st.just(3)), negative=maybe(st.booleans()),
            activation=maybe(mixed),
        )
    )  # fmt: skip


kimi_deltas = given(
    kind=st.just("kimi_delta"), heads=st.integers(1, 3), head_dim=st.sampled_from([4, 8]), kernel=maybe(st.just(3)),
    whole=maybe(st.booleans()), floor=maybe(st.just(-5.0)), activation=maybe(mixed),
)  # fmt: skip
lightnings = given(
    kind=st.just("lightning_attention"), heads=st.integers(1, 3), head_dim=st.sampled_from([4, 8]), activation=maybe(mixed),
    qk_norm=maybe(st.booleans()), position=maybe(st.just({"kind": "rope", "fraction": 0.5})), scaled=maybe(st.booleans()),
    full_at=maybe(st.just(1)), groups=maybe(st.just(2)), wide_state=maybe(st.booleans()),
)  # fmt: skip
griffins = given(
    kind=st.just("rg_lru"), width=st.sampled_from([8, 12]), blocks=st.sampled_from([1, 2]), kernel=maybe(st.just(3)),
    activation=maybe(st.just("silu")),
)  # fmt: skip
time_mixes = given(kind=st.just("rwkv_time_mix"), width=st.sampled_from([8, 12]))
relatives = given(
    kind=st.just("relative_attention"), heads=st.just(4), kv_heads=st.sampled_from([2, 4]), head_dim=st.sampled_from([4, 8]),
    relative_dim=st.integers(1, 4), extent=st.integers(1, 20), kernel=maybe(st.sampled_from([2, 4])), window=maybe(st.integers(1, 9)),
    qk_norm=maybe(st.just({})), gate=maybe(st.booleans()), temperature=maybe(st.just({"kind": "late", "length": 5})),
)  # fmt: skip
mlstms = given(
    kind=st.just("mlstm"), heads=st.integers(1, 3), key_dim=st.sampled_from([4, 8]), value_dim=st.sampled_from([4, 6]),
    gate_cap=maybe(st.just(15.0)), bias=maybe(st.booleans()),
)  # fmt: skip
goose_mixes = given(
    kind=st.just("rwkv7_time_mix"), heads=st.integers(1, 3), head_dim=st.sampled_from([4, 8]), decay_rank=st.just(5), rate_rank=st.just(4),
    gate_rank=st.just(6),
)  # fmt: skip
channel_mixes = given(kind=st.sampled_from(["rwkv_channel_mix", "rwkv7_channel_mix"]), d_ff=st.sampled_from([8, 20]))


ngram_streams = given(
    kind=st.just("ngram_streams"), width=st.just(12), longest=st.integers(2, 3), tables=st.integers(1, 2), rows=st.just(50),
    multiple=st.sampled_from([1, 8]), place=maybe(st.integers(0, 2)), end=st.just(7), kernel=maybe(st.just(2)),
)  # fmt: skip
per_layers = given(
    kind=st.just("per_layer_embedding"), width=st.sampled_from([4, 8]), rows=st.sampled_from([20, 48]),
    activation=maybe(st.just("swiglu")),
)  # fmt: skip


@st.composite
def shared_blocks(draw):
    attention_part = draw(attention()) | {"tied": False, "sets": 1}
    rank = draw(maybe(st.just(4)))
    return draw(
        given(
            kind=st.just("shared_block"), attention=st.just(attention_part), tied=maybe(st.just(False)), adapter_rank=st.just(rank),
            attention_adapters=maybe(st.just(rank is not None and not attention_part.get("shared_kv"))),
            feed_forward=given(kind=st.just("feed_forward"), d_ff=st.just(16), activation=st.sampled_from(["geglu", "swiglu"])),
        )
    )  # fmt: skip


activations = st.sampled_from(
    ["relu2", "gelu", "gelu_tanh", "silu", "reglu", "reglu2", "geglu", "swiglu", "clamped_swiglu", "capped_swiglu"]
)
dense = given(
    kind=st.just("feed_forward"),
    d_ff=st.sampled_from([8, 24]),
    activation=activations | st.just("xielu"),
    bias=maybe(st.booleans()),
    sub_norm=maybe(st.booleans()),
    gate_scale=maybe(st.just(0.5)),
) | given(
    kind=st.just("feed_forward"), d_ff=st.just(24), activation=st.sampled_from(["geglu", "swiglu"]), sparsity=st.just(0.8)
)  # fmt: skip


@st.composite
def experts(draw):
    groups = draw(st.sampled_from([1, 2]))
    choices = groups * draw(st.sampled_from([2, 4]))
    zero = draw(st.sampled_from([0, 0, 1]))
    top_groups = draw(st.integers(1, groups))
    each = groups == top_groups > 1 and draw(st.booleans())
    score = draw(st.sampled_from(["softmax", "sigmoid", "sqrt_softplus"]))
    hashed = given(hashed=st.just(True), score=st.just(score), normalise=maybe(st.booleans()))
    router = draw(
        hashed
        if draw(st.integers(0, 4)) == 0
        else given(
            score=st.just(score),
            over=maybe(st.sampled_from(["chosen", "near"] if score == "softmax" else ["chosen"])),
            near=maybe(st.just(0.5)),
            normalise=maybe(st.booleans()),
            scale=maybe(st.just(1.5)),
            groups=st.just(groups),
            top_groups=st.just(top_groups),
            group_score=maybe(st.sampled_from(["max", "top2"])),
            each_group=st.just(each),
            **draw(
                st.sampled_from(
                    [{}, {"selection_bias": st.just(True)}, {"selection_bias": st.just(True), "counted": st.just(True)}]
                )
            ),
            bias=maybe(st.booleans()),
            softcap=maybe(st.just(3.0)),
            **draw(st.sampled_from([{}, {"norm": st.just(True)}, {"hidden": st.just(8)}])),
            expert_scale=maybe(st.booleans()),
        )
    )
    return draw(
        given(
            kind=st.just("experts"),
            count=st.just(choices - zero),
            zero=st.just(zero),
            skip=st.just(bool(zero) and draw(st.booleans())),
            top_k=st.sampled_from([groups, choices]) if each else st.integers(1, choices // groups * top_groups),
            d_ff=st.sampled_from([8, 12]),
            activation=activations,
            limit=maybe(st.just(0.5)),
            bias=maybe(st.booleans()),
            router=st.just(router),
            shared=maybe(
                given(
                    d_ff=st.just(16),
                    gate=maybe(st.booleans()),
                    bias=maybe(st.booleans()),
                    average=maybe(st.booleans()),
                    scored=maybe(st.booleans()),
                    count=maybe(st.just(2)),
                    activation=maybe(st.sampled_from(["swiglu", "capped_swiglu", "relu2"])),
                    clamp=maybe(st.just(0.5)),
                )
            ),
            weigh=maybe(st.sampled_from(["before", "after"])),
            latent=st.none() if zero else maybe(st.just(8)),
            branch_norms=maybe(st.booleans()),
        )
    )


convolved = given(
    kind=st.just("convolutional_attention"), heads=st.sampled_from([2, 4]), kv_heads=st.sampled_from([1, 2]), head_dim=HEAD_DIMS,
    kernel=maybe(st.just(3)), head_kernel=maybe(st.sampled_from([1, 3])), window=maybe(st.integers(1, 9)), bias=maybe(st.booleans()),
    position=maybe(st.one_of(ropes, nope)),
)  # fmt: skip
attention_experts = given(
    kind=st.just("attention_experts"), count=st.sampled_from([2, 4]), top_k=st.integers(1, 2), heads=st.integers(1, 3), head_dim=HEAD_DIMS,
    out_bias=maybe(st.booleans()), position=maybe(st.one_of(ropes, nope)),
)  # fmt: skip


@st.composite
def steps(draw, names):
    """One step: a part's name, or parts side by side, at times with a residual of its own."""
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    if len(chosen) == 1 and draw(st.booleans()):
        return chosen[0]
    step = {"parts": chosen}
    if draw(st.booleans()):
        step["scale"] = 0.5
    if draw(st.integers(0, 4)) == 0:
        step["aside"] = True
    if len(chosen) > 1 and draw(st.booleans()):
        step["own_norms"] = True
    if len(chosen) > 1 and draw(st.integers(0, 3)) == 0:
        step["unnormed"] = chosen[1:]
    if draw(st.integers(0, 3)) == 0:
        step["shortcut"] = {chosen[0]: 1}
    if draw(st.integers(0, 3)) == 0:
        step["residual"] = {"norm": draw(st.sampled_from(["pre", "post", "output", "sandwich", "none"]))}
    return step


def alternating(block, altup):
    """The block between a prediction of all streams and their correction."""
    steps = [{"parts": [step]} if isinstance(step, str) else step for step in block]
    words = ["enter", *["inside"] * (len(steps) - 2), "leave"] if len(steps) > 1 else ["others"]
    return [step | {"residual": altup | {"at": at}} for step, at in zip(steps, words, strict=True)]


@st.composite
def mappings(draw):
    """A mapping in the spec's form; most are valid, and what is not is refused with a sentence."""
    names = {
        "mixer": attention(),
        "heads": attention_experts,
        "convolved": convolved,
        "latent": latents,
        "other": attention(),
        "ff": dense,
        "moe": experts(),
        "conv": convolutions,
        "pair": differentials,
        "dynamic": dynamic_masks,
        "neurons": product_keys,
        "delta": deltas(),
        "sparse": sparse,
        "blocks": block_sparse,
        "compressed": compressed(),
        "pooled": pooled,
        "native": native_sparse(),
        "kimi": kimi_deltas,
        "lightning": lightnings,
        "mamba": mambas,
        "selective": channels,
        "shared": shared_blocks(),
        "own": per_layers,
        "laurel": given(kind=st.just("laurel"), rank=st.sampled_from([4, 8])),
        "griffin": griffins,
        "mlstm": mlstms,
        "relative": relatives,
        "time_mix": time_mixes,
        "goose": goose_mixes,
        "channel_mix": channel_mixes,
    }
    chosen = draw(st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=4, unique=True))
    parts = {name: draw(names[name]) for name in chosen}
    block = st.lists(steps(chosen), min_size=1, max_size=3)
    segments = st.lists(
        given(repeat=st.integers(1, 2), blocks=st.lists(block, min_size=1, max_size=2)), min_size=1, max_size=2
    )
    layers = [*draw(segments), {"blocks": [chosen]}]  # every part is used
    if parts.get("moe", {}).get("router", {}).get("hidden"):  # a later router hears from it
        parts["later"] = parts["moe"] | {"router": parts["moe"]["router"] | {"carry": True}}
        layers.append({"blocks": [["later"]]})
    if "goose" in parts and draw(st.booleans()):  # a later layer mixes in its values
        parts["gander"] = parts["goose"] | {"value_rank": 3, "value_from": draw(st.sampled_from(["goose", "previous"]))}
        layers.append({"blocks": [["gander"]]})
    tied = draw(st.booleans())
    value = {
        "name": "drawn",
        "title": "Drawn <&> \u2713",
        "vocab_size": 48,
        "d_model": draw(st.sampled_from([16, 24])),
        "context": 64,
        "tied_embeddings": tied,
        "norm": draw(norms),
        "position": draw(st.one_of(ropes, nope, learned, sinusoidal, alibi)),
        "parts": parts,
        "layers": layers,
    }
    if draw(st.booleans()):
        value["residual"] = draw(
            st.one_of(
                given(
                    kind=st.just("plain"),
                    **draw(
                        st.sampled_from(
                            [{"norm": st.just("pre")}]
                            + [{"norm": st.just(n), "after_eps": maybe(st.just(1e-3))} for n in ("output", "sandwich")]
                        )
                    ),
                    scale=maybe(st.just(0.7)),
                    layer_scale=maybe(st.booleans()),
                    levelled=maybe(st.booleans()),
                    kernel=maybe(st.just(3)),
                    weighted=maybe(st.booleans()),
                ),
                given(kind=st.just("plain"), affine=st.just(True), scale=maybe(st.just(0.7))),
                given(kind=st.just("hyper"), streams=st.integers(2, 3)),
                given(
                    kind=st.just("hierarchy"),
                    writes=st.just("slow"),
                    enter=maybe(st.booleans()),
                    leave=maybe(st.booleans()),
                ),
                given(
                    kind=st.just("manifold_hyper"),
                    streams=st.integers(2, 3),
                    iterations=maybe(st.integers(0, 3)),
                    scale=maybe(st.just(0.7)),
                ),
                given(kind=st.just("gated_streams"), streams=st.integers(2, 3), rank=st.just(4)),
            )
        )
        streams = value["residual"].get("streams")
        if streams and draw(st.booleans()):
            parts["runs"] = draw(ngram_streams) | {"streams": streams}
            whole = {"parts": ["runs"], "residual": {"kind": "all_streams", "streams": streams}}
            layers.append({"repeat": draw(st.integers(1, 2)), "blocks": [[whole, chosen[0]]]})
    elif draw(st.integers(0, 3)) == 0:
        altup = {"kind": "altup", "streams": draw(st.integers(2, 3)), "active": draw(st.integers(0, 1))}
        value["residual"] = altup | draw(given(norm=st.sampled_from(["pre", "sandwich"]), scaled=maybe(st.booleans())))
        if draw(st.booleans()):
            inside = altup | {"norm": draw(st.sampled_from(["pre", "output", "sandwich"])), "total": 0.7}
            value["layers"] = [s | {"blocks": [alternating(b, inside) for b in s["blocks"]]} for s in layers]
    if draw(st.booleans()):
        value["head"] = draw(
            given(
                norm=maybe(st.booleans()),
                bias=maybe(st.booleans()),
                scale=maybe(st.just(0.5)),
                softcap=maybe(st.just(9.0)),
                unit=maybe(st.sampled_from(["tokens", "channels"])),
            )
        )
    if draw(st.booleans()):
        value["embedding"] = {"scale": draw(st.sampled_from(["sqrt_d_model", 2.0]))}
        value["embedding"] |= draw(
            st.sampled_from([{}, {"width": 8}, {"affine": True}, {"norm": True, "weightless": True}])
        )
    if value["position"]["kind"] in ("rope", "none") and draw(st.integers(0, 3)) == 0:
        ngrams = given(longest=st.integers(2, 3), tables=st.integers(1, 2), rows=st.just(50), end=maybe(st.just(7)))
        value["embedding"] = value.get("embedding", {}) | {"ngrams": draw(ngrams)}
    if "width" not in value.get("embedding", {}) and draw(st.booleans()):
        value["mtp"] = {"count": draw(st.integers(1, 2)), "block": [draw(st.sampled_from(chosen))]}
        value["mtp"] |= draw(
            st.sampled_from([{}, {"norm": False}, {"one_join": True}, {"copies": ["embedding", "head"]}])
        )
        value["mtp"] |= draw(st.sampled_from([{}, {"residual": {"norm": "pre"}}]))
    if draw(st.booleans()):
        value["precision"] = {"default": "bf16", chosen[0]: draw(st.sampled_from(["fp8_block", "mxfp4", "int4"]))}
    return value


def _valid(value: dict) -> Architecture | None:
    try:
        return parse(value)
    except Unsupported:
        return None


architectures = mappings().map(_valid).filter(lambda arch: arch is not None)
