"""Native sparse attention against the paper's equations, token by token, head by head."""

import pytest
import torch
from parity import perturb

from core.parts.native_sparse import NativeSparseAttention
from core.parts.norm import RMSNorm
from core.parts.position import NoPosition, Rope


def softmax_of(q, keys, values, scale):
    weights = torch.stack([(q @ k) * scale for k in keys]).softmax(dim=0)
    return weights, sum(w * v for w, v in zip(weights, values, strict=True))


def by_the_equations(part, m, x):
    """One text (T, d_model) -> (T, d_model)."""
    h, g, d, length, stride = part.heads, part.kv_heads, part.head_dim, len(x), part.stride

    def turn(vector, place):
        if m.rotary is None:
            return vector
        return m.rotary(vector.view(1, 1, 1, d), torch.tensor([place])).view(d)

    def keys_values(name):
        return [getattr(m, f"{name}_kv")(x).view(length, g, d + part.v_dim)[..., s] for s in (slice(d), slice(d, None))]

    def pooled(tokens, name):
        net = m.compress
        block = (tokens + getattr(net, f"{name}_places")).flatten()
        return getattr(net, f"{name}_down")(getattr(net, f"{name}_up")(block).relu())

    out, per, scale = [], h // g, d**-0.5
    ck, cv = keys_values("compressed")
    sk, sv = keys_values("selected")
    wk, wv = keys_values("window")
    for t in range(length):
        q = m.q(x[t]).view(h, d)
        gates = torch.sigmoid(m.gate(x[t])).view(3, h)
        heads = [None] * h
        for group in range(g):
            starts = [s for s in range(0, t + 1, stride) if s + part.block <= t + 1]  # equation 7: whole blocks
            keys = [turn(pooled(ck[s : s + part.block, group], "key"), s) for s in starts]
            values = [pooled(cv[s : s + part.block, group], "value") for s in starts]
            blocks = t // part.select_block + 1
            importance, coarse = torch.zeros(blocks), {}
            for head in range(group * per, (group + 1) * per):
                coarse[head] = torch.zeros(part.v_dim)
                if not starts:
                    continue
                p, coarse[head] = softmax_of(turn(q[head], t), keys, values, scale)  # equation 8
                for j in range(1, blocks + 1):  # equation 9, where blocks are numbered from 1, and 10
                    for a in range(part.select_block // stride):
                        for b in range(part.block // stride):
                            i = part.select_block // stride * j - a - b
                            importance[j - 1] += p[i - 1] if 1 <= i <= len(starts) else 0
            fixed = {j for j in range(blocks) if j < part.first_blocks or j >= blocks - part.local_blocks}
            rest = sorted(set(range(blocks)) - fixed, key=lambda j: (-importance[j].item(), j))
            chosen = fixed | set(rest[: part.top_blocks - len(fixed)])
            read = [s for s in range(t + 1) if s // part.select_block in chosen]
            near = range(max(0, t + 1 - part.window), t + 1)
            for head in range(group * per, (group + 1) * per):
                turned = turn(q[head], t)
                fine = softmax_of(turned, [turn(sk[s, group], s) for s in read], [sv[s, group] for s in read], scale)[1]
                last = softmax_of(turned, [turn(wk[s, group], s) for s in near], [wv[s, group] for s in near], scale)[1]
                heads[head] = gates[0, head] * coarse[head] + gates[1, head] * fine + gates[2, head] * last  # equation 5
        out.append(m.o(torch.cat(heads)))
    return torch.stack(out)


@pytest.mark.parametrize(
    ("block", "stride", "select", "top", "first", "local"),
    [(4, 2, 4, 4, 1, 2), (4, 2, 8, 3, 1, 1), (2, 2, 2, 5, 1, 2), (6, 2, 4, 3, 0, 1), (3, 1, 5, 2, 0, 1)],
)
@pytest.mark.parametrize("position", [Rope(), NoPosition()])
@torch.inference_mode()
def test_it_is_what_the_paper_says(block, stride, select, top, first, local, position):
    part = NativeSparseAttention(
        kind="native_sparse_attention", heads=4, kv_heads=2, head_dim=8, v_head_dim=6, block=block, stride=stride, pool_hidden=10,
        select_block=select, top_blocks=top, first_blocks=first, local_blocks=local, window=5, norm=RMSNorm(), position=position,
    )  # fmt: skip
    torch.manual_seed(0)
    module = part.build(24)
    perturb(module)
    x = torch.randn(1, 31, 24)
    expected = by_the_equations(part, module, x[0])
    got = module(x, torch.arange(31))[0]
    assert expected.std() > 1e-3 and (got - expected).abs().max() < 1e-5 * expected.std().clamp(min=1)


def test_pairs_are_counted():
    part = NativeSparseAttention(
        kind="native_sparse_attention", heads=2, kv_heads=1, head_dim=8, block=6, stride=2, pool_hidden=4, select_block=4, top_blocks=3,
        window=5,
    )  # fmt: skip
    for past in range(0, 30, 3):
        for new in (1, 2, 9):
            pairs, queries = part.pairs(new, past), range(past, past + new)
            assert pairs["compressed_core"] == sum(part.entries(p + 1) for p in queries)
            assert pairs["selected_core"] == sum(min(p + 1, 8 + p % 4 + 1) for p in queries)
            assert pairs["window_core"] == sum(min(p + 1, 5) for p in queries)


def test_its_cache_is_what_each_branch_keeps():
    part = NativeSparseAttention(kind="native_sparse_attention", heads=64, kv_heads=4, head_dim=192, v_head_dim=128, pool_hidden=512)
    kept = part.cache(65_536)
    assert kept["selected key"] == (65_536, 4, 192) and kept["window value"] == (512, 4, 128)
    assert kept["compressed key"] == (4_095, 4, 192)  # (65,536 − 32) / 16 + 1


def test_what_cannot_be_is_refused():
    good = {"kind": "native_sparse_attention", "heads": 4, "kv_heads": 2, "head_dim": 8, "pool_hidden": 4}
    for change, words in (
        ({"stride": 5}, "multiple of the stride"),
        ({"top_blocks": 2}, "always chosen"),
        ({"kv_heads": 3}, "equal groups"),
        ({"block": 10**9}, "65536"),
    ):
        with pytest.raises(ValueError, match=words):
            NativeSparseAttention(**good | change)
