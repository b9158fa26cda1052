"""`git lds trust`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render.output import answer, say
from git_lds.errors import UsageError
from git_lds.git.run import Git
from git_lds.setup import trust


@click.command("trust")
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1)
@click.option("--remove", is_flag=True, help="No longer trust the addresses.")
@click.option("--global", "for_all", is_flag=True, help="For all your repositories, not just this one.")
@options.quiet
def command(addresses: tuple[str, ...], remove: bool, for_all: bool, quiet: bool) -> None:
    """Trust a store that a repository's files name.

    That is every store at or below ADDRESS. Without one, those that are trusted are listed.

    A repository's files may name any store. A push copies objects from a store that only such a file names, and sends
    objects to one whose address was changed by somebody else's commit, only if you trust it. Directories and hosts of
    private networks are not even read before.
    """
    git = Git()
    if not addresses:
        if remove:
            raise UsageError("--remove needs an address", hint="git lds trust lists them")
        for address, origin in trust.trusted(git):
            answer(f"{address}  ({origin})")
        return
    for address in addresses:
        if remove:
            trust.remove(git, address, for_all=for_all)
        else:
            trust.add(git, address, for_all=for_all)
        say(f"{'No longer trusting' if remove else 'Trusting'} {address}.", quiet=quiet)
