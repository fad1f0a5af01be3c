"""Reads the bot's endpoints.yml as Rasa does, and says where it would surprise its author.

Rasa expands `${VAR}` in plain scalars only: in quotes it stays as it is, and an unset variable stops Rasa from
starting (rasa 3.6.21, shared/utils/io.py). We read sections, not the whole: what other sections lack is their business.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from rasa_tiledesk.errors import ConfigurationError
from rasa_tiledesk.yaml_values import NodeReader, line_of

__all__ = ["ENDPOINTS_VARIABLE", "Section", "find_endpoints", "read_sections"]

ENDPOINTS_VARIABLE = "RASA_TILEDESK_ENDPOINTS"

# A part of ruamel.yaml's words for what is wrong, and ours: its own repeat what stands in the file.
_SYNTAX = {
    "undefined alias": "a value that begins with * is an alias, and its anchor (&) is not there; put it in quotes",
    "undefined tag handle": "a value that begins with ! is a tag; put it in quotes",
    "cannot start any token": "no value can begin with this character; put it in quotes",
    "mapping values are not allowed": "put a value that holds `: ` in quotes; else the indentation is wrong",
    "another document": "only one document can be in this file; remove the line ---",
}
_OTHER_SYNTAX = "look at the quotes, brackets and indentation here and above"
_KEY_BEFORE = re.compile(r"\s*(?:- +)*([A-Za-z_][\w-]{0,40}): *")


@dataclass(frozen=True)
class Section:
    """One top-level section of endpoints.yml.

    Attributes:
        value: what YAML makes of it, variables expanded; None when the section is not there.
        problems: what in it could not be read as it was meant, one line each.
    """

    value: Any = field(repr=False)
    problems: tuple[str, ...] = ()


def find_endpoints(arguments: Sequence[str], environment: Mapping[str, str]) -> Path:
    """The path of endpoints.yml: `--endpoints` in the arguments, else RASA_TILEDESK_ENDPOINTS, else ./endpoints.yml."""
    for position, argument in enumerate(arguments):
        if argument == "--endpoints" and position + 1 < len(arguments):
            return Path(arguments[position + 1])
        if argument.startswith("--endpoints="):
            return Path(argument.partition("=")[2])
    return Path(environment.get(ENDPOINTS_VARIABLE) or "endpoints.yml")


def read_sections(path: Path, names: Sequence[str]) -> dict[str, Section]:
    """Read the named top-level sections.

    Raises:
        ConfigurationError: there is no such file, it cannot be read, or it is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            str(path),
            [
                f"cannot be read: {error.strerror}; start the action server in the bot's folder, pass "
                f"--endpoints PATH, or set {ENDPOINTS_VARIABLE}"
            ],
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(str(path), ["is not UTF-8 text"]) from None

    yaml = YAML(typ="safe", pure=True)
    try:
        root = _compose(yaml, text, str(path))
        return _sections(yaml, root, names, str(path))
    except RecursionError:
        raise ConfigurationError(str(path), ["not valid YAML: nested too deep"]) from None


def _sections(yaml: YAML, root: Node | None, names: Sequence[str], source: str) -> dict[str, Section]:
    found = {name: Section(None) for name in names}
    if root is None:
        return found
    if not isinstance(root, MappingNode):
        raise ConfigurationError(source, ["is not a YAML mapping of sections such as `action_endpoint:`"])
    lines: dict[str, int] = {}
    for key_node, value_node in root.value:
        name = key_node.value
        if not isinstance(key_node, ScalarNode) or name not in found:
            continue
        if name in lines:
            again = (
                f"{name} (line {line_of(key_node)}): is a second section, the first is in line {lines[name]}; keep one"
            )
            found[name] = Section(found[name].value, (*found[name].problems, again))
            continue
        lines[name] = line_of(key_node)
        reader = NodeReader(yaml)
        value = reader.read(value_node, name)
        found[name] = Section(value, tuple(reader.problems))
    return found


def _compose(yaml: YAML, text: str, source: str) -> Node | None:
    try:
        with warnings.catch_warnings():
            # It repeats the anchor, which may be a password that begins with &.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root: Node | None = yaml.compose(text)
    except RecursionError:
        raise
    except Exception as error:  # not only YAMLError: an escape such as "\\UFFFFFFFF" is a ValueError of chr()
        raise ConfigurationError(source, [_in_words(error, text)]) from None
    return root


def _in_words(error: Exception, text: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or "")
    words = next((ours for theirs, ours in _SYNTAX.items() if theirs in problem), _OTHER_SYNTAX)
    if mark is None:
        return f"not valid YAML: {words}"
    lines = text.splitlines()
    before = lines[mark.line][: mark.column] if mark.line < len(lines) else ""
    key = _KEY_BEFORE.fullmatch(before)
    return f"line {mark.line + 1}{f' ({key[1]})' if key else ''}: not valid YAML: {words}"
