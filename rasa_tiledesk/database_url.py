"""Which driver a database's URL means: the one that our extras install, where the URL names none.

SQLAlchemy's own choice is another one, and differs between its versions: 2.1 takes psycopg for PostgreSQL, and all take
mysqlclient for MySQL and MariaDB (sqlalchemy 1.4.54 and 2.1.9, dialects/*/__init__.py).
"""

from __future__ import annotations

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

__all__ = ["database_url", "database_url_problem"]

_DRIVERS = {
    "postgresql": "postgresql+psycopg2",
    "postgres": "postgresql+psycopg2",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_EXPECTED = "expected an SQLAlchemy URL such as sqlite:///tiledesk_handoffs.db or postgresql://user:password@host/db"


def database_url(text: str) -> URL:
    """The URL with its driver; one that the text names is kept. Its repr masks the password.

    Raises:
        ArgumentError, ValueError: the text is no SQLAlchemy URL.
    """
    url = make_url(text)
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def database_url_problem(text: str) -> str | None:
    """Why nothing can be kept in the database of this URL, in words without any of its parts; None when it can.

    Nothing is connected to.
    """
    try:
        url = database_url(text)
    except (SQLAlchemyError, ValueError):
        return f"not a URL; {_EXPECTED}; in a login, write @ as %40, : as %3A and / as %2F"
    extra = _EXTRAS.get(url.get_backend_name())
    if extra is None and url.get_backend_name() != "sqlite":
        return f"not SQLite, PostgreSQL, MySQL or MariaDB; {_EXPECTED}"
    try:
        engine = create_engine(url)
    except NoSuchModuleError:
        return f"SQLAlchemy does not know the driver that it names; {_EXPECTED}"
    except ImportError:
        name = url.get_driver_name()
        known = extra and _DRIVERS.get(url.get_backend_name()) == url.drivername
        install = f'pip install "rasa-tiledesk[{extra}]"' if known else "install it, or name none"
        return f"its driver {name} is not installed; {install}"
    except (SQLAlchemyError, TypeError, ValueError):
        return f"what follows the ? does not fit its driver; {_EXPECTED}"
    return "its driver is an asynchronous one; name none" if engine.dialect.is_async else None
