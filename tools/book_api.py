"""The API pages of the book, from the docstrings; the package is read and not imported.

There is one page for each module that `import mmkeras as mm` offers. It shows what `__all__` of
the module names, or else its public functions and classes.
"""

import re
import textwrap
from pathlib import Path

import griffe

HIDDEN = re.compile(r"_|(self|cls)$")
LEFT_OUT = ("checks",)
MEMBERS_OF_KERAS = {"build", "call", "compute_mask", "compute_output_shape", "get_config"}


OPTIONS = {"warnings": False, "returns_multiple_items": False, "returns_named_value": False}


def pages(root: Path) -> dict[str, str]:
    """The text of each page, by its place. "chapter 07" is a link."""
    package = griffe.load(
        "mmkeras", search_paths=[str(root)], docstring_parser="google", docstring_options=OPTIONS
    )
    names = re.findall(r"\w+", str(package["_MODULES"].value))
    rooms = [name for name in names if name in package.modules and name not in LEFT_OUT]
    found = {f"api/{name}.md": page(package.modules[name]) for name in sorted(rooms)}
    files = {path.name[:2]: path.name for path in root.glob("notebooks/[0-9]*.ipynb")}

    def link(number: re.Match[str]) -> str:
        name = files.get(number[0])
        return f"[{number[0]}](../notebooks/{name})" if name else number[0]

    def chapters(said: re.Match[str]) -> str:
        return re.sub(r"\d\d", link, said[0])

    found["api/index.md"] = index(package, sorted(rooms))
    said = r"chapters? \d\d(?:(?:, | and )\d\d\b)*"
    return {name: re.sub(said, chapters, text) for name, text in found.items()}


def index(package: griffe.Module, rooms: list[str]) -> str:
    home = dict(re.findall(r"'(\w+)': '(\w+)'", str(package["_HOME"].value)))
    names = "\n".join(f"- [`mm.{name}`]({room}.md#{name})" for name, room in home.items())
    tree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *rooms, "```", ""])
    said = ["# The API", text(package), "`import mmkeras as mm` offers these functions:", names]
    return "\n\n".join([*said, "and these modules:", tree])


def target(module: griffe.Module, name: str) -> griffe.Object | None:
    """What a name of a module stands for; None for a constant of a tuple assignment."""
    found = module[name]
    try:
        return found.final_target if isinstance(found, griffe.Alias) else found
    except griffe.AliasResolutionError:
        return None


def exported(module: griffe.Module) -> list[str]:
    """The public names of a module, without dunders; without `__all__`, what is defined there."""
    if module.exports is not None:
        names = [str(getattr(name, "name", name)) for name in module.exports]
    else:
        own = module.members.items()
        names = [n for n, m in own if not m.is_alias and (m.is_function or m.is_class)]
    return [n for n in names if not n.startswith("_") and n in module.members]


def page(module: griffe.Module) -> str:
    parts = [f"# mmkeras.{module.name}", text(module)]
    for name in exported(module):
        thing = target(module, name)
        if isinstance(thing, griffe.Module):
            parts += [f"## {name}", text(thing)]
            inner = (target(thing, name) for name in exported(thing))
            parts += [entry(found, 3) for found in inner if found]
        elif thing:
            parts.append(entry(thing, 2))
    return "\n\n".join(part for part in parts if part) + "\n"


def entry(thing: griffe.Object, level: int) -> str:
    """A function, a class with its public methods, or a constant."""
    parts = ["#" * level + f" {thing.name}", f"```python\n{signature(thing)}\n```", text(thing)]
    for name, member in thing.members.items() if isinstance(thing, griffe.Class) else ():
        hidden = name.startswith("_") or name in MEMBERS_OF_KERAS or member.is_alias
        if not hidden and isinstance(member, griffe.Function) and member.docstring:
            code = f"```python\n{signature(member)}\n```"
            parts += [f"**`{thing.name}.{name}`**", code, text(member)]
    return "\n\n".join(part for part in parts if part)


def signature(thing: griffe.Object) -> str:
    if isinstance(thing, griffe.Class):
        init = thing.members.get("__init__")
        return signature(init) if isinstance(init, griffe.Function) else f"class {thing.name}"
    if not isinstance(thing, griffe.Function):
        return f"{thing.name} = {getattr(thing, 'value', '')}"
    name = thing.parent.name if thing.name == "__init__" and thing.parent else thing.name
    arguments = [argument(p) for p in thing.parameters if not HIDDEN.match(p.name)]
    line = f"{name}({', '.join(arguments)})"
    if len(line) > 80:
        line = f"{name}(\n" + "".join(f"    {a},\n" for a in arguments) + ")"
    return line + (f" -> {thing.returns}" if thing.returns and thing.name != "__init__" else "")


def argument(parameter: griffe.Parameter) -> str:
    stars = {"variadic positional": "*", "variadic keyword": "**"}
    kind = parameter.kind.value if parameter.kind else ""
    words = stars.get(kind, "") + parameter.name
    words += f": {parameter.annotation}" if parameter.annotation else ""
    return words + (f" = {parameter.default}" if parameter.default and kind not in stars else "")


def text(thing: griffe.Object) -> str:
    """The docstring as Markdown: its paragraphs, then a list for each of its sections."""
    if not thing.docstring:
        return ""
    parts = []
    for section in thing.docstring.parsed:
        value = section.value
        if section.kind is griffe.DocstringSectionKind.text:
            parts.append(prose(value))
        elif section.kind is griffe.DocstringSectionKind.admonition:
            parts += [f"**{section.title or value.kind}**", items(value.contents)]
        elif section.kind is griffe.DocstringSectionKind.returns:  # free text, with colons in it
            said = thing.docstring.value.partition("\nReturns:\n")[2]
            parts += ["**Returns**", safe(textwrap.dedent(re.split(r"\n(?=\S)", said)[0]).strip())]
        elif isinstance(value, list):
            title = {"parameters": "Args"}.get(section.kind.value, section.kind.value.capitalize())
            rows = (f"- {row(item, section.kind.value)}" for item in value)
            parts += [f"**{section.title or title}**", "\n".join(rows)]
    return "\n\n".join(parts)


def row(item: object, kind: str) -> str:
    name = getattr(item, "name", "") if kind != "raises" else str(getattr(item, "annotation", ""))
    words = " ".join(str(getattr(item, "description", "")).split())
    return f"`{name}`: {safe(words)}" if name else safe(words)


def items(words: str) -> str:
    """Lines "name: what it is", with what belongs to them, as a list."""
    found = re.split(r"\n(?=\S)", words.strip())
    return "\n".join("- " + safe(" ".join(item.split())) for item in found)


def prose(words: str) -> str:
    """Paragraphs of a docstring; what is indented stays as it is."""
    parts = re.split(r"\n\s*\n", words.strip("\n"))
    kept = [part if re.match(r" {4}|\s*[-*] |\|", part) else safe(part) for part in parts]
    return "\n\n".join(kept)


def safe(words: str) -> str:
    """Signs outside of code that Markdown would take for its own."""
    pieces = re.split(r"(``.*?``|`[^`]*`)", words)
    return "".join(p if p.startswith("`") else re.sub(r"([*_$<|\[\]])", r"\\\1", p) for p in pieces)
