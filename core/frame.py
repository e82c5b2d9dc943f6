"""The modules around the layers of a model: below the layers, tokens become the stream; above them, it becomes logits."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.base import Box, Embedding, Linear
from .parts.ngram import NGramEmbedding
from .parts.residual import Numbered
from .spec import Architecture


class Frame(nn.Module):
    """Tokens to next-token logits: embedding, the layers, norm, head. `layers` builds the layers from the architecture."""

    def __init__(self, arch: Architecture, layers: Callable[[Architecture], nn.Module]):
        super().__init__()
        self.arch, ngrams, d = arch, arch.embedding.ngrams, arch.d_model
        self.embedding = TokenEmbedding(arch)
        self.positions = arch.position.table(d)
        if self.positions is not None:
            self.embedding_add = AddPositions()
        self.ngrams = NGramEmbedding(ngrams, arch.vocab_size, d) if ngrams else None
        self.embedding_norm = arch.embedding_norm.build(d) if arch.embedding_norm else None
        self.beneath = arch.part(arch.fed[0]).beneath(len(arch.fed[1]), d) if arch.fed else None
        self.layers = layers(arch)
        self.split, self.merge = arch.residual.split(d), arch.residual.merge(d)
        if isinstance(self.merge, Numbered):
            self.merge.layer = arch.depth
        self.norm = arch.norm.build(d) if arch.head.norm else None
        self.head = OutputHead(arch)
        if arch.tied_embeddings:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:  # (B, T), (T,) -> (B, T, vocab_size)
        return self.logits(self.stream(tokens, positions))

    def stream(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(B, T), (T,) -> the residual stream after the last layer, (B, T, d_model)."""
        x = self.hidden(tokens, positions)
        return x if self.merge is None else self.merge(x)

    def hidden(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(B, T), (T,) -> the residual stream after the last layer.

        If there are several, all of them: (B, T, streams, d_model).
        """
        x = self.embedding(tokens)  # (B, T, d_model)
        x = x if self.ngrams is None else self.ngrams(x, tokens)
        per_layer = None if self.beneath is None else self.beneath(tokens, x)  # (B, T, layers, width)
        x = x if self.positions is None else self.embedding_add(x, self.positions(positions))
        x = x if self.embedding_norm is None else self.embedding_norm(x)
        stream = x if self.split is None else self.split(x)  # (B, T, streams, d_model)
        return self.layers(stream, positions, tokens, x, per_layer)

    def logits(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, T, vocab_size), or only the first `head.kept` logits."""
        return self.head(x if self.norm is None else self.norm(x))


class TokenEmbedding(Embedding):
    """One vector per token, times a constant.

    A projection follows if the table is narrower than the stream.
    """

    label = "Token embedding"

    def __init__(self, arch: Architecture):
        super().__init__(arch.vocab_size, arch.table_width, arch.embedding_scale)
        self.d_model = arch.d_model
        self.up = Linear(arch.table_width, arch.d_model) if arch.embedding.width else None
        self.token_flops = 2 * self.up.weight.numel() if self.up else 0
        rows, width = self.weight.shape
        self.explain = f"One learned vector of {width:,} values for each of {rows:,} tokens. Looking one up costs no FLOPs."
        if self.up:
            self.explain += f" The table is {width:,} wide; a projection maps it to the stream's {self.d_model:,} channels."

    def forward(self, tokens: Tensor) -> Tensor:  # (B, T) -> (B, T, d_model)
        x = super().forward(tokens)  # (B, T, table width)
        return x if self.up is None else self.up(x)

    def outline(self, tokens: Tensor) -> Tensor:
        return self.weight.new_empty(*tokens.shape, self.d_model)


class AddPositions(Box):
    box = "add"
    keeps_shape = True
    label = "+"
    explain = "The vector of each position is added to its token's vector."

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T, d_model)
        return x + positions.to(x.dtype)


class OutputHead(Linear):
    """From the stream to logits.

    A projection comes before it if the embedding is narrower. A matrix whose rows have unit length is Baichuan 2's (arXiv:2309.10305,
    section 2.5); Ling 1.0's columns have.
    """

    box = "head"

    def __init__(self, arch: Architecture):
        super().__init__(arch.table_width, arch.vocab_size, arch.head.bias)
        self.spec = arch.head
        again = " It is tied to the embedding table." if arch.tied_embeddings else ""
        self.label, self.explain = "Linear output layer", f"A score for each of {arch.vocab_size:,} tokens.{again}"
        self.down = Linear(arch.d_model, arch.table_width) if arch.embedding.width else None
        self.unit = arch.head.unit and ("channels", "tokens").index(arch.head.unit)  # the dimension of the L2 norm
        self.token_flops = 2 * (self.weight.numel() + (self.down.weight.numel() if self.down else 0))
        self.scratch = arch.vocab_size - (arch.head.kept or arch.vocab_size)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_model) -> (B, T, vocab_size)
        x = x if self.down is None else self.down(x)  # (B, T, table width)
        logits = super().forward(x) if self.unit is None else F.linear(x, F.normalize(self.weight, dim=self.unit), self.bias)
        logits = logits[..., : self.spec.kept] * self.spec.scale
        return self.spec.softcap * torch.tanh(logits / self.spec.softcap) if self.spec.softcap else logits

    def outline(self, x: Tensor) -> Tensor:
        return x.new_empty(*x.shape[:-1], self.spec.kept or self.out_features)


class PredictAhead(nn.Module):
    """One multi-token-prediction module: combines the stream with a later token's embedding (arXiv:2412.19437, eq. 21)."""

    def __init__(self, arch: Architecture, block: nn.Module):
        super().__init__()
        d = arch.d_model
        self.split = arch.residual.split(d)
        self.stream_norm, self.token_norm = arch.norm.build(d), arch.norm.build(d)
        self.join = Linear(2 * d, d)
        self.block = block
        self.merge = arch.residual.merge(d)
        self.norm = arch.norm.build(d) if arch.mtp and arch.mtp.norm else None

    def forward(self, stream: Tensor, ahead: Tensor, positions: Tensor, tokens: Tensor | None = None) -> Tensor:
        """The residual stream after the last layer and the next tokens' embeddings, (B, T, d_model) each -> the next input of the head.

        All streams if there are several, and the next tokens if a part reads them.
        """
        ahead = self.token_norm(ahead)
        ahead = ahead if self.split is None else self.split(ahead)
        x = self.join(torch.cat((ahead, self.stream_norm(stream)), dim=-1))  # as the stream
        x = self.block(x, positions, None, tokens)
        x = x if self.merge is None else self.merge(x)
        return x if self.norm is None else self.norm(x)


class Ahead(nn.ModuleList):
    """The multi-token-prediction modules, each around a block; embedding and head are the model's. Training and speculative decoding run
    them, on the stream after the last layer and the embeddings of the tokens that follow; the model itself does not."""

    AROUND = ("stream_norm", "token_norm", "join", "norm")  # the modules around the block of each

    def __init__(self, arch: Architecture, blocks: Iterable[nn.Module]):
        super().__init__(PredictAhead(arch.ahead, block) for block in blocks)
        self.arch = arch
        if arch.mtp and arch.mtp.one_join:
            for module in self:
                for name in self.AROUND:
                    setattr(module, name, getattr(self[0], name))
