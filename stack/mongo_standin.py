"""A stand-in for MongoDB: mongomock behind MongoDB's wire protocol, enough for a Tiledesk server (mongoose 5).

    python mongo_standin.py [PORT]      listens on 127.0.0.1, by default on port 27117

In memory only, no login. It proves nothing about MongoDB's own ordering of equal keys. Runs in an environment of its
own with mongomock and pymongo, and so imports nothing of the project.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import socketserver
import struct
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Callable

import bson  # type: ignore[import-not-found,unused-ignore]
import mongomock  # type: ignore[import-not-found,unused-ignore]
from bson.codec_options import CodecOptions  # type: ignore[import-not-found,unused-ignore]

Document = dict[str, Any]

_CLIENT: Any = mongomock.MongoClient()
_LOCK = threading.RLock()
_CODEC: Any = CodecOptions(document_class=dict, tz_aware=False)
_CURSORS: dict[int, list[Document]] = {}
_NEXT_CURSOR = itertools.count(1)
_SCALARS = (str, int, float, bool, bson.ObjectId)
_DUPLICATE = 11000

_HELLO = {
    "ismaster": True,
    "isWritablePrimary": True,
    "maxBsonObjectSize": 16_777_216,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 9,  # the driver of mongoose 5 refuses servers that it is too old for
    "readOnly": False,
    "ok": 1.0,
}
_YES = {"ok": 1.0}


def _cursor(namespace: str, documents: Iterable[Document], batch: int = 0) -> Document:
    found = list(documents)
    number, rest = 0, found[batch:] if batch else []
    if rest:
        number = next(_NEXT_CURSOR)
        _CURSORS[number] = rest
        found = found[:batch]
    return {"cursor": {"id": bson.Int64(number), "ns": namespace, "firstBatch": found}, "ok": 1.0}


def _get_more(command: Document, _collection: Any, namespace: str) -> Document:
    number = int(command["getMore"])
    documents, size = _CURSORS.pop(number, []), command.get("batchSize") or sys.maxsize
    rest = documents[size:]
    if rest:
        _CURSORS[number] = rest
    cursor = {"id": bson.Int64(number if rest else 0), "ns": namespace, "nextBatch": documents[:size]}
    return {"cursor": cursor, "ok": 1.0}


def _find(command: Document, collection: Any, namespace: str) -> Document:
    wanted, skip, limit = command.get("filter") or {}, command.get("skip") or 0, abs(command.get("limit") or 0)
    order = [(key, _direction(value)) for key, value in (command.get("sort") or {}).items()]
    batch = 0 if command.get("singleBatch") else command.get("batchSize") or 0
    found = None if command.get("projection") else _plain_find(collection, wanted, order)
    if found is None:
        cursor = collection.find(wanted, command.get("projection") or None)
        found = list(cursor.sort(order) if order else cursor)
    return _cursor(namespace, found[skip : skip + limit] if limit else found[skip:], batch)


def _plain_find(collection: Any, wanted: Document, order: list[tuple[str, int]]) -> list[Document] | None:
    """What a filter of equalities finds, without mongomock's copying: it takes 8 s for 500 messages.

    None when the filter or the order is more than that.
    """
    plain = all("." not in key and key[0] != "$" and isinstance(value, _SCALARS) for key, value in wanted.items())
    if not plain or len(order) > 1 or any("." in key for key, _ in order):
        return None
    tests = list(wanted.items())
    found = []
    for document in collection._store.documents:
        for key, value in tests:
            held = document.get(key)
            if held != value and not (isinstance(held, list) and value in held):
                break
        else:
            found.append(document)
    for key, direction in order:
        keys = [document.get(key) for document in found]
        if not all(isinstance(value, datetime.datetime) for value in keys):
            return None
        found.sort(key=lambda document: document[key], reverse=direction < 0)
    return found


def _direction(value: Any) -> int:
    return -1 if isinstance(value, Mapping) else int(value)  # a mapping asks for the score of a text search


def _aggregate(command: Document, collection: Any, namespace: str) -> Document:
    return _cursor(
        namespace, collection.aggregate(command["pipeline"]), (command.get("cursor") or {}).get("batchSize") or 0
    )


def _insert(command: Document, collection: Any, namespace: str) -> Document:
    errors: list[Document] = []
    for index, document in enumerate(command["documents"]):
        try:
            collection.insert_one(document)
        except mongomock.DuplicateKeyError as error:
            errors.append(_duplicate(index, namespace, error))
            if command.get("ordered", True):
                break
    return {"n": len(command["documents"]) - len(errors), "ok": 1.0, **({"writeErrors": errors} if errors else {})}


def _duplicate(index: int, namespace: str, error: Exception) -> Document:
    return {
        "index": index,
        "code": _DUPLICATE,
        "errmsg": f"E11000 duplicate key error collection: {namespace} {error}",
    }


def _update(command: Document, collection: Any, namespace: str) -> Document:
    matched = modified = 0
    made: list[Document] = []
    errors: list[Document] = []
    for index, update in enumerate(command["updates"]):
        change, options = update["u"], {"upsert": update.get("upsert", False)}
        if any(key.startswith("$") for key in change):
            apply = collection.update_many if update.get("multi") else collection.update_one
            if update.get("arrayFilters"):
                options["array_filters"] = update["arrayFilters"]
        else:
            apply = collection.replace_one
        try:
            result = apply(update["q"], change, **options)
        except mongomock.DuplicateKeyError as error:
            errors.append(_duplicate(index, namespace, error))
            continue
        matched += result.matched_count
        modified += result.modified_count or 0
        if result.upserted_id is not None:
            made.append({"index": index, "_id": result.upserted_id})
    answer: Document = {"n": matched + len(made), "nModified": modified, "ok": 1.0}
    if made:
        answer["upserted"] = made
    if errors:
        answer["writeErrors"] = errors
    return answer


def _delete(command: Document, collection: Any, _namespace: str) -> Document:
    count = 0
    for deletion in command["deletes"]:
        delete = collection.delete_one if deletion.get("limit") == 1 else collection.delete_many
        count += delete(deletion["q"]).deleted_count
    return {"n": count, "ok": 1.0}


def _find_and_modify(command: Document, collection: Any, _namespace: str) -> Document:
    query, upsert = command.get("query") or {}, command.get("upsert", False)
    sort = [(key, int(value)) for key, value in (command.get("sort") or {}).items()] or None
    projection = command.get("fields") or None
    if command.get("remove"):
        value = collection.find_one_and_delete(query, projection=projection, sort=sort)
        return {"value": value, "lastErrorObject": {"n": int(value is not None), "updatedExisting": False}, "ok": 1.0}
    change = command["update"]
    existed = collection.find_one(query, sort=sort) is not None
    partial = any(key.startswith("$") for key in change)
    apply = collection.find_one_and_update if partial else collection.find_one_and_replace
    value = apply(
        query, change, projection=projection, sort=sort, upsert=upsert, return_document=bool(command.get("new"))
    )
    last: Document = {"n": int(existed or upsert), "updatedExisting": existed}
    if not existed and upsert and value is not None:
        last["upserted"] = value.get("_id")
    return {"value": value, "lastErrorObject": last, "ok": 1.0}


def _create_indexes(command: Document, collection: Any, _namespace: str) -> Document:
    for index in command["indexes"]:
        keys = index["key"]
        if "partialFilterExpression" in index:  # mongomock would enforce it on every document
            continue
        if not index.get("unique") or not all(isinstance(value, (int, float)) for value in keys.values()):
            continue  # others only speed things up, or search text
        options = {key: index[key] for key in ("unique", "sparse", "name") if key in index}
        if len(keys) == 1:
            options["sparse"] = True  # users.phone is declared unique, though most users have none
        with contextlib.suppress(Exception):
            collection.create_index([(key, int(value)) for key, value in keys.items()], **options)
    return {"numIndexesBefore": 1, "numIndexesAfter": 2, "createdCollectionAutomatically": False, "ok": 1.0}


def _list_indexes(_command: Document, collection: Any, namespace: str) -> Document:
    known = collection.index_information().items()
    return _cursor(namespace, [{"v": 2, "key": dict(index["key"]), "name": name} for name, index in known])


def _list_collections(command: Document, _collection: Any, namespace: str) -> Document:
    wanted = (command.get("filter") or {}).get("name")
    names = [name for name in _CLIENT[command["$db"]].list_collection_names() if wanted in (None, name)]
    made = [{"name": name, "type": "collection", "options": {}, "info": {"readOnly": False}} for name in names]
    return _cursor(namespace, made)


def _count(command: Document, collection: Any, _namespace: str) -> Document:
    return {"n": collection.count_documents(command.get("query") or {}), "ok": 1.0}


def _distinct(command: Document, collection: Any, _namespace: str) -> Document:
    return {"values": collection.distinct(command["key"], command.get("query") or None), "ok": 1.0}


def _create(command: Document, collection: Any, _namespace: str) -> Document:
    database = _CLIENT[command["$db"]]
    if collection.name not in database.list_collection_names():
        database.create_collection(collection.name)
    return _YES


def _drop(_command: Document, collection: Any, _namespace: str) -> Document:
    collection.drop()
    return _YES


def _drop_database(command: Document, _collection: Any, _namespace: str) -> Document:
    _CLIENT.drop_database(command["$db"])
    return _YES


_COMMANDS: dict[str, Callable[[Document, Any, str], Document]] = {
    "aggregate": _aggregate,
    "count": _count,
    "create": _create,
    "createindexes": _create_indexes,
    "delete": _delete,
    "distinct": _distinct,
    "drop": _drop,
    "dropdatabase": _drop_database,
    "find": _find,
    "findandmodify": _find_and_modify,
    "getmore": _get_more,
    "insert": _insert,
    "listcollections": _list_collections,
    "listindexes": _list_indexes,
    "update": _update,
}
_ANSWERS: dict[str, Document] = {
    **dict.fromkeys(("ismaster", "hello"), _HELLO),
    "buildinfo": {"version": "4.4.0", "versionArray": [4, 4, 0, 0], "ok": 1.0},
    **dict.fromkeys(("ping", "endsessions", "killcursors", "getparameter", "getcmdlineopts", "serverstatus"), _YES),
}


def _run(command: Document) -> Document:
    name = next(iter(command))
    known = _ANSWERS.get(name.lower())
    if known is not None:
        return known
    handle = _COMMANDS.get(name.lower())
    if handle is None:
        return {"ok": 0.0, "errmsg": f"no such command: '{name}'", "code": 59, "codeName": "CommandNotFound"}
    database = command.setdefault("$db", "admin")
    target = command[name] if isinstance(command[name], str) else command.get("collection", "none")
    return handle(command, _CLIENT[database][target], f"{database}.{target}")


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while True:
                size, number, _, kind = struct.unpack("<iiii", self._read(16))
                body = self._read(size - 16)
                if kind == 2013:
                    self._message(number, body)
                elif kind == 2004:
                    self._query(number, body)

    def _message(self, number: int, body: bytes) -> None:
        """OP_MSG: a command, and sections of documents that belong to it."""
        command: Document = {}
        (flags,) = struct.unpack("<I", body[:4])
        position, end = 4, len(body) - (4 if flags & 1 else 0)
        while position < end:
            kind, position = body[position], position + 1
            (length,) = struct.unpack("<i", body[position : position + 4])
            if kind == 0:
                command = {**bson.decode(body[position : position + length], _CODEC), **command}
            else:
                zero = body.index(b"\0", position + 4)
                name = body[position + 4 : zero].decode()
                command[name] = bson.decode_all(body[zero + 1 : position + length], _CODEC)
            position += length
        answer = self._answer(command)
        if not flags & 2:
            self._write(2013, number, b"\0\0\0\0\0" + answer)

    def _query(self, number: int, body: bytes) -> None:
        """OP_QUERY: only the handshake still comes this way."""
        zero = body.index(b"\0", 4)
        query = bson.decode_all(body[zero + 9 :], _CODEC)[0]
        command = {**query.get("$query", query), "$db": body[4:zero].decode().split(".")[0]}
        self._write(1, number, struct.pack("<iqii", 8, 0, 0, 1) + self._answer(command))

    def _answer(self, command: Document) -> bytes:
        with _LOCK:
            try:
                return bytes(bson.encode(_run(command)))
            except Exception as error:
                print(next(iter(command), "?"), repr(error)[:300], file=sys.stderr, flush=True)
                return bytes(bson.encode({"ok": 0.0, "errmsg": str(error), "code": 8000}))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.request.recv(size - len(data))
            if not chunk:
                raise ConnectionError
            data += chunk
        return data

    def _write(self, kind: int, number: int, body: bytes) -> None:
        self.request.sendall(struct.pack("<iiii", 16 + len(body), 0, number, kind) + body)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with _Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 27117), _Connection) as server:
        server.serve_forever()
