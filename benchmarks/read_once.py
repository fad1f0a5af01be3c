"""One measurement of `read.py`, in a process of its own: by us, or by the Python that has rasa, by Rasa.

    python read_once.py '{"by": "us", "what": "time", "section": {...}, "sender_id": "ann", "last": null}'

Prints {"turns or events": how many, "seconds": of the quickest of five reads} or {..., "bytes": the peak of what Python
allocated in one read}. Memory that database drivers take outside Python is not counted, which is to Rasa's advantage:
it has the driver fetch all rows at once, we have them sent in parts.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import tracemalloc
from typing import Any, Callable


def by_us(job: dict[str, Any]) -> Callable[[], int]:
    from rasa_tiledesk.deadline import Deadline
    from rasa_tiledesk.handoff.stored import whole_history
    from rasa_tiledesk.settings import Settings
    from rasa_tiledesk.trackers import open_reader
    from rasa_tiledesk.transcript import read_turns

    reader = open_reader(job["section"], rasa_url=None, rasa_token=None)
    scope: Any = {"last": job["last"]} if job["last"] else "all"
    settings = Settings(url="http://desk", project_id="0" * 24, history={"scope": scope})

    def read() -> int:
        events, unreadable = whole_history([], job["sender_id"], settings, reader, Deadline(60))
        assert not unreadable
        return len(read_turns(events))

    return read


def by_rasa(job: dict[str, Any]) -> Callable[[], int]:
    from rasa.core.tracker_store import TrackerStore  # type: ignore[import-not-found]
    from rasa.shared.core.domain import Domain  # type: ignore[import-not-found]
    from rasa.utils.endpoints import EndpointConfig  # type: ignore[import-not-found]

    store = TrackerStore.create(EndpointConfig.from_dict(job["section"]), Domain.empty())
    return lambda: len(asyncio.run(store.retrieve_full_tracker(job["sender_id"])).events)


def main() -> None:
    job = json.loads(sys.argv[1])
    read = (by_us if job["by"] == "us" else by_rasa)(job)
    if job["what"] == "memory":
        tracemalloc.start()
        count = read()
        print(json.dumps({"count": count, "bytes": tracemalloc.get_traced_memory()[1]}))
        return
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        count = read()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"count": count, "seconds": min(seconds)}))


if __name__ == "__main__":
    main()
