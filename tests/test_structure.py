"""Limits of sizes, types, imports and words; each check names everything beyond its limit."""

import ast
import io
import pathlib
import re
import tokenize
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "tfsessionrec"
FILES = sorted(PACKAGE.rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60  # without the docstring
MAX_CONSTRUCTOR_ARGUMENTS = 12  # without `self`, `*args` and `**kwargs`
MAX_ANY = 59  # annotations that name `Any`
WORDS = (
    r"nobody",
    r"somebody",
    r"anybody",
    r"stands?(?!-in)",
    r"beside",
    r"anew",
    r"told",
    r"tell(s|ing)?",
    r"taught",
    r"in vain",
    r"(has|have|had) (no|a|its|his|their) say",
    r"(not|may|can|could) (to )?be had",
    r"to be had",
    r"be there",
    r"speaks? of",
    r"what is known of",
    r"ear for",
    r"worth its start",
    r"ranks fused",
)
FORBIDDEN = re.compile(rf"\b({'|'.join(WORDS)})\b".replace(" ", r"\s+"), re.IGNORECASE)
IDENTIFIERS = {"told", "tell", "taught", "anew", "beside", "vain"}
# Lines as a check prints them, with the reason why each may stay.
EXCEPTIONS: frozenset[str] = frozenset(
    {
        # The former name of `training_candidates`, which works for one more release.
        "tfsessionrec/layers/item_embedding.py: taught",
    }
)


def report(offenders: list[str], limit: str) -> None:
    """Fails with every offender, one a line."""
    left = [line for line in offenders if line not in EXCEPTIONS]
    if left:
        pytest.fail(f"{len(left)} beyond the limit ({limit}):\n" + "\n".join(left), pytrace=False)


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def tree_of(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text())


def definitions(path: pathlib.Path) -> Iterator[tuple[str, ast.AST]]:
    """Functions and classes with their dotted names, outermost functions only."""

    def walk(nodes: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                yield f"{prefix}{node.name}", node
                yield from walk(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{node.name}", node
            else:
                blocks = (getattr(node, name, []) for name in ("body", "orelse", "finalbody"))
                for block in blocks:
                    yield from walk(block if isinstance(block, list) else [], prefix)

    yield from walk(tree_of(path).body, "")


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from `def` to its end, without its docstring."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        docstring = node.body[0]
        lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return lines


def is_called(node: ast.expr, name: str) -> bool:
    """Whether a decorator or a base is that name, with or without arguments and module."""
    node = node.func if isinstance(node, ast.Call) else node
    return (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")) == name


def constructor_arguments(node: ast.ClassDef) -> int:
    """Arguments of `__init__`, or fields of a dataclass or named tuple."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            arguments = member.args
            return len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]) - 1
    if not (
        any(is_called(decorator, "dataclass") for decorator in node.decorator_list)
        or any(is_called(base, "NamedTuple") for base in node.bases)
    ):
        return 0
    fields = [member for member in node.body if isinstance(member, ast.AnnAssign)]
    return sum(
        "ClassVar" not in ast.unparse(field.annotation)
        and "init=False" not in ast.unparse(field.value or ast.Constant(None))
        for field in fields
    )


def annotations(path: pathlib.Path) -> Iterator[ast.expr]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            yield node.returns


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: pathlib.Path, modules: set[str]) -> set[str]:
    """The package's modules that a module imports when it is imported itself."""
    found = set()

    def walk(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    member = f"{node.module}.{alias.name}"
                    found.add(member if member in modules else node.module)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                walk(node.orelse)
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for block in ("body", "orelse", "finalbody"):
                    walk(getattr(node, block, []))
                for handler in getattr(node, "handlers", []):
                    walk(handler.body)

    walk(tree_of(path).body)
    return (found & modules) - {module_name(path)}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches all others of its group (Tarjan)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph):
        if module not in number:
            visit(module)
    return found


def prose(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Comments and strings, docstrings among them, with the number of their first line."""
    text = path.read_text()
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            yield token.start[0], token.string


def test_files_are_short() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in FILES}
    offenders = [f"{name}: {size} lines" for name, size in sizes.items() if size > MAX_FILE_LINES]
    report(offenders, f"{MAX_FILE_LINES} lines a file")


def test_functions_are_short() -> None:
    offenders = [
        f"{name_of(path)}: {name}, {function_lines(node)} lines"
        for path in FILES
        for name, node in definitions(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and function_lines(node) > MAX_FUNCTION_LINES
    ]
    report(offenders, f"{MAX_FUNCTION_LINES} lines a function")


def test_constructors_take_few_arguments() -> None:
    offenders = [
        f"{name_of(path)}: {name}, {constructor_arguments(node)} arguments"
        for path in FILES
        for name, node in definitions(path)
        if isinstance(node, ast.ClassDef)
        and constructor_arguments(node) > MAX_CONSTRUCTOR_ARGUMENTS
    ]
    report(offenders, f"{MAX_CONSTRUCTOR_ARGUMENTS} arguments a constructor")


def test_any_is_rare() -> None:
    counts = {
        name_of(path): sum(
            bool(re.search(r"\bAny\b", ast.unparse(annotation))) for annotation in annotations(path)
        )
        for path in FILES
    }
    offenders = [f"{name}: {count}" for name, count in counts.items() if count]
    if sum(counts.values()) > MAX_ANY:
        report(offenders, f"{MAX_ANY} annotations naming `Any`, found {sum(counts.values())}")


def test_modules_import_in_one_direction() -> None:
    modules = {module_name(path): path for path in FILES}
    graph = {name: imports(path, set(modules)) for name, path in modules.items()}
    # The package itself is imported before any of its modules, whoever names it.
    for others in graph.values():
        others.discard("tfsessionrec")
    report([", ".join(group) for group in cycles(graph)], "no modules that import each other")


def test_words_are_the_terms_of_the_field() -> None:
    offenders = []
    for path in FILES:
        for number, text in prose(path):
            for match in FORBIDDEN.finditer(text):
                place = number + text[: match.start()].count("\n")
                line = text.splitlines()[place - number].strip()
                word = " ".join(match.group().split())
                if match.start() and text[match.start() - 1] == "`":
                    continue  # a former name, quoted
                offenders.append(f"{name_of(path)}:{place}: {word!r} in {line[:90]}")
    report(offenders, "words that a reader has to decode")


def test_names_are_the_terms_of_the_field() -> None:
    offenders = set()
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            names = (getattr(node, kind, None) for kind in ("id", "attr", "arg", "name"))
            offenders |= {
                f"{name_of(path)}: {name}"
                for name in names
                if isinstance(name, str) and IDENTIFIERS & set(name.lower().split("_"))
            }
    report(sorted(offenders), "names that a reader has to decode")


@pytest.mark.parametrize(
    ("source", "size"),
    [("def f():\n    '''a\n    b'''\n    return 1", 2), ("def f():\n    def g(): ...\n    g()", 3)],
)
def test_a_docstring_is_not_counted(source: str, size: int) -> None:
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef)
    assert function_lines(node) == size


def test_cycles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "b"}}
    assert cycles(graph) == [["b", "c"]]
