"""From GPT-2 to DeepSeek-V3 and on: every step builds, runs and round-trips, has its idea, and is found where presets have it."""

import json
import re
from collections import Counter

import pytest
import torch

import core
from core import Unsupported
from core.__main__ import main
from core.changes import changes
from core.evolution import FEW, GOAL, IDEAS, LEAST, adoption, evolution
from core.facets import TEXT, techniques
from core.library import preset

# What an architecture's own JSON says if it has the idea.
WRITTEN = {
    "untied": r'^(?!.*"tied_embeddings":true)',
    "latent": r'"kind":"[a-z_]*latent_attention"',
    "experts": r'"kind":"(experts|product_key_experts)"',
    "shared_expert": r'"shared":\{',
    "sigmoid": r'"kind":"experts".*"score":"sigmoid"',
    "balance": r'"selection_bias":true|"hashed":true',
    "ahead": r'"mtp":\{',
    "fp8": r'"precision":\{[^{}]*"fp8',
    "qk_norm": r'"qk_norm":\{|"kind":"compressed_attention"',  # which has it always
    "sinks": r'"sinks":true|"kind":"compressed_attention"',
    "latent_experts": r'"latent":\d',
    "per_layer": r'"kind":"per_layer_embedding"',
    "ngrams": r'"ngrams":\{|"kind":"ngram_streams"',
    "mxfp4": r'"precision":\{[^{}]*"mxfp4',
    "streams": r'"residual":\{[^{}]*"kind":"(manifold_)?hyper"',
}


def test_every_step_builds_runs_and_round_trips():
    for step in evolution():
        arch = step.after
        assert core.decode(core.encode(arch)) == arch == core.Architecture.model_validate(arch.model_dump(mode="json"))
        small = core.shrink(arch)
        once = small.model_copy(update={"layers": tuple(one.model_copy(update={"repeat": 1}) for one in small.layers)})
        with torch.no_grad():
            logits = core.build(once, device="cpu")(torch.arange(5)[None])
        assert logits.shape[:2] == (1, 5) and bool(logits.isfinite().all()), step.idea.name


def test_every_step_brings_its_idea_by_a_few_fields():
    chain = evolution()
    assert chain.start == preset("gpt2") and len(chain) == len(IDEAS) == len({one.idea.name for one in chain})
    for before, after in zip(chain, chain[1:], strict=False):
        assert before.after == after.before
    for step in chain:
        assert step.idea.has(step.after) and not step.idea.has(step.before), step.idea.name
        assert step.edits and step.changes and len({change.path.split(".")[0] for change in step.changes}) <= 4
        assert step.edits[-1].after.canonical != step.before.canonical


def test_the_first_part_ends_with_all_that_deepseek_v3_has():
    arch, goal = evolution().reached.after, preset(GOAL)
    assert set(techniques(arch)) == set(techniques(goal))
    left = [change for change in changes(arch, goal) if change.path != "mtp.copies"]
    assert left and all(isinstance(side, int) for change in left for side in (change.before, change.after)), left


def test_figures_are_those_of_cost_and_say_what_an_idea_is_for():
    chain = evolution()
    for step in (chain[0], chain.reached):
        for found, arch in zip(step.costs, (step.before, step.after), strict=True):
            assert found.to_dict() == core.cost(arch, core.Workload(context=TEXT)).to_dict()
    for name, figure in (
        ("bf16", "weight_bytes"), ("grouped", "kept_bytes"), ("latent", "kept_bytes"), ("fp8", "weight_bytes"), ("sparse", "decode_flops"),
        ("windows", "kept_bytes"), ("ratio", "kept_bytes"), ("hybrid", "kept_bytes"), ("mxfp4", "weight_bytes"),
    ):  # fmt: skip
        before, after = chain.step(name).moves[figure]
        assert after < before, name
    then, now = (one.active_parameters for one in chain.step("experts").costs)
    assert abs(now / then - 1) < 0.01 and chain.step("experts").moves["parameters"][1] > 2 * then


def test_the_sums_that_differ_account_for_the_move():
    def total(words):
        return int(re.search(r" = ([\d,]+)", words).group(1).replace(",", "")) if words else 0

    for step in evolution():
        for name, before, after in step.sums:
            then, now = step.moves[name]
            even = all(found.kv_bytes == found.kv_bytes_per_token * found.workload.context for found in step.costs)
            scale = TEXT if name == "kept_bytes" and even else 1
            assert scale * (total(after) - total(before)) == now - then, (step.idea.name, name)
            assert len(before) < 500 > len(after)
    (kept, _) = evolution().step("grouped").sums
    assert kept.before == "12 layers × (12 × 64 + 12 × 64) values × 2 bytes = 36,864 bytes"


