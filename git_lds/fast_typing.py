"""Run-time stand-ins for NamedTuple, NewType and Protocol. Importing `typing` costs 4 ms on every `git status`.

A type checker sees the names of `typing` itself. Names that are used in annotations only are imported under
`if TYPE_CHECKING:`, and need no stand-in.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
    from typing import NewType as NewType
    from typing import Protocol as Protocol
else:
    from collections import namedtuple

    Protocol = object

    def NewType(name, kind):
        """Return the type itself: at run time a value of the new type is a value of the old."""
        return kind

    class _Named(type):
        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body["__annotations__"]
            defaults = [body[field] for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                if key not in fields:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Named):
        """A tuple with named values, made of a class with annotations as `typing.NamedTuple` does."""
