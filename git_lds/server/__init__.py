"""Serves stores in a directory or a bucket over HTTP, as docs/http.md describes.

`create_app` is for any ASGI server, `serve` runs its own.
"""

from __future__ import annotations

from git_lds.errors import LdsError

try:
    from git_lds.server.app import create_app
    from git_lds.server.listen import serve
except ModuleNotFoundError as error:
    if error.name not in ("starlette", "uvicorn"):
        raise
    raise LdsError(f"the server needs {error.name}", hint="pip install 'git-lds[server]'") from error

__all__ = ["create_app", "serve"]
