"""Several architectures beside the first: edits that lead from one to another, what each costs, and sentences that are true."""

import csv
import io
import json
import random
import time

import pytest
from hypothesis import settings
from starlette.testclient import TestClient
from test_bounds import as_long_as_accepted

import core
from app import server
from core.compare import Comparison
from core.diff import MOVED, Moves
from core.library import preset
from core.spec import Unsupported, edited, parse
from core.split import apart

ALL = core.presets()
SWEEP = settings().max_examples > 100
AT = core.Workload(context=32_768)


@pytest.mark.long
@pytest.mark.parametrize("name", ALL if SWEEP else ALL[::4])
def test_the_edits_in_order_lead_from_any_preset_to_any_other(name, request):
    """To one other model here; in a sweep to some, the same in every run, or to all."""
    base, place, count = preset(name), ALL.index(name), request.config.getoption("pairs")
    some = ALL if count == "all" else random.Random(name).sample(ALL, int(count))
    for other in some if SWEEP else [ALL[(place * 37 + 11) % len(ALL)]]:
        arch = preset(other)
        steps = apart(base, arch)
        ends = [base, *(step.after for step in steps)]
        assert ends[-1] == arch and [step.before for step in steps] == ends[:-1]
        assert all(parse(end.model_dump(mode="json")) == end for end in ends[1:-1]), "each is valid"
        assert len({step.words for step in steps}) == len(steps) and all(step.told and step.before != step.after for step in steps)
        assert all((step.alone is None) == bool(step.needs) and step.alone != base for step in steps)
        assert all(step.told[0].group != "description" for step in steps[:-1]), "the name comes last"


def words(a: str, b: str) -> list[str]:
    return [step.words for step in apart(preset(a), preset(b))]


def test_layers_are_compared_as_patterns():
    assert "dense: first 3 layers → layer 0" in words("deepseek-v3", "kimi-k2")
    assert {"61 layers → 94", "first 3 layers: dense → moe"} < {*words("deepseek-v3", "qwen3-235b-a22b")}, (
        "more layers are of the usual kind"
    )
    assert "global: 1 : 1 local to global → 5 : 1 local to global" in words("gemma-2-9b", "gemma-3-12b")
    assert "5 of every 6 layers: attention window none → 1,024" in words("llama-3-8b", "gemma-3-27b")
    assert "every 2nd layer, from layer 0: attention window 128 → none" not in words("gpt-oss-20b", "gpt-oss-120b")
    back = {step.words: step.told[0] for step in apart(preset("gemma-3-27b"), preset("llama-3-8b"))}
    assert back["local: window 1,024 → none"][3:] == ("1,024 in 5 of every 6 layers", "none")


def test_a_part_that_goes_from_beside_another_is_one_edit():
    found = words("gemma-3n-e2b", "gemma-4-e4b")
    assert {"laurel removed", "30 layers → 42", "global and global_shared: head dim 256 → 512"} < {*found}
    assert "layers: 16 local, 4 global, 8 local_shared, 2 global_shared → 20 local, 4 global, 15 local_shared, 3 global_shared" in found
    assert len(found) < 15


def test_an_edit_says_what_is_there_before_and_after():
    """In the field's terms, and so that two edits can be told apart."""
    assert {"31 of 61 layers: attention → heavy (compressed attention)", "30 of 61 layers: attention → sparse (compressed attention)"} < {
        *words("deepseek-v3", "deepseek-v4-pro")
    }
    assert {"attention and dense one after the other", "5 of every 6 layers: attention window none → 1,024"} < {
        *words("palm-540b", "gemma-4-31b")
    }
    assert "residual altup → plain" in words("gemma-3n-e2b", "gemma-4-e4b"), "steps follow the model"
    assert "residual altup → plain, laurel and per-layer embedding removed" in words("gemma-3n-e2b", "llama-3-8b")
    assert "23 layers at the end → 31" in words("rwkv-7-world-1.5b", "rwkv-7-world-2.9b")
    assert "Mamba-2 → Mamba" in words("zamba2-7b", "jamba-1.5-mini") and "attention and moe in parallel" in words(
        "qwen3-coder-flash", "command-a-plus"
    )
    assert "global: position as in the model (rope) → none" in words("gpt-oss-120b", "kolibri-1")
    assert "multi-token prediction: 8 tokens ahead → 1, in other blocks" in words("inkling-small", "qwen3.6-27b")
    assert "lightning, moe and attention: output scale 0.281171 → 1" in words("minimax-text-01", "ctrl")