def test_the_boxes_that_a_step_is_about():
    chain = evolution()
    for step in chain:
        before, after = step.boxes
        assert set(before) <= set(core.graph(step.before)) and set(after) <= set(core.graph(step.after))
        assert before or after or step.idea.name == "bf16", step.idea.name
    assert chain.step("rope").boxes == (("positions", "embedding_add"), ("layers.0.attention.rotary", "layers.0.attention.rotary_1"))
    assert {"layers.0.attention.k", "layers.0.attention.v_cache"} < set(chain.step("grouped").boxes[1])
    assert "layers.0.attention.q" not in chain.step("grouped").boxes[1]


def test_the_score_and_its_sentence():
    chain = evolution()
    first, last = (core.cost(arch, core.Workload(context=TEXT)) for arch in (chain.start, chain[-1].after))
    assert len(chain.scores) == len(chain) + 1
    assert chain.scores[0].each == first.kept_bytes / TEXT and chain.scores[-1][:2] == (last.parameters, last.active_parameters)
    assert chain.sentence.startswith(f"{chain.index(chain.reached) + 1} edits give GPT-2 all that DeepSeek-V3 has")
    assert "from 36.9 KB to" in chain.sentence


def test_with_a_budget_every_step_has_as_many_active_parameters():
    chain = evolution(5e8)
    assert len(chain) == len(IDEAS) and chain.start.depth >= 12
    assert all(step.idea.has(step.after) for step in chain)
    for step in chain[::4]:
        assert abs(core.cost(step.after).active_parameters / 5e8 - 1) < 0.01, step.idea.name
        assert core.decode(core.encode(step.after)) == step.after
    for wrong in (LEAST / 2, 1e15, float("nan")):
        with pytest.raises(Unsupported, match="budget: give"):
            evolution(wrong)


@pytest.mark.parametrize("name", WRITTEN)
def test_adoption_counted_from_what_the_presets_write(name):
    having, all_ = [], Counter()
    years = Counter()
    for of in core.presets():
        arch = preset(of)
        year = arch.released and arch.released.year
        all_[year] += 1
        if re.search(WRITTEN[name], arch.canonical):
            having.append(of)
            years[year] += 1
    found = adoption(name)
    assert list(found.names) == having and 0 < len(having) < len(core.presets())
    assert found.years == {year: (years[year], count) for year, count in all_.items() if year and count >= FEW}


def test_every_idea_has_been_taken_up_by_some_and_not_by_all():
    for idea in IDEAS:
        found = adoption(idea.name)
        assert 0 < len(found.names) < len(core.presets()), idea.name
        assert found.years and all(have <= count and count >= FEW for have, count in found.years.values())
    with pytest.raises(Unsupported, match="give one of rope"):
        adoption("x")


def test_no_preset_has_an_idea_before_the_paper_and_the_first_one_is_named_where_there_is_none():
    for idea in (idea for idea in IDEAS if idea.source):
        dated = [arch for arch in map(preset, adoption(idea.name).names) if arch.released]
        first = min(f"{arch.released:%Y-%m}" for arch in dated)
        assert idea.source.date <= first, (idea.name, first)
        assert idea.form is None or idea.form.arxiv and idea.source.date <= idea.form.date, idea.name
        assert not idea.source.model or idea.source.model in [arch.name for arch in dated if f"{arch.released:%Y-%m}" == first]


def test_texts_are_plain():
    for idea in IDEAS:
        for words in (idea.replaces, idea.risk):
            assert words[0].isupper() or words[0].isdigit()
            assert words.endswith(".") and len(words) < 120 and words.count(". ") == 0, words
        for source in filter(None, (idea.source, idea.form)):
            assert not source.arxiv or re.fullmatch(r"\d{4}\.\d{5}", source.arxiv)


def test_tables_that_differ_by_their_number_are_one_term():
    step = evolution().step("ngrams")
    sums = next(one for one in step.sums if one.figure == "parameters")
    tables = [4 * step.after.vocab_size + 1 + 2 * n for n in range(step.after.embedding.ngrams.count)]
    assert f"(ngrams.tables {sum(tables):,} × 64 + ngrams.ups {12 * 768:,} × 64)" in sums.after


def test_the_headline_says_where_the_positions_of_gpt2_end():
    assert "did not end at 1,024)" in evolution().sentence
    assert "did not end" not in evolution(None, core.Workload(context=1_024)).sentence


def test_the_command(capsys):
    assert main(["evolution"]) == 0
    out = capsys.readouterr().out
    assert "RoFormer (arXiv:2104.09864, 2021-04)" in out and "position learned → rope" in out
    assert main(["evolution", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in value["steps"]] == [idea.name for idea in IDEAS] and value["goal"] == GOAL
    assert core.Architecture.model_validate(value["steps"][-1]["architecture"]) == evolution()[-1].after
    assert main(["evolution", "--budget", "1M"]) == 2 and "budget: give" in capsys.readouterr().err
