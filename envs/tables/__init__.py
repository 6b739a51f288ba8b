"""Recorded quality tables: what a choice of edge expert is worth, prompt by prompt.

`QualityTable` holds measured scores, `ExpertTable` the machines behind them. The figures that ship with the package
are described in `DATASHEET.md` beside this file; a table of your own loads the same way from CSV or Parquet.
"""

from .expert_table import ExpertTable
from .quality_table import QualityTable
from .reading import TableError, TableWarning

__all__ = ["ExpertTable", "QualityTable", "TableError", "TableWarning"]
