"""Scoring through Apache Spark, for who has a cluster: the same functions, in Spark's tasks.

Parquet goes through ``mapInArrow`` (:mod:`gpfn.data.spark.frames`); files of every other format
are a task each (:mod:`gpfn.data.spark.files`), which write what a process here would write.
"""

from __future__ import annotations

__all__: list[str] = []
