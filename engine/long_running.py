"""What runs until it is told to stop: the API, the worker, and `seatlock dev`."""

import os
from collections.abc import Callable
from functools import partial

from engine.light_imports import import_lightly


def run_api() -> None:
    """Serve the HTTP API on SEATLOCK_HOST and SEATLOCK_PORT."""
    import_lightly()
    from engine.data_folder import find_servers
    from engine.listening import listen
    from engine.logs import configure_logs
    from engine.runtime import check_secrets
    from engine.serving import serve

    settings, environ = find_servers(os.environ, "redis_url", "database_url")
    configure_logs(settings.log_level)
    server = listen(settings.host, settings.port)
    check_secrets(settings)
    os.environ.update(environ)
    serve("api.app:create_app_from_env", server, settings)


def run_worker() -> None:
    """Carry facts into the ledger, settle captures, end lapsed holds. Several may run."""
    import_lightly()
    import uvloop

    from engine.data_folder import find_servers
    from engine.logs import configure_logs
    from engine.worker import work_until_stopped

    settings, _ = find_servers(os.environ, "redis_url", "database_url")
    configure_logs(settings.log_level)
    uvloop.run(work_until_stopped(settings))


def run_dev(*, with_parent: bool) -> None:
    """Run everything on this machine; with a parent, until that ends."""
    import_lightly()
    from engine.dev import Dev
    from engine.logs import configure_logs

    configure_logs("critical")
    Dev(os.environ, with_parent=with_parent).run()


LONG_RUNNING: dict[tuple[str, ...], Callable[[], None]] = {
    ("api",): run_api,
    ("worker",): run_worker,
    ("dev",): partial(run_dev, with_parent=False),
    ("dev", "--with-parent"): partial(run_dev, with_parent=True),
}
"""By the words of the command line."""