def test_an_equal_change_of_several_parts_is_one_edit():
    assert words("gemma-3-27b", "gemma-3-12b") == [
        "d_model 5,376 → 3,840",
        "62 layers → 48",
        "local and global: heads 32 → 16",
        "local and global: kv heads 16 → 8",
        "local and global: head dim 128 → 256",
        "local and global: score scale 0.0771517 → none",
        "dense: d_ff 21,504 → 15,360",
        "title → Gemma 3 12B",
    ]
    assert words("gpt-oss-20b", "gpt-oss-120b") == ["24 layers → 36", "moe: experts 32 → 128", "title → gpt-oss 120B"]


def test_an_edit_alone_is_that_edit_only():
    base = preset("deepseek-v3")
    for step in apart(base, preset("kimi-k2")):
        if step.alone:
            assert [one.words for one in apart(base, step.alone)] == [step.words]
    (needs,) = [step for step in apart(base, preset("kimi-k2")) if not step.alone]
    assert (needs.words, needs.needs) == ("moe: router groups 8 → 1", "“moe: router top groups 4 → 1”")


@pytest.mark.parametrize(("a", "b"), [("deepseek-v3", "kimi-k2"), ("mamba-2.8b", "jamba-1.5-mini"), ("llama-3-8b", "gemma-3-27b")])
def test_the_moves_in_order_add_up(a, b):
    found = core.diff(preset(a), preset(b), AT)
    for name in MOVED:
        before, after = (getattr(core.cost(preset(one), AT), name) for one in (a, b))
        assert sum(end - begin for step in found.steps for begin, end in [step.then.get(name, (0, 0))]) == after - before
    for step in found.steps:
        if step.alone is not None:
            assert step.alone == Moves.between(core.cost(preset(a), AT), core.cost(step.edit.alone, AT))


def test_a_model_and_itself():
    found = core.diff(preset("gpt2"), preset("gpt2"))
    assert not found.changes and not [*found] and found.verdict == "The second is the same architecture as the first."
    both = core.compare([preset("deepseek-v3"), preset("deepseek-r1")])
    assert both.verdicts == ("DeepSeek-R1 is the same architecture as DeepSeek-V3.",) and not both.differences
    own = edited(preset("gpt2"), "context", 512)
    assert (
        core.compare([preset("gpt2"), own]).verdicts[0].startswith("B has as many parameters as A and reads the same bytes for a new token")
    )


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (
            "deepseek-v3", "kimi-k2",
            "Kimi K2 has 1.53× the parameters of DeepSeek-V3 but reads 0.88× the bytes for a new token at 32K, and keeps the same bytes of "
            "caches and states; what differs most is attention: heads 128 → 64, which alone gives 0.54× the FLOPs for a new token.",
        ),
        (
            "llama-3-8b", "qwen3-8b",
            "Qwen3 8B has 160.5 M more parameters than Llama 3 8B and reads 663.8 MB more bytes for a new token at 32K, and keeps 1.12× "
            "the bytes of caches and states; what differs most is 32 layers → 36, which alone gives 1.12× the bytes of caches and states.",
        ),
    ],
)  # fmt: skip
def test_the_verdict_is_a_sentence(a, b, said):
    assert core.diff(preset(a), preset(b), AT).verdict == said


