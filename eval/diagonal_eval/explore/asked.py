"""What a page may be asked: the types that check and bound the fields of a query."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from diagonal_eval.explore.explorer import Explorer

Found = dict[str, Any]
"""What a page and its JSON twin are made of. Texts are as they came: JSON quotes them, the
templates escape them."""


def explorer_of(request: Request) -> Explorer:
    """The application's."""
    return request.app.state.explorer


Explore = Annotated[Explorer, Depends(explorer_of)]
Uid = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
At = Annotated[int | None, Query(ge=0, le=2**32)]
"""Place of the row where the asker saw it; spares the look-up of its uid."""
Start = Annotated[int, Query(ge=0, le=2**32)]
Limit = Annotated[int, Query(ge=1, le=200)]
Few = Annotated[int, Query(ge=1, le=48)]
Text = Annotated[str, Query(max_length=2_000)]
Name = Annotated[str, Query(max_length=200)]
