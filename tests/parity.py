"""transformers as the oracle: equal parameter counts on meta, equal logits on random weights copied across."""

import copy
import importlib
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
import transformers

import core

logging.getLogger("transformers").setLevel(logging.ERROR)
TOKENS = 24  # longer than the windows of the small configurations
TOLERANCE = 1e-4


def reference(config: dict, attention: str = "eager") -> transformers.PreTrainedModel:
    """transformers' language model of a config.json, on the current default device; of a multimodal one, the text part."""
    config = copy.deepcopy(config.get("thinker_config", config))  # transformers writes into it
    text, tied_outside = config.get("text_config"), config.get("tie_word_embeddings")
    tied = bool(tied_outside)
    if text is not None:
        default = transformers.AutoConfig.for_model(config["model_type"])
        config = {"model_type": default.get_text_config().model_type} | {k: v for k, v in text.items() if v is not None}
        config |= {"tie_word_embeddings": tied} if tied_outside is not None else {}
    settings = transformers.AutoConfig.for_model(**config)
    how = dict(attn_implementation=attention, dtype=torch.float32)
    if type(settings) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        model = transformers.AutoModelForCausalLM.from_config(settings, **how).eval()
        if hasattr(getattr(model, "model", None), "embed_tokens_extend"):  # Phi-4-multimodal's towers, which text passes by
            model.model.embed_tokens_extend = PassedBy()
        return model
    if type(settings) in transformers.MODEL_MAPPING:
        return WithHead(transformers.AutoModel.from_config(settings, **how), tied).eval()
    beside = importlib.import_module(type(settings).__module__.replace("configuration", "modeling"))
    text = next(c for name, c in vars(beside).items() if name.endswith("TextModel") and c.config_class is type(settings))
    return WithHead(text._from_config(settings, **how), tied).eval()


class PassedBy(torch.nn.Module):
    """Towers beside a language model: what they give for text is its embeddings."""

    def forward(self, tokens: torch.Tensor, embedded: torch.Tensor, **how: torch.Tensor) -> torch.Tensor:
        return embedded


class WithHead(torch.nn.Module):
    """A text model that transformers has only inside a wrapper, with the head that it has there."""

    def __init__(self, model: torch.nn.Module, tied: bool):
        super().__init__()
        self.model, table = model, model.get_input_embeddings().weight
        self.lm_head = torch.nn.Linear(*reversed(table.shape), bias=False)
        if tied:
            self.lm_head.weight = table

    def forward(self, tokens: torch.Tensor, **how: bool) -> SimpleNamespace:
        return SimpleNamespace(logits=self.lm_head(self.model(tokens, **how).last_hidden_state))


def parameters(model: torch.nn.Module) -> int:
    """All parameters, but not the rows that LongCat's class keeps for experts without weights: no checkpoint has them, and
    nothing reads them."""
    idle = sum(
        module.zero_expert_num * module.gate_up_proj[0].numel()
        for module in model.modules()
        if hasattr(module, "zero_expert_num") and module.gate_up_proj is not None
    )
    return sum(p.numel() for p in model.parameters()) - idle


def check(config: dict, theirs: transformers.PreTrainedModel | None = None) -> core.Architecture:
    """The architecture of a config.json has as many parameters as transformers' model of it, which is built on meta unless given."""
    arch = core.from_hf(config)
    with torch.device("meta"):
        theirs = theirs or reference(config)
    assert parameters(core.build(arch)) == parameters(theirs)
    return arch


def check_logits(config: dict, seed: int = 0, attention: str = "eager") -> core.Architecture:
    """Both models give the same logits with the same weights, and ours the same ones token after token."""
    torch.manual_seed(seed)
    theirs = reference(config, attention)
    perturb(theirs)
    arch = core.from_hf(config)
    ours = core.build(arch, device="cpu")
    core.load_weights(ours, theirs.state_dict())
    tokens = torch.randint(arch.vocab_size, (2, min(TOKENS, arch.context)))
    with torch.inference_mode():
        expected = theirs(tokens, use_cache=False).logits
        logits = ours(tokens)
    assert expected.std() > 1e-2, "the weights do not matter, so the comparison says nothing"
    assert (logits - expected).abs().max() <= TOLERANCE
    with double_precision(), torch.inference_mode():
        ours = ours.double()
        full, steps = ours(tokens), stepwise(ours, tokens)
    assert (full - steps).abs().max() <= 1e-6, "a cached decode is not the full forward"
    return arch


@contextmanager
def double_precision() -> Iterator[None]:
    """Modules that compute in float32 whatever they are given compute in float64 here: what is left is no rounding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def stepwise(model: torch.nn.Module, tokens: torch.Tensor, prompt: int = 5) -> torch.Tensor:
    """The logits of a prompt and then of one token at a time, from what the layers keep."""
    with model.caching():
        out = [model(tokens[:, :prompt])]
        out += [model(tokens[:, at : at + 1], start=at) for at in range(prompt, tokens.shape[1])]
    return torch.cat(out, dim=1)


@torch.no_grad()
def perturb(model: torch.nn.Module) -> None:
    """Random weights half as large as would keep activations near one, so that rounding does not grow from layer to layer
    as a mistake would; norms, biases, sinks and balancing biases away from their starting values, so that each matters."""
    for tensor in [*model.parameters(), *(b for name, b in model.named_buffers() if name in model.state_dict())]:
        if not tensor.is_floating_point():
            continue
        if tensor.dim() < 2:
            tensor.add_(torch.randn_like(tensor) * 0.2)
        else:
            tensor.copy_(torch.randn_like(tensor) / (2 * math.sqrt(tensor.shape[-1])))
