"""What all HTML that the product writes has in common: how templates are filled, and `templates/look.css`."""

from __future__ import annotations

import functools

import jinja2


@functools.cache
def template(package: str, name: str) -> jinja2.Template:
    """The template `name` of a package of ours; it escapes whatever it is given, and may include `look.css`.

    Args:
        package: whose folder `templates` holds it: zsmld.evaluation.
        name: of the file.
    """
    loader = jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("zsmld")])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)
