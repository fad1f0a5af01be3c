"""What a part of a YAML document means, and where its author would be surprised: key and line, never the value.

ruamel.yaml only parses, and reads single numbers and dates. Its own words about keys, tags and aliases repeat the file
(0.19.1, constructor.py: a doubled `password:` comes with both values), and for a value that it cannot read it raises
whatever Python does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

__all__ = ["NodeReader", "line_of"]

_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp")}
_COLLECTIONS = {_TAG + "map", _TAG + "seq"}

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
# What can be told without forging a line of a log. What looks otherwise is a value that YAML takes for a mapping.
_PLAIN_KEY = re.compile(r"[\w.\- ]{1,60}")


def line_of(node: Node) -> int:
    """The line where it begins, from 1."""
    return int(node.start_mark.line) + 1


class NodeReader:
    """Reads nodes as Rasa does, `${VAR}` expanded.

    Attributes:
        problems: what was found on the way, one line each. A value with a problem is read as its text.
    """

    def __init__(self, yaml: YAML) -> None:
        self.problems: list[str] = []
        self._yaml = yaml
        self._known: dict[int, Any] = {}  # once a node: aliases of aliases of aliases are many values, but few nodes
        self._within: set[int] = set()

    def read(self, node: Node, key: str) -> Any:
        """The value of a node: texts, numbers, dates, mappings with keys of text, lists."""
        if id(node) in self._within:
            self._found(node, key, "an anchor that holds itself; write out what is meant")
            return None
        if id(node) not in self._known:
            self._within.add(id(node))
            self._known[id(node)] = self._read(node, key)
            self._within.discard(id(node))
        return self._known[id(node)]

    def _found(self, node: Node, key: str, problem: str) -> None:
        self.problems.append(f"{key} (line {line_of(node)}): {problem}")

    def _read(self, node: Node, key: str) -> Any:
        if isinstance(node, ScalarNode):
            return self._scalar(node, key)
        if str(node.tag) not in _COLLECTIONS:
            self._found(node, key, "has a tag (!), which is not understood here; put a value with ! in quotes")
        if isinstance(node, MappingNode):
            return self._mapping(node, key)
        return [self.read(item, f"{key}[{position}]") for position, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, key: str) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            name = key_node.value
            if str(key_node.tag) == f"{_TAG}merge":
                for more in self._to_merge(value_node, key):
                    merged = {**more, **merged}
            elif not isinstance(key_node, ScalarNode) or not _PLAIN_KEY.fullmatch(name):
                self._found(key_node, key, "holds a key that is no plain name; put a value with :, { or ? in quotes")
            elif name in own:
                again = f"{key}.{name}"
                self._found(key_node, again, f"is a duplicate key, first given in line {lines[name]}; keep one")
            else:
                lines[name] = line_of(key_node)
                own[name] = self.read(value_node, f"{key}.{name}")
        return {**merged, **own}

    def _to_merge(self, node: Node, key: str) -> Iterator[dict[str, Any]]:
        for item in node.value if isinstance(node, SequenceNode) else [node]:
            value = self.read(item, key)
            if isinstance(value, dict):
                yield value
            else:
                self._found(item, key, "<< takes an alias of a mapping")

    def _scalar(self, node: ScalarNode, key: str) -> Any:
        text = str(node.value)
        names = _REFERENCE.findall(text)
        if names:
            return self._expanded(node, key, names)
        if str(node.tag) not in _SCALARS:
            self._found(node, key, "YAML reads this as no text, for it begins with ! or is = or <<; put it in quotes")
            return text
        try:
            value = self._yaml.constructor.construct_object(node)
            if isinstance(value, int) and value.bit_length() > 63:
                raise OverflowError
        except Exception:  # a month 13, an !!int of letters, a number of 5,000 digits: each raises something of its own
            self._found(node, key, "looks like a date or number, and is none that can be read; put it in quotes")
            return text
        return value

    def _expanded(self, node: ScalarNode, key: str, names: list[str]) -> str:
        if not all(map(_VARIABLE.fullmatch, names)):
            self._found(node, key, "holds a ${...} without the name of an environment variable in it")
        elif node.style is not None:
            references = ", ".join(f"${{{name}}}" for name in names)
            self._found(node, key, f"Rasa leaves {references} as it is inside quotes; remove the quotes")
        else:
            for name in names:
                if name not in os.environ:
                    self._found(node, key, f"the environment variable {name} is not set")
            return os.path.expandvars(str(node.value))
        return str(node.value)
