"""Keeps schemathesis from ending the agent that it runs as: everything after that is refused."""

import os

import schemathesis


@schemathesis.hook
def filter_case(context, case) -> bool:
    """Whether a case may be sent: none that names the caller itself in its path."""
    return os.environ["CALLER"] not in (case.path_parameters or {}).values()