def test_what_is_not_known_is_not_said():
    """The bytes of the weights, and so the bytes read."""
    a, b = preset("llama-3-8b").model_copy(update={"unsized": "stored as nobody can tell"}), preset("qwen3-8b")
    found = core.compare([a, b], AT)
    assert "takes 2.3 GFLOP more FLOPs for a new token at 32K" in found.verdicts[0]
    assert "not known" in str(found) and a.unsized in str(found)
    assert "GFLOP more FLOPs for a step of 4 tokens at 32K" in core.compare([a, b], core.Workload(batch=4, context=32_768)).verdicts[0]
    line = next(line for line in found.lines if line.name == "weight_bytes")
    assert line.ratio(1) is None and line.beside(1) == "" and line.show(line.values[0]) == "not known"


def test_three_models_share_a_row_for_each_place_that_differs():
    found = core.compare([*map(preset, ("deepseek-v3", "kimi-k2", "qwen3-235b-a22b"))], AT)
    rows = {(row.group, row.name): row for row in found.differences}
    experts = rows["experts", "experts"]
    assert experts.first == "256" and {n: value for n, (value, _) in experts.others.items()} == {1: "384", 2: "128"}
    assert str(experts.others[1][1].alone).startswith("parameters 1.49×")
    assert 2 not in rows["attention", "heads"].others, "equal in A and C"
    groups = [row.group for row in found.differences]
    assert groups == sorted(groups, key=groups.index) and "description" not in groups
    table = [*csv.reader(io.StringIO(found.csv()))]
    assert len({len(row) for row in table}) == 1 and table[1][:2] == ["figures", "Parameters, every weight"]
    assert json.loads(json.dumps(found.to_dict()))["figures"][0]["values"][0] == 671_026_404_352
    (heads,) = [edit for edit in found.to_dict()["differences"][0]["edits"] if edit["words"] == "attention: heads 128 → 64"]
    assert set(heads["alone"]) == set(MOVED) - {"kept_bytes"}, "what does not move is left out"


def test_two_to_four_are_compared():
    for count in (0, 1, 5):
        with pytest.raises(Unsupported, match="give 2 to 4 architectures"):
            core.compare([preset("gpt2")] * count)
    assert isinstance(core.compare([preset("gpt2")] * 4), Comparison)


def test_the_api_compares_what_is_named_and_nothing_else():
    visitor = TestClient(server.app)
    names = ["gpt2", core.encode(edited(preset("gpt2"), "d_model", 960))]
    found = visitor.get("/api/compare", params={"m": names, "context": 512}).json()
    assert found == core.compare([core.load(name) for name in names], core.Workload(context=512)).to_dict()
    for asked in ([], ["gpt2"], ["gpt2"] * 5, ["gpt2", "/etc/passwd"], ["gpt2", "s1.broken"], ["gpt2", "hf:a/b"]):
        answer = visitor.get("/api/compare", params={"m": asked})
        assert answer.status_code == 422 and len(answer.json()["error"]) < 1_000
    assert visitor.get("/api/compare?m=gpt2&m=gpt2-xl&context=-1").status_code == 422


def test_the_most_varied_layers_are_compared_within_a_budget():
    """Twenty seconds on a slow machine; steps that are not priced say so."""
    began = time.process_time()
    found = core.diff(preset("deepseek-v3"), as_long_as_accepted())
    assert found.verdict and time.process_time() - began < 20
    assert "not computed" in [step.effect for step in found.steps] or all(step.then is not None for step in found.steps)


def test_what_moves_a_figure_comes_first_in_its_group():
    rows = core.compare([preset("deepseek-v3"), preset("deepseek-v4-pro")]).differences
    for group in {row.group for row in rows}:
        still = [row.still for row in rows if row.group == group]
        assert still == sorted(still)
    assert {row.still for row in rows if row.group == "attention"} == {True, False}
