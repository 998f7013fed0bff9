"""`tradelog`: everything an operator does by hand, as one command."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from projections.ports import UnknownProjectionError
from workers.local.process import LOOPBACK, ServiceFailedError
from workers.local.stack import API_PORT, LocalStack, Running, Search

if TYPE_CHECKING:  # what only some commands need is imported by them
    from domain.accounts.events import Role
    from workers.mail_operating import PostOffice
    from workers.operating import Operator

app = typer.Typer(
    help="Tradelog: an event-sourced commerce backend.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SERVERS = frozenset({"postgres", "nats", "opensearch", "s3", "stripe"})
COLOURS = {
    "stack": "bold",
    "api": "cyan",
    "relay": "green",
    "projector": "magenta",
    "reactor": "yellow",
    "mailer": "blue",
    "scheduler": "bright_black",
}

PIPED_WIDTH = 200
"""Where the output is no terminal, a table is as wide as it needs to be: its reader looks for whole names."""

DEMO_ACCOUNTS = "emilys / emilyspass (admin), oliviaw / oliviawpass (auditor), averyp / averyppass (user)"

DataFolder = Annotated[
    Path,
    typer.Option("--data", envvar="TRADELOG_DATA", help="Where databases, streams, mail and logs are kept."),
]


@app.callback()
def tradelog() -> None:
    """Group the commands, also while there is only one."""


@app.command()
def up(
    data: DataFolder = Path(".tradelog"),
    search: Annotated[Search, typer.Option(help="Which engine serves search.")] = Search.AUTO,
    port: Annotated[int | None, typer.Option(envvar="PORT", help="Where the API listens.")] = None,
    seed: Annotated[bool, typer.Option("--seed", help="Fill an empty shop with the demo catalogue.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the servers' log lines too.")
    ] = False,
) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    console = speaking(soft_wrap=True)

    def tell(who: str, what: str) -> None:
        if verbose or who not in SERVERS:
            console.print(Text(f"{who:<10}", style=COLOURS.get(who, "dim")) + Text(f"│ {what}"))

    async def when_ready(stack: LocalStack) -> None:
        if seed:
            await run_seed(stack)
        console.print(summary_of(stack, seeded=seed))

    with refused_by(ServiceFailedError):
        asyncio.run(LocalStack(data, search=search, port=port, tell=tell).run(when_ready))


@app.command()
def openapi() -> None:
    """Print the API's OpenAPI document; no server is needed."""
    # A process of its own, because the API and the workers do not import each other.
    raise typer.Exit(subprocess.run([sys.executable, "-m", "api", "openapi"], check=False).returncode)


@app.command()
def migrate() -> None:
    """Make the tables in DATABASE_URL and the bucket in S3; what is there already stays as it is."""
    from workers.migrating import prepare

    asyncio.run(prepare(os.environ))


@app.command()
def seed(
    data: DataFolder = Path(".tradelog"),
    demo_roles: Annotated[
        bool,
        typer.Option(
            "--demo-roles", help="Make admins and auditors of people whose passwords everybody knows."
        ),
    ] = False,
) -> None:
    """Fill the shop with the demo catalogue and people; what is there already is left alone."""
    from workers.seeding import seed_shop

    join_stack(data)
    asyncio.run(seed_shop(os.environ, speaking(), demo_roles=demo_roles))


@app.command()
def generate(
    data: DataFolder = Path(".tradelog"),
    listings: Annotated[int, typer.Option(min=1, help="How many there are to be.")] = 100_000,
    sellers: Annotated[int, typer.Option(min=1, help="Of how many sellers.")] = 200,
    seed: Annotated[int, typer.Option(help="Another one makes other listings, beside the former.")] = 1,
) -> None:
    """Fill the shop with made-up listings, for load tests; what of them is there already is left alone."""
    from workers.generating import NotHereError, generate_listings

    join_stack(data)
    with refused_by(NotHereError):
        asyncio.run(generate_listings(os.environ, speaking(), listings=listings, sellers=sellers, seed=seed))


@app.command()
def demo(data: DataFolder = Path(".tradelog")) -> None:
    """Buy something from the running stack over HTTP, and kill the projector in the middle of it."""
    from workers.demo import Demo, DemoFailedError

    running = join_stack(data)

    def projector_pid() -> int | None:
        now = Running.read(data)
        return now.pids.get("projector") if now is not None else None

    host, port = running.environment.get("HOST", LOOPBACK), running.environment.get("PORT", API_PORT)
    with refused_by(DemoFailedError):
        Demo(f"http://{host}:{port}/api/v1", projector_pid, speaking()).run()


projections = typer.Typer(help="Look after the read models.", no_args_is_help=True)
app.add_typer(projections, name="projections")


@projections.command("list")
def list_projections(data: DataFolder = Path(".tradelog")) -> None:
    """Show how far each read model is."""
    operate(data, lambda operator: operator.show())


@projections.command()
def rebuild(name: str, data: DataFolder = Path(".tradelog")) -> None:
    """Build a read model anew from the log, beside the one that serves, and switch to it."""
    operate(data, lambda operator: operator.rebuild(name))


@projections.command()
def pause(name: str, data: DataFolder = Path(".tradelog")) -> None:
    """Hold a read model, or the generation that is being built of it, where it is."""
    operate(data, lambda operator: operator.generations.pause(name))


@projections.command()
def resume(name: str, data: DataFolder = Path(".tradelog")) -> None:
    """Let it go on."""
    operate(data, lambda operator: operator.generations.resume(name))


