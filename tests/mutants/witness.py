"""A plugin of pytest that says how each test failed: by an assertion, or only because something did not run.

One JSON line per failure goes to the file that WITNESS names: {test, phase, error, text}; phase is `call` when the test
itself failed, else `collect`, `setup` or `teardown`.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

import engine


def pytest_configure(config: pytest.Config) -> None:
    """Make sure that the copy is tested, and not what is installed."""
    if not Path(engine.__file__).is_relative_to(config.rootpath):
        raise pytest.UsageError(f"engine is {engine.__file__}, which is not in {config.rootpath}")


def _tell(**fact: str) -> None:
    with Path(os.environ["WITNESS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(fact) + "\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a failed phase of a test."""
    report = yield
    if report.failed and call.excinfo is not None:
        text = str(call.excinfo.value).strip().partition("\n")[0]
        _tell(test=item.nodeid, phase=call.when, error=call.excinfo.type.__name__, text=text)
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Tell of a file that could not be collected."""
    if report.failed:
        _tell(test=report.nodeid, phase="collect", error="CollectError", text=report.longreprtext.strip()[-300:])
