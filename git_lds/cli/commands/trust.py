"""`git lds trust`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render.output import answer, say
from git_lds.errors import UsageError
from git_lds.git.run import Git
from git_lds.setup import trust


@click.command("trust")
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Stop trusting the stores.")
@click.option("--global", "for_all", is_flag=True, help="For all your repositories, not just this one.")
@options.quiet
def command(urls: tuple[str, ...], remove: bool, for_all: bool, quiet: bool) -> None:
    """Trust a store that files of a repository name.

    This trusts every store at or below URL. Without a URL, list the trusted stores.

    The files of a repository can name any store. If only such a file names a store, a push copies objects from it only if
    you trust it. If somebody else's commit changed the URL of the store, a push sends objects there only if you trust it.
    Directories and hosts of private networks are not even read before you trust them.
    """
    git = Git()
    if not urls:
        if remove:
            raise UsageError("--remove needs a URL", hint="to list trusted stores: git lds trust")
        for url, origin in trust.trusted(git):
            answer(f"{url}  ({origin})")
        return
    for url in urls:
        if remove:
            trust.remove(git, url, for_all=for_all)
        else:
            trust.add(git, url, for_all=for_all)
        say(f"{'No longer trusting' if remove else 'Trusting'} {url}.", quiet=quiet)
