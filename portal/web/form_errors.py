"""Showing a service's refusal beside the fields of the form that caused it."""

from wtforms import Form

from portal.errors import Invalid


def show(form: Form, refused: Invalid, names: dict[str, str] | None = None) -> None:
    """Put each sentence of a refusal at its field; what belongs to no field goes to the top.

    :param names: the form's names for the service's, where they differ
    """
    renamed = names or {}
    placed = False
    for name, sentence in refused.fields.items():
        shown = renamed.get(name, name)
        if shown in form:
            form[shown].errors = [*form[shown].errors, sentence]
            placed = True
    if not placed:
        form.form_errors.append(refused.message)
