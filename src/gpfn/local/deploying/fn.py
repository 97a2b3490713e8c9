"""Functions onto an Fn server: the requests of ``fn deploy``, without its build.

In order: the app is looked for, and created or, when there is an app.yaml, updated; the
function is looked for, and created or updated; and so is each trigger (fnproject/cli,
commands/deploy.go). Nothing is taken back when a later request fails: what was done is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote

from gpfn.errors import SetupError
from gpfn.hosts.fn_server import FnClient, FnEntity, endpoint_of, fn_document
from gpfn.hosts.funcfile import FuncFile, FuncTrigger
from gpfn.local.deploying.planned import FnPlan
from gpfn.local.deploying.writes import (
    DoneWrite,
    RestWrite,
    Writing,
    annotation_words,
    command_line,
    config_words,
    syslog_words,
)

__all__ = ["deploy_functions"]

_INVOKE, _TRIGGER = "fnproject.io/fn/invokeEndpoint", "fnproject.io/trigger/httpEndpoint"


def deploy_functions(
    client: FnClient, plans: Iterable[FnPlan], write: Writing, *, create_app: bool = False
) -> Iterator[DoneWrite]:
    """Put functions onto a server, and yield each write once it is done.

    Raises SetupError for an app that is not there and may not be created, and for what the
    server refuses; BackendError when it fails.
    """
    apps: dict[str, FnEntity] = {}
    for plan in plans:
        if plan.app not in apps:
            found = client.find_app(plan.app)
            wanted = _app_write(client, plan, found, create_app=create_app)
            apps[plan.app] = found or {}
            if wanted is not None:
                apps[plan.app] = write(wanted) or apps[plan.app]
                yield DoneWrite(wanted.verb, wanted.kind, wanted.name)
        yield from _deploy(client, plan, str(apps[plan.app].get("id", "")), write)


def _deploy(client: FnClient, plan: FnPlan, app: str, write: Writing) -> Iterator[DoneWrite]:
    """Put a function into its app, whose id is empty in a dry run that would create it."""
    found = client.find_fn(app, plan.name) if app else None
    wanted = _fn_write(plan, app, found)
    made = write(wanted) or found or {}
    # the answer to an update has no such annotation, the list has
    url = endpoint_of(made, _INVOKE) or endpoint_of(found or {}, _INVOKE)
    yield DoneWrite(wanted.verb, wanted.kind, wanted.name, url)
    fn = str(made.get("id", ""))
    for trigger in plan.triggers:
        known = client.find_trigger(app, fn, trigger.name) if app and fn else None
        wanted = _trigger_write(plan, trigger, (app, fn), known)
        written = write(wanted)
        if written and known and known.get("source") != trigger.source:
            known = client.find_trigger(app, fn, trigger.name)  # it has another address now
        url = endpoint_of(written, _TRIGGER) or endpoint_of(known or {}, _TRIGGER)
        yield DoneWrite(wanted.verb, wanted.kind, wanted.name, url)


def _app_write(
    client: FnClient, plan: FnPlan, found: FnEntity | None, *, create_app: bool
) -> RestWrite | None:
    """Return what is to be done about an app: nothing when it is there, and has no app.yaml."""
    file = plan.app_file or FuncFile()
    syslog = file.text("syslog_url")
    document = fn_document(
        name=plan.app, config=file.config, annotations=file.annotations, syslog_url=syslog
    )
    options = [*config_words(file.config), *annotation_words(file.annotations)]
    options += syslog_words(syslog)
    if found is not None:
        if plan.app_file is None:
            return None
        command = command_line(["fn", "update", "app", *options, plan.app])
        path = f"/v2/apps/{_quoted(found)}"
        return RestWrite("update", "app", plan.app, "PUT", path, document, (command,))
    if not create_app:
        raise SetupError(f"{client.shown} has no app {plan.app}; --create-app makes it")
    command = command_line(["fn", "create", "app", *options, plan.app])
    return RestWrite("create", "app", plan.app, "POST", "/v2/apps", document, (command,))


def _fn_write(plan: FnPlan, app: str, found: FnEntity | None) -> RestWrite:
    limits = plan.limits
    values = {
        "image": plan.image,
        "memory": limits.memory,
        "timeout": limits.timeout,
        "idle_timeout": limits.idle_timeout,
        "config": plan.config,
        "annotations": plan.annotations,
    }
    if found is not None:
        named = ["fn", "update", "function", "--image", plan.image]
        command = command_line([*named, *_options(plan), plan.app, plan.name])
        path, document = f"/v2/fns/{_quoted(found)}", fn_document(id=found["id"], **values)
        return RestWrite("update", "function", plan.name, "PUT", path, document, (command,))
    words = ["fn", "create", "function", *_options(plan), plan.app, plan.name, plan.image]
    document = fn_document(app_id=app, name=plan.name, **values)
    command = command_line(words)
    return RestWrite("create", "function", plan.name, "POST", "/v2/fns", document, (command,))


def _trigger_write(
    plan: FnPlan, trigger: FuncTrigger, ids: tuple[str, str], found: FnEntity | None
) -> RestWrite:
    """Return the write of a trigger; ``fn`` itself cannot change one, so it makes another."""
    app, fn = ids
    named = (plan.app, plan.name, trigger.name)
    create = command_line(
        ["fn", "create", "trigger", "--type", trigger.type, "--source", trigger.source, *named]
    )
    values = {"name": trigger.name, "type": trigger.type, "source": trigger.source}
    document = fn_document(app_id=app, fn_id=fn, **values)
    if found is None:
        path = "/v2/triggers"
        return RestWrite("create", "trigger", trigger.name, "POST", path, document, (create,))
    same = found.get("source") == trigger.source and found.get("type") == trigger.type
    commands = () if same else (command_line(["fn", "delete", "trigger", *named]), create)
    document = fn_document(app_id=app, fn_id=fn, id=found["id"], **values)
    path = f"/v2/triggers/{_quoted(found)}"
    return RestWrite("update", "trigger", trigger.name, "PUT", path, document, commands)


def _options(plan: FnPlan) -> list[str]:
    """Return the options of ``fn`` for a function's limits, configuration and annotations."""
    given = {
        "--memory": plan.limits.memory,
        "--timeout": plan.limits.timeout,
        "--idle-timeout": plan.limits.idle_timeout,
    }
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    return [*words, *config_words(plan.config), *annotation_words(plan.annotations)]


def _quoted(entity: FnEntity) -> str:
    return quote(str(entity["id"]), safe="")
