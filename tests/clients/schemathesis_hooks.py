"""What schemathesis cannot know from the contract: who it is, and why it may be refused."""

import os

import schemathesis

# Requests whose client proves who it is, by its secret in a header (RFC 6749, section 2.3.1).
FORMS = {"POST /oauth2/token", "POST /oauth2/introspect", "POST /oauth2/revoke"}
# What proves it in a form instead.
PROOFS = ("client_id", "client_secret", "client_assertion", "client_assertion_type")

# What was ended with DELETE, by its path, and how it may stand from then on.
ENDED = set()
ENDS = {"revoked", "expired", "decommissioned", "archived"}

# What may be wrong with a request that has the right form. `schemathesis.toml` says why.
MEANINGS = {"cursor", "public_key", "invalid_scope", "invalid_target"}


def is_of_the_right_form(case) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def filter_case(context, case) -> bool:
    """Keeps it from ending the agent that it runs as: everything after that is refused."""
    return os.environ["CALLER"] not in (case.path_parameters or {}).values()


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """Has a form come from a client that there is, where nothing else is wrong with it."""
    if case.operation.label not in FORMS or not is_of_the_right_form(case):
        return
    for name in PROOFS:
        case.body.pop(name, None)
    kwargs["auth"] = (os.environ["CALLER"], os.environ["SECRET"])
    # Every other question is about a token that counts.
    if case.operation.label == "POST /oauth2/introspect" and len(case.body["token"]) % 2 == 0:
        case.body["token"] = os.environ["TOKEN"]


@schemathesis.check
def refused_only_for_what_it_means(ctx, response, case) -> None:
    """A request of the right form is refused for nothing but what no schema can say."""
    is_page = case.operation.label == "GET /oauth2/authorize"
    if response.status_code != 400 or is_page or not is_of_the_right_form(case):
        return
    document = response.json()
    named = document.get("error") or document.get("details", {}).get("field")
    assert named in MEANINGS, f"refused for {named}: {response.text}"


def ended_at(path: str) -> str | None:
    """The path of what was ended that is read at `path`: itself, or the agent whose credentials are listed."""
    return next((it for it in (path, path.removesuffix("/credentials")) if it in ENDED), None)


@schemathesis.check
def what_was_ended_is_shown_as_ended(ctx, response, case) -> None:
    """DELETE leaves a record to be read for ever: whoever reads it must see that it has ended."""
    path = case.formatted_path
    if case.method.upper() == "DELETE" and response.status_code == 200:
        ENDED.add(path)
    elif case.method.upper() == "GET" and response.status_code == 200 and ended_at(path):
        document = response.json()
        records = document.get("items", [document]) if isinstance(document, dict) else document
        for record in records:
            assert record["status"] in ENDS, f"it was ended, and is {record['status']}: {response.text}"