@projections.command()
def rollback(name: str, data: DataFolder = Path(".tradelog")) -> None:
    """Serve the generation before this one again."""
    operate(data, lambda operator: operator.rollback(name))


def operate(data: Path, work: Callable[["Operator"], Awaitable[object]]) -> None:
    from workers.operating import OperationFailedError, open_operator

    join_stack(data)

    async def main() -> None:
        async with open_operator(os.environ, speaking()) as operator:
            await work(operator)

    with refused_by(OperationFailedError, UnknownProjectionError):
        asyncio.run(main())


mails = typer.Typer(help="Look after the mail that is owed.", no_args_is_help=True)
app.add_typer(mails, name="mails")


class MailStateWanted(StrEnum):
    """What a mail may have come to."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"
    DROPPED = "dropped"


@mails.command("list")
def list_mails(
    data: DataFolder = Path(".tradelog"),
    state: Annotated[MailStateWanted | None, typer.Option(help="Only those that came to this.")] = None,
) -> None:
    """Show what waits, what was sent and what was given up; nobody is named."""
    post_office(data, lambda office: office.show(state.value if state else None))


@mails.command("retry")
def retry_mail(cause: int, template: str, data: DataFolder = Path(".tradelog")) -> None:
    """Let a mail that was given up be tried again."""
    post_office(data, lambda office: office.retry(cause, template))


@mails.command("drop")
def drop_mail(cause: int, template: str, data: DataFolder = Path(".tradelog")) -> None:
    """Give up a mail that has not been sent."""
    post_office(data, lambda office: office.drop(cause, template))


def post_office(data: Path, work: Callable[["PostOffice"], Awaitable[object]]) -> None:
    from domain.kernel import DomainError
    from workers.mail_operating import open_post_office

    join_stack(data)

    async def main() -> None:
        async with open_post_office(os.environ, speaking()) as office:
            await work(office)

    with refused_by(DomainError):
        asyncio.run(main())


accounts = typer.Typer(help="Say who the first admin and the first auditor are.", no_args_is_help=True)
app.add_typer(accounts, name="accounts")


class Appointment(StrEnum):
    """The roles that nobody can get through the API before somebody has them."""

    ADMIN = "admin"
    AUDITOR = "auditor"


WantedRole = Annotated[Appointment, typer.Option("--role", help="What the account may do.")]


@accounts.command()
def grant(email: str, role: WantedRole, data: DataFolder = Path(".tradelog")) -> None:
    """Give a role to somebody who has an account."""
    from workers.appointing import grant as grant_role

    appoint(data, lambda wanted: grant_role(os.environ, email, wanted, speaking()), role)


@accounts.command()
def create(
    email: str,
    role: WantedRole,
    data: DataFolder = Path(".tradelog"),
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Ask for the password instead of making one up.")
    ] = False,
) -> None:
    """Make an account with a role; its password is made up and shown once, or asked for."""
    from workers.appointing import create as create_account

    password = asked_password() if prompt else None
    appoint(data, lambda wanted: create_account(os.environ, email, wanted, password, speaking()), role)


def asked_password() -> str:
    """Typed twice and unseen by a person; a line from whatever else is at the other end."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def appoint(data: Path, work: Callable[["Role"], Coroutine[object, object, None]], role: Appointment) -> None:
    from application.settings import SettingsError
    from domain.accounts.events import Role
    from domain.kernel import DomainError

    join_stack(data)
    with refused_by(DomainError, SettingsError):
        asyncio.run(work(Role(role.value)))


def join_stack(data: Path) -> Running:
    """What DATABASE_URL and the others name, else the stack that runs on this data folder."""
    if "DATABASE_URL" in os.environ:
        return Running(environment=dict(os.environ), pids={})
    with refused_by(ServiceFailedError):
        return use_running_stack(data)


async def run_seed(stack: LocalStack) -> None:
    """Fill the shop as an operator would, in a process with the stack's environment."""
    environment = {**os.environ, **stack.environment()}
    seeding = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.cli", "seed", "--demo-roles", env=environment
    )
    if await seeding.wait() != 0:
        raise ServiceFailedError("seed", "did not finish; what it said stands above")


def use_running_stack(data: Path) -> Running:
    """Take part in the stack that runs on this data folder: its addresses become ours."""
    running = Running.read(data)
    if running is None:
        raise ServiceFailedError(
            "local stack", f"does not run on {data.resolve()}: start it with `tradelog up`"
        )
    os.environ.update(running.environment)
    return running


def summary_of(stack: LocalStack, *, seeded: bool) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    accounts = [("Demo accounts", DEMO_ACCOUNTS)] if seeded else []
    for name, value in [*stack.summary(), *accounts]:
        table.add_row(Text(name, style="bold"), value)
    return table


def speaking(*, soft_wrap: bool = False) -> Console:
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(highlight=False, soft_wrap=soft_wrap, width=width)


@contextmanager
def refused_by(*failures: type[Exception]) -> Iterator[None]:
    """A failure of these kinds ends the command, and needs no traceback to be understood."""
    try:
        yield
    except failures as failure:
        report(failure)
        raise typer.Exit(1) from failure


def report(failure: Exception) -> None:
    """One line that names what failed, then what its log said last, if it is a service that has one."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text(f"tradelog: {failure}", style="bold red"))
    if isinstance(failure, ServiceFailedError) and failure.log:
        console.print(Text("\n".join(f"  {line}" for line in failure.log.splitlines()), style="dim"))


def main() -> None:
    app()


if __name__ == "__main__":
    main()
