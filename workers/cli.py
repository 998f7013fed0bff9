"""`tradelog`: everything an operator does by hand, as one command."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.local.process import ServiceFailedError
from workers.local.stack import LocalStack, Running, Search

app = typer.Typer(
    help="Tradelog: an event-sourced commerce backend.", no_args_is_help=True, add_completion=False
)

SERVERS = frozenset({"postgres", "nats", "opensearch", "s3", "stripe"})
COLOURS = {"stack": "bold", "api": "cyan", "relay": "green", "projector": "magenta", "reactor": "yellow"}

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
    console = Console(highlight=False, soft_wrap=True)

    def tell(who: str, what: str) -> None:
        if verbose or who not in SERVERS:
            console.print(Text(f"{who:<10}", style=COLOURS.get(who, "dim")) + Text(f"│ {what}"))

    async def when_ready(stack: LocalStack) -> None:
        if seed:
            await run_seed(stack)
        console.print(summary_of(stack))

    try:
        asyncio.run(LocalStack(data, search=search, port=port, tell=tell).run(when_ready))
    except ServiceFailedError as failure:
        report(failure)
        raise typer.Exit(1) from failure


@app.command()
def openapi() -> None:
    """Print the API's OpenAPI document; no server is needed."""
    # A process of its own, because the API and the workers do not import each other.
    raise typer.Exit(subprocess.run([sys.executable, "-m", "api", "openapi"], check=False).returncode)


async def run_seed(stack: LocalStack) -> None:
    """Fill the shop as an operator would, in a process with the stack's environment."""
    environment = {**os.environ, **stack.environment()}
    seeding = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.cli", "seed", env=environment
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


def summary_of(stack: LocalStack) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in stack.summary():
        table.add_row(Text(name, style="bold"), value)
    return table


def report(failure: ServiceFailedError) -> None:
    """One line that names what failed, then what its log said last."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text(f"tradelog: {failure}", style="bold red"))
    if failure.log:
        console.print(Text("\n".join(f"  {line}" for line in failure.log.splitlines()), style="dim"))


def main() -> None:
    app()


if __name__ == "__main__":
    main()
