"""Reads the bot's endpoints.yml as Rasa does, and says where it would surprise its author.

Rasa expands `${VAR}` in plain scalars only: in quotes it stays as it is, and an unset variable stops Rasa from
starting (rasa 3.6.21, shared/utils/io.py). We read sections, not the whole: what other sections lack is their business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rasa_tiledesk.errors import ConfigurationError

__all__ = ["ENDPOINTS_VARIABLE", "Section", "find_endpoints", "read_sections"]

ENDPOINTS_VARIABLE = "RASA_TILEDESK_ENDPOINTS"

_REFERENCE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Section:
    """One top-level section of endpoints.yml.

    Attributes:
        value: what YAML makes of it, variables expanded; None when the section is not there.
        problems: variables that were not expanded, one line each.
    """

    value: Any
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
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ConfigurationError(str(path), [f"{line}not valid YAML: {error.problem}"]) from None
    except YAMLError:
        raise ConfigurationError(str(path), ["not valid YAML"]) from None
    if root is None:
        return {name: Section(None) for name in names}
    if not isinstance(root, MappingNode):
        raise ConfigurationError(str(path), ["is not a YAML mapping of sections such as `action_endpoint:`"])

    found = {name: Section(None) for name in names}
    for key_node, value_node in root.value:
        if key_node.value in found:
            problems: list[str] = []
            _expand(value_node, key_node.value, problems)
            found[key_node.value] = Section(_construct(yaml, value_node, str(path)), tuple(problems))
    return found


def _construct(yaml: YAML, node: Node, source: str) -> Any:
    try:
        return yaml.constructor.construct_document(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ConfigurationError(source, [f"{line}{(error.problem or 'not valid YAML').splitlines()[0]}"]) from None


def _expand(node: Node, key: str, problems: list[str]) -> None:
    if isinstance(node, MappingNode):
        for key_node, value_node in node.value:
            _expand(value_node, f"{key}.{key_node.value}", problems)
    elif isinstance(node, SequenceNode):
        for position, item in enumerate(node.value):
            _expand(item, f"{key}[{position}]", problems)
    elif isinstance(node, ScalarNode) and _REFERENCE.search(node.value):
        line = node.start_mark.line + 1
        if node.style is not None:
            names = ", ".join(f"${{{name}}}" for name in _REFERENCE.findall(node.value))
            problems.append(f"{key} (line {line}): Rasa leaves {names} as it is inside quotes; remove the quotes")
            return
        expanded = os.path.expandvars(node.value)
        unset = [name for name in _REFERENCE.findall(node.value) if name not in os.environ]
        problems += [f"{key} (line {line}): the environment variable {name} is not set" for name in unset]
        node.value = expanded
        node.tag = "tag:yaml.org,2002:str"
