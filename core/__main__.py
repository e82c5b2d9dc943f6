"""The command line, `strata` or `python -m core`: list | show | draw | graph | cost | code | diff | compare | import | export |
edit | modern | evolution | route | verify | generate | app."""

import argparse
import io
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import torch
from pydantic import ValidationError
from rich.console import Console

from . import hf, hub, library, search
from .budget import amount
from .checklist import checklist
from .code import code
from .compare import LETTERS, compare
from .cost import cost
from .diff import diff
from .evolution import evolution
from .facets import TEXT, chosen, entry, facets, matches
from .graph import graph, to_dot, to_graphml, to_json, to_mermaid
from .modern import modern
from .precision import FORMATS
from .reading import read_file
from .routing import DEFAULT_TEXT, route
from .share import encode
from .shares import MEASURES
from .spec import Architecture, Unsupported, Workload, sentence
from .split import split
from .typed import EDITS, length
from .verify import verify
from .words import figure, percent, size, table, tokens

GRAPHS = {"graphml": to_graphml, "dot": to_dot, "mermaid": to_mermaid}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Unsupported(f"{message}; see `{self.prog} --help`")


def parser() -> Parser:
    installed = os.path.basename(sys.argv[0]).startswith("strata")
    top = Parser(
        prog="strata" if installed else "python -m core",
        description="Large language model architectures: what they are and what they cost.",
    )
    top.add_argument("--version", action="version", version=f"strata {version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str, run: Any) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=words, description=words)
        one.set_defaults(run=run)
        one.add_argument("--json", action="store_true", help="print JSON")
        return one

    def named(one: argparse.ArgumentParser, *names: str) -> argparse.ArgumentParser:
        for name in names:
            one.add_argument(
                name,
                metavar=name.upper(),
                help="a preset, a link or its token, a YAML, JSON, config.json or GGUF file, hf:organisation/model, or -",
            )
        return one

    one = command("list", "the published architectures, in order of release, or those that answer a query, best first", run_list)
    one.add_argument("query", metavar="QUERY", nargs="*", help="words such as: mla moe 2026")
    one.add_argument(
        "--where", action="append", default=[], metavar="FACET=OPTION",
        help="only those that have one of these options: kind=moe, attention=sparse,recurrence, licence=open; can be given several times",
    )  # fmt: skip
    named(command("show", "the parts of an architecture", run_show), "name")
    one = named(command("draw", "the picture of an architecture as a file", run_draw), "name")
    one.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to write; its name ends in .svg, .png or .pdf")
    one.add_argument("--narrow", action="store_true", help="the layout of a phone: insets below the column")
    one.add_argument("--dark", action="store_true", help="light on dark")
    one.add_argument("--by", default="", metavar="MEASURE", help=f"shade boxes by what they cost: {', '.join(MEASURES)}")
    workload(one)
    one = named(command("graph", "the traced dataflow", run_graph), "name")
    one.add_argument("--format", choices=list(GRAPHS), help="a file format to print instead of the tree")
    one = named(command("cost", "parameters, FLOPs and bytes", run_cost), "name")
    workload(one)
    one.add_argument("--explain", action="store_true", help="print how each figure is computed")
    workload(named(command("diff", "what changes from one architecture to another", run_diff), "a", "b"))
    one = command("compare", "two to four architectures: figures, what differs from the first, and what it costs", run_compare)
    one.add_argument("names", metavar="NAME", nargs="+", help="a preset, a link, a file or hf:organisation/model")
    one.add_argument("--csv", action="store_true", help="print comma-separated values")
    workload(one)
    one = named(command("modern", "the field's habits: which an architecture has, and what the others would change", run_modern), "name")
    workload(one)
    one.set_defaults(context=TEXT)
    one = command("evolution", "from GPT-2 to DeepSeek-V3 and on to 2026, edit by edit: what each does to the figures", run_evolution)
    one.add_argument("--budget", metavar="N", help="active parameters that every step has, such as 1B (default: GPT-2's own size)")
    workload(one)
    one.set_defaults(context=TEXT)
    one = named(command("code", "the whole model as one readable PyTorch file that needs torch alone", run_code), "name")
    one.add_argument("--part", help="print only the classes of this part")
    one = command("import", "the architecture that a config.json describes", run_import)
    one.add_argument("file", metavar="FILE", help="a config.json, its folder, hf:organisation/model, or - for standard input")
    one = named(command("export", "an architecture as a file", run_export), "name")
    one.add_argument("--format", choices=("config", "yaml", "link"), default="config", help="file format (default: config.json)")
    one = named(command("edit", "change an architecture and print it as YAML; edits are applied in the given order", run_edit), "name")
    one.set_defaults(edits=[])
    one.add_argument("--format", choices=("yaml", "link"), default="yaml")
    for option, edit in EDITS.items():
        arguments = edit.arguments
        one.add_argument(f"--{option.replace('_', '-')}", action=_Edit, nargs=len(arguments), metavar=arguments, help=edit.words)
    one = named(command("route", "run a text through the architecture's own routers, at a small live size", run_route), "name")
    one.add_argument("--text", metavar="FILE", help="a text to read instead of the built-in one, or - for standard input")
    one.add_argument("--seed", type=seed, default=0, help="seed of the random weights")
    one = command("verify", "a checkpoint's headers against the model that its config.json builds", run_verify)
    one.add_argument("source", metavar="SOURCE", help="hf:organisation/model, a folder, or a .safetensors or .gguf file")
    one.add_argument(
        "--as", dest="name", metavar="NAME", help="the architecture to compare with, if not that of the config.json or the GGUF header"
    )
    one = named(command("generate", "continue a text with a checkpoint's weights", run_generate), "name")
    one.add_argument("text", nargs="?", metavar="TEXT", help="the text to continue; or --prompt")
    one.add_argument("--weights", metavar="PATH", help="a folder of safetensors and its tokenizer.json, or a GGUF file (default: NAME)")
    one.add_argument("--prompt", help="the text to continue")
    one.add_argument("--tokens", type=int, default=64, help="number of tokens to generate")
    one.add_argument("--temperature", type=float, default=0.0, help="0 takes the most likely token")
    one.add_argument("--seed", type=seed, default=0)
    one = commands.add_parser("app", help="start the web app", description="start the web app")
    one.set_defaults(run=run_app, json=False)
    one.add_argument("--port", type=port, default=8501, help="port of the web app (default: 8501)")
    one.add_argument("--address", help="network address to listen on (default: all addresses of this machine)")
    return top


class _Edit(argparse.Action):
    """Collects the edits in the order of the arguments."""

    def __call__(self, parser, namespace, values, option=None) -> None:
        namespace.edits = [*namespace.edits, (self.dest, values)]


def seed(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", word):
        raise argparse.ArgumentTypeError(f"{word[:40]!r} is not a seed; give a whole number of at most 18 digits")
    return int(word)


def port(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", word) or not 0 < int(word) < 65_536:
        raise argparse.ArgumentTypeError(f"{word[:40]!r} is not a port; give a whole number from 1 to 65,535")
    return int(word)


def version() -> str:
    """The version of the installed package; in a checkout, that of pyproject.toml."""
    own = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if own.is_file():
        return tomllib.loads(own.read_text(encoding="utf-8"))["project"]["version"]
    return metadata.version("strata")


def workload(one: argparse.ArgumentParser) -> None:
    one.add_argument("--batch", default=1, metavar="N", help="sequences in parallel")
    one.add_argument("--context", type=length, default=4_096, metavar="N", help="tokens in each sequence, such as 4096, 128K or 1e6")
    one.add_argument("--weights", metavar="FORMAT", help=f"as shipped, or {', '.join(FORMATS)}")
    one.add_argument("--cache", default="bf16", metavar="FORMAT", help="format of the caches")


def workload_of(args: argparse.Namespace) -> Workload:
    try:
        return Workload(batch=args.batch, context=args.context, weights=args.weights, cache=args.cache)
    except ValidationError as error:
        raise Unsupported(sentence(error)) from None


def opened(name: str) -> Architecture:
    return library.parse_text(read_file(name)) if name == "-" else library.load(name)


# ---- commands: each returns what --json prints, and otherwise prints a readable form ----


def run_list(args: argparse.Namespace, out: Console) -> Any:
    rows: list[dict[str, Any]] = []
    archs, query, of = [*map(library.preset, library.presets())], " ".join(args.query), cache(entry)
    if query:  # of those that answer as well the newest first
        archs.sort(key=lambda arch: arch.released.toordinal() if arch.released else 0, reverse=True)
    knows = cache(lambda arch: search.known(arch, of))
    wanted = chosen(args.where, facets(map(of, archs))) if args.where else {}
    answers = search.found(query, archs, knows)
    if not answers and (other := search.meant(query, archs, knows)):
        out.print(f"No model answers {query[:80]!r}; these answer {other[:80]!r}:")
        answers = search.found(other, archs, knows)
    if not answers:
        said = search.unmet(query, archs, knows) or [f"No model answers {query[:80]!r}"]
        few = f" Use fewer words: {', '.join(said_each[:8])}" if len(said_each := search.pieces(query)) > 1 else ""
        out.print(f"{'. '.join(said)}.{few}")
        return rows
    length = search.length_of(query)
    for words in search.idle(query, archs, knows):
        out.print(f"{words}.")
    for arch in answers:
        if wanted and not matches(of(arch), wanted):
            continue
        one = of(arch).at(length)
        figures = {"parameters": one.parameters, "active_parameters": one.active, f"cache_bytes_per_token_at_{length}": round(one.cache, 1)}
        rows.append({"name": arch.name, "title": arch.title, "released": arch.released and arch.released.isoformat()} | figures)
    shown = (
        (
            row["name"], row["title"], row["released"] or "", figure(row["parameters"]),
            figure(row["active_parameters"]) if row["active_parameters"] != row["parameters"] else "all",
            size(row[f"cache_bytes_per_token_at_{length}"]),
        )
        for row in rows
    )  # fmt: skip
    out.print(table(("name", "title", "released", "parameters>", "active>", f"cache per token at {tokens(length)}>"), shown))
    return rows


def run_show(args: argparse.Namespace, out: Console) -> Any:
    arch = opened(args.name)
    items = checklist(arch)
    value = arch.model_dump(mode="json") | {"checklist": [{"where": i.where, "words": i.words} for i in items]}
    c = cost(arch)
    out.print(f"{arch.title} ({arch.name})", style="bold")
    out.print(arch.note or "")
    facts = (
        ("organisation", arch.organisation), ("released", arch.released), ("licence", arch.licence), ("sources", "; ".join(arch.sources)),
        ("layers", arch.pattern), ("d_model", f"{arch.d_model:,}"), ("vocabulary", f"{arch.vocab_size:,}"),
        ("context", tokens(arch.meant_for) if arch.meant_for else "any length: no layer has attention"),
        ("parameters", f"{c.parameters:,}"),
        ("active", f"{c.active_parameters:,} ({percent(c.active_parameters / c.parameters)})"),
        ("ahead of the model", f"{c.mtp_parameters:,}" if c.mtp_parameters else None),
        ("weights as shipped", size(c.weight_bytes)), (f"cache {c.per_token}", c.derivation("kv_bytes_per_token") + " bytes"),
        ("decode after 4K", figure(c.decode_flops, "FLOP")),
    )  # fmt: skip
    out.print(table(("", ""), ((words, str(said)) for words, said in facts if said)))
    if c.caveat:
        out.print(c.caveat)
    for name in arch.parts:
        out.print(f"{name}: {arch.part(name).explain(arch.d_model)}")
    out.print("\nWhat an implementation must get right", style="bold")
    for item in items:
        out.print(f"  {item}")
    return value


def run_draw(args: argparse.Namespace, out: Console) -> Any:
    from app.facts import FORMS, picture_as  # the app draws; this loads none of its pages

    file = Path(args.output)
    if (form := file.suffix[1:].lower()) not in FORMS:
        raise Unsupported(f"-o {args.output[:200]!r}: give a file whose name ends in .{', .'.join(FORMS[:-1])} or .{FORMS[-1]}")
    written = picture_as(form, opened(args.name), args.dark, not args.narrow, args.by, workload_of(args))
    try:
        file.write_bytes(written)
    except (OSError, ValueError) as error:
        raise Unsupported(f"-o {args.output[:200]!r}: cannot be written ({getattr(error, 'strerror', error)})") from None
    out.print(f"{args.output}: {size(len(written))}")
    return {"file": args.output, "bytes": len(written)}


def run_code(args: argparse.Namespace, out: Console) -> Any:
    text = code(opened(args.name), args.part)
    print(text, end="")
    return {"code": text}


def run_graph(args: argparse.Namespace, out: Console) -> Any:
    g = graph(opened(args.name))
    if args.format:
        print(GRAPHS[args.format](g))
        return to_json(g)

    def below(parent: str | None, depth: int) -> Iterator[tuple[str, ...]]:
        for node, data in g.nodes(data=True):
            if data["parent"] == parent:
                times = f"{data['repeat']:,} × " if data["repeat"] > 1 and g.nodes.get(parent, {}).get("repeat") != data["repeat"] else ""
                shape = ", ".join(f"{n:,}" if isinstance(n, int) else n for n in data["shape_out"])
                figures = (f"{data[key]:,}" if data[key] else "" for key in ("parameters", "flops", "cache_bytes"))
                yield f"{'  ' * depth}{times}{data['label']}", data["kind"], f"({shape})", *figures
                yield from below(node, depth + 1)

    names = ("box", "kind", "out", "parameters>", "FLOPs per token>", "cached per token>")
    out.print(table(names, below(None, 0)))
    return to_json(g)


def run_cost(args: argparse.Namespace, out: Console) -> Any:
    c = cost(opened(args.name), workload_of(args))
    value = c.to_dict()
    out.print(str(c))
    if args.explain:
        for row, said in zip(c.rows, value["rows"], strict=True):
            for name, words in said["derivation"].items():
                out.print(f"{row.component}, {row.block}, {name.replace('_', ' ')}: {words}")
    return value


def run_diff(args: argparse.Namespace, out: Console) -> Any:
    found = diff(opened(args.a), opened(args.b), workload_of(args))
    out.print(str(found))
    return found.to_dict()


def run_compare(args: argparse.Namespace, out: Console) -> Any:
    if not 2 <= len(args.names) <= len(LETTERS):
        raise Unsupported(f"compare: give 2 to {len(LETTERS)} architectures (not {len(args.names)})")
    found = compare([opened(name) for name in args.names], workload_of(args))
    if args.csv and not args.json:
        print(found.csv(), end="")
    elif not args.json:
        out.print(str(found))
    return found.to_dict()


def run_modern(args: argparse.Namespace, out: Console) -> Any:
    found = modern(opened(args.name), workload_of(args))
    out.print(str(found))
    return found.to_dict() if args.json else None


def run_evolution(args: argparse.Namespace, out: Console) -> Any:
    found = evolution(amount(args.budget) if args.budget else None, workload_of(args))
    out.print(str(found))
    return found.to_dict() if args.json else None


def run_import(args: argparse.Namespace, out: Console) -> Any:
    arch = opened(args.file)
    if not args.json:
        print(library.to_yaml(arch), end="")
        if arch.unsized:
            print("# The bytes of the weights as shipped are not known (unsized).")
        if hub.is_name(args.file) and (said := hub.beside(args.file, cost(arch).weight_bytes)):
            print(f"# {said}")
    return arch.model_dump(mode="json", exclude_defaults=True)


def run_export(args: argparse.Namespace, out: Console) -> Any:
    arch = opened(args.name)
    value: Any
    match args.format:
        case "yaml":
            value, text = arch.model_dump(mode="json", exclude_defaults=True), library.to_yaml(arch)
        case "link":
            value = text = encode(arch)
        case _:
            value = hf.to_hf(arch)
            text = json.dumps(value, indent=2, allow_nan=False)
    if not args.json:
        print(text.rstrip("\n"))
    return value


def run_edit(args: argparse.Namespace, out: Console) -> Any:
    start = arch = opened(args.name)
    for what, values in args.edits:
        arch = EDITS[what].make(arch, start, *values)
    for edit in split(start, arch):
        print(edit.words, file=sys.stderr)
    if not args.json:
        print(library.to_yaml(arch).rstrip("\n") if args.format == "yaml" else encode(arch))
    return arch.model_dump(mode="json", exclude_defaults=True)


def run_route(args: argparse.Namespace, out: Console) -> Any:
    text = DEFAULT_TEXT
    if args.text:
        text = read_file(args.text)
    torch.set_num_threads(1)  # the matrix products of a live model are tiny: threads would only wait for one another
    found = route(opened(args.name), text, args.seed)
    out.print(str(found))
    return found.to_dict()


def counted(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"


def run_verify(args: argparse.Namespace, out: Console) -> Any:
    found = verify(args.source, opened(args.name) if args.name else None)
    out.print(f"{found.source}: {found.verdict}", style="bold")
    rows = [
        ("parameters", counted(found.parameters), counted(found.expected_parameters)),
        ("bytes", counted(found.bytes), counted(found.expected_bytes)),
        *((f"{name}, not compared", f"{kept:,} bytes", "") for name, kept in found.apart.items()),
    ]
    out.print(table(("", "in the files>", f"of the {found.against}>"), rows))
    for difference in found.differences:
        out.print(difference)
    return found.to_dict()


def run_generate(args: argparse.Namespace, out: Console) -> Any:
    from .generate import generate

    prompt = args.prompt if args.text is None else args.text
    if prompt is None or None not in (args.prompt, args.text):
        raise Unsupported("give one text to continue, as TEXT or with --prompt")
    pieces = []
    for piece in generate(opened(args.name), args.weights or args.name, prompt, args.tokens, args.temperature, args.seed):
        pieces.append(piece)
        if not args.json:
            print(piece, end="", flush=True)
    if not args.json:
        print()
    return {"prompt": prompt, "text": "".join(pieces)}


def run_app(args: argparse.Namespace, out: Console) -> NoReturn:
    """Replace this process by Streamlit."""
    server = Path(__file__).resolve().parent.parent / "app" / "server.py"
    options = ["--server.port", str(args.port)] + (["--server.address", args.address] if args.address else [])
    # With fixed thresholds the C library frees the memory of live models.
    memory = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-m", "streamlit", "run", str(server), *options]
    os.execve(sys.executable, command, memory | os.environ)


def main(arguments: Sequence[str] | None = None) -> int:
    nowhere = open(os.devnull, "w")  # noqa: SIM115 - for a shell that closed the streams
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal cannot show is printed as its code
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = parser().parse_args(arguments)
        out = Console(quiet=args.json, highlight=False, markup=False, emoji=False, soft_wrap=True)
        value = args.run(args, out)
        if args.json:
            print(json.dumps(value, indent=1, allow_nan=False))
        sys.stdout.flush()
        if args.run is run_verify and not value["exact"]:
            return 1  # as diff(1) does if two files differ
    except Unsupported as error:
        print(str(error)[:1_000], file=sys.stderr)
        return 2
    except OSError as error:  # an error of writing: errors of reading are Unsupported
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise the rest would fail again at exit
        if isinstance(error, BrokenPipeError):  # the reader stopped reading
            return 0
        print(f"the output cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
