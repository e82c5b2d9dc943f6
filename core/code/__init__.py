"""The PyTorch of an architecture: one readable file that needs torch alone, or the classes of one part."""

from ..kept import kept
from ..spec import Architecture, Unsupported


@kept(8_000_000, lambda text: 4 * len(text))
def code(arch: Architecture, part: str | None = None) -> str:
    """The whole model as one Python file that needs torch alone: constants, then the modules from the smallest to `Model`, whose state
    dict has the names of `build(arch)`'s, with `generate` and its caches. With `part`, that part's class and what it uses, below the
    constants that they read.

    The code is the source of Strata's own modules with this architecture's values put in and branches that cannot be taken left out.
    Modules that predict further tokens are a class of their own, `Ahead`, with the names of `build_mtp(arch)`'s. Raises Unsupported if
    there is no such part, or if the layers differ so much that writing them takes longer than a second.
    """
    from .model import file, part_file  # the evaluator is read when it is needed
    from .values import Cannot, TooMuch

    used = {name for block in arch.sequence for step in block for name in step.parts}
    if part is not None and part not in used:
        raise Unsupported(f"{arch.title} has no layer with a part {part[:60]!r}; give one of {', '.join(sorted(used))}")
    try:
        return file(arch) if part is None else part_file(arch, part)
    except TooMuch as error:
        blocks = f"{len(arch.distinct()):,} different blocks have too much code for one file"
        raise Unsupported(f"{arch.title}: {blocks}; ask for one part, such as {min(used)}") from error
    except Cannot as error:
        raise Unsupported(f"{arch.title}: this combination of parts cannot be written as code ({error})") from error
