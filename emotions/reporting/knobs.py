"""Knobs of the report: `report`."""

from typing import Literal

from pydantic import Field

from emotions.params_file import Group

Language = Literal["en", "fr"]


class ReportParams(Group):
    """`title`: headline of the report. `language`: of the report and its figures."""

    title: str = Field(min_length=1)
    language: Language
