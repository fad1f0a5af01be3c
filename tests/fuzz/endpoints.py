"""Whatever stands in endpoints.yml: settings and a reader of trackers, or our own words without the secrets."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import assume
from hypothesis import strategies as st

from rasa_tiledesk.runtime import desk_of, rasa_of
from rasa_tiledesk.settings import ledger_url, load_endpoints
from rasa_tiledesk.trackers import open_reader
from tests.fuzz.telling import ACCOUNT, SECRET, Target, silent
from tests.unit import test_secrets_in_endpoints as files

__all__ = ["TARGETS"]

STORES = {
    "sql": "dialect url port db username password login_db query",
    "redis": "url port db username password key_prefix use_ssl ssl_keyfile deployment_mode endpoints sentinel_service",
    "mongod": "url db username password auth_source collection",
    "dynamo": "table_name region",
    "json.JSONDecoder": "url strict",
    f"postgresql://u:{SECRET}@h/d": "url",
    "": "url",
}
URLS = st.sampled_from(
    [
        *(f"postgresql://u:{SECRET}@h/d", f"mysql://u:{SECRET}@h:x/d", f"h/d?password={SECRET}", f"{SECRET}@h:1"),
        *(
            f"mongodb://u:{SECRET}@h",
            f"mongodb://{SECRET}:b@h:x/",
            f"redis://:{SECRET}@h",
            "[::1",
            "h:99999",
            "${HUSH}",
        ),
        *("sqlite:///x", "cluster", "sentinel", "postgresql", "mysql", "true", "{a: b}", "[a, 1]", "[h:1]", ".inf"),
    ]
)


@st.composite
def tracker_stores(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(sorted(STORES)))
    lines = ["tracker_store:", f"  {draw(st.sampled_from(['type', 'store_type']))}: {kind}"]
    for key in draw(st.lists(st.sampled_from(STORES[kind].split()), unique=True, max_size=5)):
        lines.append(f"  {key}: {draw(URLS | files.VALUES)}")
    return "\n".join(lines)


LOGIN = f"tiledesk:\n  url: https://a.com\n  project_id: {ACCOUNT}\n  email: a@b.c\n  password: {SECRET}"
FILES = st.builds("{}\n{}\n".format, st.just(LOGIN) | files.documents(), tracker_stores() | st.just("")) | st.text()


def endpoints(text: str) -> None:
    assume(not files.names_the_secret(text))
    os.environ["HUSH"] = SECRET
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "endpoints.yml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with silent():
            found = load_endpoints(path)
            assert SECRET not in repr(found)
            settings = found.tiledesk
            assert SECRET not in repr([ledger_url(settings), desk_of(settings), rasa_of(settings)])
            open_reader(found.tracker_store, rasa_url=settings.relay.rasa_url, rasa_token=None).close()


TARGETS = [Target("endpoints", FILES, endpoints)]
