"""Refusals of services in the words of the REST API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from portal.errors import Invalid


@contextmanager
def in_words_of(fields: Mapping[str, str]) -> Iterator[None]:
    """Name the fields of a refusal as the body does.

    :raise portal.errors.Invalid: the same, with the body's names
    """
    try:
        yield
    except Invalid as error:
        renamed = {fields.get(name, name): words for name, words in error.fields.items()}
        error.fields = renamed
        raise
